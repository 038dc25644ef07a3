"""What verifying a finished digest needs to know of the algorithm that made it.

    id  hash        octets      id  hash        octets
    1   MD5         16          10  SHA-512     64
    2   SHA-1       20          11  SHA-224     28
    3   RIPEMD-160  20          12  SHA3-256    32
    8   SHA-256     32          14  SHA3-512    64
    9   SHA-384     48

RSA signs the name of the hash along with the digest: the DER of a DigestInfo, of which all
but the digest is the same for one hash. DSA and ECDSA sign the bare digest. There the library
wants a hash of the right length and takes nothing else from it, so that SHA-1 stands in for
RIPEMD-160, which it does not have.

Source: RFC 9580, sections 5.2.3.1 and 9.5; RFC 8017, section 9.2.
"""

from collections.abc import Mapping

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed


class Hash(msgspec.Struct, frozen=True, gc=False):
    """A hash algorithm as verification sees it.

    `octets` is the length of a digest, `digest_info` what stands before it in an RSA signature.
    `prehashed` is the library's name for it, None where it has none; `dsa` and `ecdsa` tell
    the library the length.
    """

    octets: int
    digest_info: bytes
    prehashed: Prehashed | None
    dsa: Prehashed
    ecdsa: ec.ECDSA


def _hash(digest_info: str, algorithm: hashes.HashAlgorithm) -> Hash:
    prehashed = Prehashed(algorithm)
    octets = algorithm.digest_size
    return Hash(octets, bytes.fromhex(digest_info), prehashed, prehashed, ec.ECDSA(prehashed))


_SHA1 = _hash("3021300906052b0e03021a05000414", hashes.SHA1())  # noqa: S303 - others sign so

HASHES: Mapping[int, Hash] = {
    1: _hash("3020300c06082a864886f70d020505000410", hashes.MD5()),  # noqa: S303 - others sign so
    2: _SHA1,
    3: msgspec.structs.replace(
        _SHA1, digest_info=bytes.fromhex("3021300906052b2403020105000414"), prehashed=None
    ),
    8: _hash("3031300d060960864801650304020105000420", hashes.SHA256()),
    9: _hash("3041300d060960864801650304020205000430", hashes.SHA384()),
    10: _hash("3051300d060960864801650304020305000440", hashes.SHA512()),
    11: _hash("302d300d06096086480165030402040500041c", hashes.SHA224()),
    12: _hash("3031300d060960864801650304020805000420", hashes.SHA3_256()),
    14: _hash("3051300d060960864801650304020a05000440", hashes.SHA3_512()),
}
"""By hash algorithm ID of a signature packet."""
