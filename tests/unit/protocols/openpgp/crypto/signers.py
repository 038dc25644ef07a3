"""Keys that sign, the same in each run, and the key packets and material that they make.

RSA and DSA keys are of primes found once: the smallest above round numbers, so that they can
be written down in a line.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    padding,
    rsa,
    utils,
)

CREATED = bytes.fromhex("5f5e1000")

HASHES: Mapping[int, hashes.HashAlgorithm] = {
    1: hashes.MD5(),  # noqa: S303
    2: hashes.SHA1(),  # noqa: S303
    8: hashes.SHA256(),
    9: hashes.SHA384(),
    10: hashes.SHA512(),
    11: hashes.SHA224(),
    12: hashes.SHA3_256(),
    14: hashes.SHA3_512(),
}
"""Those that the library has; RIPEMD-160, which is 3, it has not."""

OIDS = {
    "nistp256": ("2A8648CE3D030107", ec.SECP256R1()),
    "nistp384": ("2B81040022", ec.SECP384R1()),
    "nistp521": ("2B81040023", ec.SECP521R1()),
    "secp256k1": ("2B8104000A", ec.SECP256K1()),
    "brainpoolP256r1": ("2B2403030208010107", ec.BrainpoolP256R1()),
    "brainpoolP384r1": ("2B240303020801010B", ec.BrainpoolP384R1()),
    "brainpoolP512r1": ("2B240303020801010D", ec.BrainpoolP512R1()),
}
ED25519_LEGACY = bytes.fromhex("092b06010401da470f01")
SEED = bytes(range(57))
SLH_DSA_VECTORS = Path(__file__).parents[4] / "vectors" / "slh_dsa"


@dataclass(frozen=True)
class Signer:
    """A key packet's body, its algorithm, and what signs a digest by hash ID: the material."""

    body: bytes
    algorithm: int
    sign: Callable[[int, bytes], bytes]


def mpi(value: int | bytes) -> bytes:
    number = value if isinstance(value, int) else int.from_bytes(value)
    bits = number.bit_length()
    return bits.to_bytes(2) + number.to_bytes(bits + 7 >> 3)


def key_body(version: int, algorithm: int, material: bytes) -> bytes:
    head = bytes([version]) + CREATED
    if version < 4:
        return head + b"\0\0" + bytes([algorithm]) + material
    if version == 4:
        return head + bytes([algorithm]) + material
    return head + bytes([algorithm]) + len(material).to_bytes(4) + material


def digest(octets: int, fill: int = 0xA5) -> bytes:
    return bytes((fill + at) & 0xFF for at in range(octets))


def hashed(hash_id: int) -> bytes:
    return digest(20 if hash_id == 3 else HASHES[hash_id].digest_size)


_RSA_PRIMES = {
    512: (119, 79),
    768: (17, 241),
    1023: (761, 69),
    1024: (761, 673),
    2048: (1037, 5449),
}


@cache
def rsa_numbers(bits: int, e: int = 65537) -> tuple[int, int, int]:
    """The primes, and the private exponent; both primes are 2 modulo 3, so e may be 3."""
    half = bits + 1 >> 1
    p = (3 << half - 2) + _RSA_PRIMES[bits][0]
    q = (13 << (bits >> 1) - 4) + _RSA_PRIMES[bits][1]
    return p, q, pow(e, -1, (p - 1) * (q - 1))


@cache
def rsa_private(bits: int, e: int = 65537) -> rsa.RSAPrivateKey:
    p, q, d = rsa_numbers(bits, e)
    return rsa.RSAPrivateNumbers(
        p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q)
    ).private_key()


@cache
def rsa_signer(bits: int, e: int = 65537, version: int = 4, algorithm: int = 1) -> Signer:
    """An RSA key whose signatures the library makes."""
    p, q, _ = rsa_numbers(bits, e)

    def sign(hash_id: int, digest: bytes) -> bytes:
        of = utils.Prehashed(HASHES[hash_id])
        return mpi(rsa_private(bits, e).sign(digest, padding.PKCS1v15(), of))

    return Signer(key_body(version, algorithm, mpi(p * q) + mpi(e)), algorithm, sign)


def rsa_sign_block(bits: int, block: bytes, e: int = 65537) -> bytes:
    """The signature that opens to these octets, whatever they are."""
    p, q, d = rsa_numbers(bits, e)
    return mpi(pow(int.from_bytes(block), d, p * q))


_DSA_PRIMES = {
    (768, 160): (299, 632),
    (1024, 160): (299, 108),
    (1024, 192): (5, 190),
    (1536, 160): (299, 448),
    (2048, 224): (189, 712),
}


