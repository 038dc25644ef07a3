"""ECDSA signatures (algorithm 19), on the curves of RFC 9580 and on secp256k1.

Source: RFC 9580, sections 5.2.3.2 and 9.2; FIPS 186-5, section 6.4.
"""

from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from keygrove_protocols.openpgp.crypto.hashes import Hash
from keygrove_protocols.openpgp.crypto.material import KeyMaterial, read_integers
from keygrove_protocols.openpgp.crypto.public_key import (
    PublicKey,
    SigningKey,
    UselessKey,
    Verdict,
)

_ALGORITHMS = (19,)


class Curve(msgspec.Struct, frozen=True, gc=False):
    """A curve, how many octets a coordinate has, and what one verification costs."""

    of: ec.EllipticCurve
    octets: int
    cost_us: int


CURVES: Mapping[str, Curve] = {
    "nistp256": Curve(ec.SECP256R1(), 32, 45),
    "nistp384": Curve(ec.SECP384R1(), 48, 340),
    "nistp521": Curve(ec.SECP521R1(), 66, 310),
    "secp256k1": Curve(ec.SECP256K1(), 32, 230),
    "brainpoolP256r1": Curve(ec.BrainpoolP256R1(), 32, 230),
    "brainpoolP384r1": Curve(ec.BrainpoolP384R1(), 48, 470),
    "brainpoolP512r1": Curve(ec.BrainpoolP512R1(), 64, 690),
}
"""By the name that `keys.CURVES` gives them."""


def load_ecdsa(of: KeyMaterial) -> PublicKey:
    """A key that is an uncompressed point of a curve."""
    curve, point = of.curve_and_point()
    on = CURVES.get(curve or "")
    if on is None:
        return UselessKey(_ALGORITHMS, Verdict.UNVERIFIABLE)
    if len(point) != 1 + 2 * on.octets or point[0] != 4:
        return UselessKey(_ALGORITHMS, Verdict.BAD)
    return _EcdsaKey(on, point, is_strict=of.is_strict)


class _EcdsaKey(SigningKey):
    __slots__ = ("_curve", "_is_strict", "_loaded", "_point")

    def __init__(self, curve: Curve, point: bytes, *, is_strict: bool) -> None:
        super().__init__(_ALGORITHMS, curve.cost_us)
        self._curve = curve
        self._point = point
        self._is_strict = is_strict
        self._loaded: ec.EllipticCurvePublicKey | None = None

    def _check(self, hashed: Hash, digest: bytes, material: bytes) -> bool:
        read = read_integers(material, 2, is_strict=self._is_strict)
        if read is None:
            return False
        r, s = int.from_bytes(read[0]), int.from_bytes(read[1])
        if self._loaded is None:
            load = ec.EllipticCurvePublicKey.from_encoded_point
            self._loaded = load(self._curve.of, self._point)
        self._loaded.verify(encode_dss_signature(r, s), digest, hashed.ecdsa)
        return True
