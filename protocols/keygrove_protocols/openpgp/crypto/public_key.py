"""What a key answers when asked about a signature.

A family of algorithms is a `SigningKey` of its own, with `_check` filled in. What the library
raises ends here: a signature is good, or it is not, or we cannot tell.
"""

from abc import ABC, abstractmethod
from enum import Enum
from typing import ClassVar

from cryptography.exceptions import InternalError, InvalidSignature, UnsupportedAlgorithm

from keygrove_protocols.openpgp.crypto.hashes import HASHES, Hash


class Verdict(Enum):
    """Whether a key made a signature.

    UNVERIFIABLE says that the arithmetic was not asked: an algorithm, a curve or a hash that
    we do not know, or numbers larger than we take on.
    """

    VALID = "valid"
    BAD = "bad"
    UNVERIFIABLE = "unverifiable"


class PublicKey(ABC):
    """A key that can be asked who signed.

    `algorithms` are the numbers that its signatures may name, `cost_us` is about how many
    microseconds one verification takes: as `python -m keygrove_bench arithmetic` measured it on
    a core that does 20,000 verifications by RSA-4096 a second.
    """

    __slots__ = ("algorithms", "cost_us")

    def __init__(self, algorithms: tuple[int, ...], cost_us: int) -> None:
        self.algorithms = algorithms
        self.cost_us = cost_us

    @abstractmethod
    def verify(
        self, algorithm: int, hash_algorithm: int, digest: bytes, material: bytes
    ) -> Verdict:
        """Whether this key signed the digest.

        `algorithm` and `hash_algorithm` are what the signature packet names; `material` are
        its last octets, MPIs or the algorithm's own format, as they stand. BAD, too, if these
        are malformed, if the digest has not the length of the hash, or if the algorithm is
        another than the key's. Raises nothing.
        """


class UselessKey(PublicKey):
    """A key that verifies nothing: it only encrypts, or makes no sense, or is beyond us."""

    __slots__ = ("_verdict",)

    def __init__(self, algorithms: tuple[int, ...], verdict: Verdict) -> None:
        super().__init__(algorithms, 0)
        self._verdict = verdict

    def verify(
        self, algorithm: int, hash_algorithm: int, digest: bytes, material: bytes
    ) -> Verdict:
        """The same on every signature that names its algorithm."""
        del hash_algorithm, digest, material
        return self._verdict if algorithm in self.algorithms else Verdict.BAD


class SigningKey(PublicKey):
    """A key of an algorithm that signs. A digest of fewer than `DIGEST_OCTETS_MIN` is BAD."""

    __slots__ = ()

    DIGEST_OCTETS_MIN: ClassVar[int] = 0

    def verify(
        self, algorithm: int, hash_algorithm: int, digest: bytes, material: bytes
    ) -> Verdict:
        """Whether this key signed the digest."""
        if algorithm not in self.algorithms:
            return Verdict.BAD
        hashed = HASHES.get(hash_algorithm)
        if hashed is None:
            return Verdict.UNVERIFIABLE
        if len(digest) != hashed.octets or hashed.octets < self.DIGEST_OCTETS_MIN:
            return Verdict.BAD
        try:
            return Verdict.VALID if self._check(hashed, digest, material) else Verdict.BAD
        except (InvalidSignature, ValueError):
            return Verdict.BAD
        except (UnsupportedAlgorithm, InternalError):
            return Verdict.UNVERIFIABLE

    @abstractmethod
    def _check(self, hashed: Hash, digest: bytes, material: bytes) -> bool:
        """Whether the signature is good.

        Raises:
            InvalidSignature: it is not.
            ValueError: it is none, or the key is none.
            UnsupportedAlgorithm: this build of the library does not do it.
            InternalError: the same, found out late.
        """