@cache
def dsa_numbers(bits: int, order_bits: int) -> tuple[int, int, int]:
    """Modulus, order, generator."""
    above_order, above_modulus = _DSA_PRIMES[bits, order_bits]
    q = (1 << order_bits - 1) + above_order
    p = 2 * q * ((3 << bits - 2) // (2 * q) + above_modulus) + 1
    return p, q, pow(2, (p - 1) // q, p)


@cache
def dsa_signer(bits: int, order_bits: int, version: int = 4) -> Signer:
    """A DSA key that signs by the book, with one nonce: it has nothing to hide."""
    p, q, g = dsa_numbers(bits, order_bits)
    x, k = 0xC0FFEE, 0xDECAF
    r = pow(g, k, p) % q

    def sign(hash_id: int, digest: bytes) -> bytes:
        del hash_id
        z = int.from_bytes(digest[: order_bits >> 3])
        return mpi(r) + mpi(pow(k, -1, q) * (z + x * r) % q)

    numbers = b"".join(mpi(one) for one in (p, q, g, pow(g, x, p)))
    return Signer(key_body(version, 17, numbers), 17, sign)


def dsa_library_sign(bits: int, order_bits: int, hash_id: int, digest: bytes) -> bytes:
    """A signature by the same key, made by the library, for the sizes that it takes."""
    p, q, g = dsa_numbers(bits, order_bits)
    x = 0xC0FFEE
    public = dsa.DSAPublicNumbers(pow(g, x, p), dsa.DSAParameterNumbers(p, q, g))
    key = dsa.DSAPrivateNumbers(x, public).private_key()
    r, s = utils.decode_dss_signature(key.sign(digest, utils.Prehashed(HASHES[hash_id])))
    return mpi(r) + mpi(s)


@cache
def ecdsa_signer(curve: str, version: int = 4) -> Signer:
    oid, of = OIDS[curve]
    key = ec.derive_private_key(0xC0FFEE << 200, of)
    at = key.public_key().public_numbers()
    octets = of.key_size + 7 >> 3
    point = b"\4" + at.x.to_bytes(octets) + at.y.to_bytes(octets)

    def sign(hash_id: int, digest: bytes) -> bytes:
        made = key.sign(digest, ec.ECDSA(utils.Prehashed(HASHES[hash_id])))
        r, s = utils.decode_dss_signature(made)
        return mpi(r) + mpi(s)

    named = bytes.fromhex(oid)
    return Signer(key_body(version, 19, bytes([len(named)]) + named + mpi(point)), 19, sign)


@cache
def legacy_signer(identifier: bytes = ED25519_LEGACY, version: int = 4) -> Signer:
    """EdDSALegacy."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(SEED[:32])
    point = mpi(b"\x40" + key.public_key().public_bytes_raw())

    def sign(hash_id: int, digest: bytes) -> bytes:
        del hash_id
        made = key.sign(digest)
        return mpi(made[:32]) + mpi(made[32:])

    return Signer(key_body(version, 22, identifier + point), 22, sign)


@cache
def ed25519_signer(version: int = 4) -> Signer:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(SEED[:32])
    body = key_body(version, 27, key.public_key().public_bytes_raw())
    return Signer(body, 27, lambda _, digest: key.sign(digest))


@cache
def ed448_signer(version: int = 4) -> Signer:
    key = ed448.Ed448PrivateKey.from_private_bytes(SEED)
    body = key_body(version, 28, key.public_key().public_bytes_raw())
    return Signer(body, 28, lambda _, digest: key.sign(digest))


@cache
def ml_dsa_65_signer(version: int = 6) -> Signer:
    """ML-DSA-65+Ed25519."""
    return _composite(
        30,
        ed25519.Ed25519PrivateKey.from_private_bytes(SEED[:32]),
        mldsa.MLDSA65PrivateKey.from_seed_bytes(SEED[:32]),
        version,
    )


@cache
def ml_dsa_87_signer(version: int = 6) -> Signer:
    """ML-DSA-87+Ed448."""
    return _composite(
        31,
        ed448.Ed448PrivateKey.from_private_bytes(SEED),
        mldsa.MLDSA87PrivateKey.from_seed_bytes(SEED[:32]),
        version,
    )


def _composite(
    algorithm: int,
    one: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey,
    other: mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey,
    version: int,
) -> Signer:
    octets = one.public_key().public_bytes_raw() + other.public_key().public_bytes_raw()
    body = key_body(version, algorithm, octets)
    return Signer(body, algorithm, lambda _, digest: one.sign(digest) + other.sign(digest))


class Signed(msgspec.Struct):
    """A line of `signed.json`."""

    algorithm: int
    key: bytes
    message: bytes
    signature: bytes


@cache
def slh_dsa_signer(algorithm: int, version: int = 6) -> Signer:
    """A key that signed one digest once: signing takes a while, and another program."""
    (one,) = (one for one in _slh_dsa_signed() if one.algorithm == algorithm)

    def sign(hash_id: int, over: bytes) -> bytes:
        assert (hash_id, over) == (10, one.message)
        return one.signature

    return Signer(key_body(version, algorithm, one.key), algorithm, sign)


@cache
def _slh_dsa_signed() -> list[Signed]:
    return msgspec.json.decode((SLH_DSA_VECTORS / "signed.json").read_bytes(), type=list[Signed])
