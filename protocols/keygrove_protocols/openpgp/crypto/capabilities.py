"""What this build of the library can verify, tried out.

Two servers that hold the same certificates must judge them alike, or they never agree on what
they hold. So one whose OpenSSL was built without a curve is better not started than different.

Each probe makes a signature that needs no signing by the library, where policies of an
operating system may forbid that while they let us verify:

- DSA and ECDSA by the private key 1 with the nonce 1 over a digest of zeros: the public key
  is the generator, and r and s are the same number;
- RSA with a modulus of two Mersenne primes, so that the private exponent is at hand, and
  with the Chinese remainder theorem, so that it does not take long;
- EdDSA and ML-DSA by a fixed seed, which no policy forbids.
"""

from collections.abc import Callable, Iterator
from functools import partial
from hashlib import shake_256

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA87PrivateKey

from keygrove_protocols.openpgp.crypto.dsa import load_dsa
from keygrove_protocols.openpgp.crypto.ecdsa import CURVES, load_ecdsa
from keygrove_protocols.openpgp.crypto.eddsa import load_ed448, load_ed25519
from keygrove_protocols.openpgp.crypto.hashes import HASHES
from keygrove_protocols.openpgp.crypto.material import KeyMaterial
from keygrove_protocols.openpgp.crypto.ml_dsa import load_ml_dsa_65, load_ml_dsa_87
from keygrove_protocols.openpgp.crypto.public_key import PublicKey, Verdict
from keygrove_protocols.openpgp.crypto.rsa import load_rsa
from keygrove_protocols.openpgp.keys import CURVES as OIDS

_HASH_NAMES = {
    1: "MD5",
    2: "SHA-1",
    8: "SHA-256",
    9: "SHA-384",
    10: "SHA-512",
    11: "SHA-224",
    12: "SHA3-256",
    14: "SHA3-512",
}
_SHA256 = 8
_ZEROS = bytes(32)
_SEED = bytes(range(57))


def missing() -> tuple[str, ...]:
    """The names of what this build cannot verify; none, if all is well. Takes some 50 ms."""
    return tuple(name for name, probe in _probes() if not _passes(probe))


def _passes(probe: Callable[[], bool]) -> bool:
    try:
        return probe()
    except (UnsupportedAlgorithm, ValueError, InternalError):
        return False


def _probes() -> Iterator[tuple[str, Callable[[], bool]]]:
    for hash_algorithm, name in _HASH_NAMES.items():
        yield f"RSA with {name}", partial(_verifies_rsa, hash_algorithm)
    yield "DSA", _verifies_dsa
    for curve in CURVES:
        yield f"ECDSA on {curve}", partial(_verifies_ecdsa, curve)
    yield "Ed25519", _verifies_ed25519
    yield "Ed448", _verifies_ed448
    yield "ML-DSA-65", _verifies_ml_dsa_65
    yield "ML-DSA-87", _verifies_ml_dsa_87
    yield "SLH-DSA", _hashes_with_shake


def _verifies_rsa(hash_algorithm: int) -> bool:
    p, q, e = (1 << 607) - 1, (1 << 521) - 1, 65537
    n = p * q
    bits = n.bit_length()
    of = HASHES[hash_algorithm]
    info = of.digest_info + bytes(of.octets)
    encoded = b"\0\1" + b"\xff" * ((bits + 7 >> 3) - 3 - len(info)) + b"\0" + info
    message = int.from_bytes(encoded)
    by_p, by_q = (pow(message % r, pow(e, -1, r - 1), r) for r in (p, q))
    signature = by_q + q * ((by_p - by_q) * pow(q, -1, p) % p)
    key = load_rsa(KeyMaterial(4, 1, _mpi(n) + _mpi(e)))
    return key.verify(1, hash_algorithm, bytes(of.octets), _mpi(signature)) is Verdict.VALID


def _verifies_dsa() -> bool:
    q = (1 << 159) + 299
    p = 2 * q * ((3 << 1022) // (2 * q) + 108) + 1
    g = pow(2, (p - 1) // q, p)
    key = load_dsa(KeyMaterial(4, 17, _mpi(p) + _mpi(q) + _mpi(g) + _mpi(g)))
    return _is_valid(key, 17, _mpi(g % q) * 2)


def _verifies_ecdsa(curve: str) -> bool:
    (oid,) = (oid for oid, size in OIDS.items() if size.curve == curve)
    on = CURVES[curve]
    generator = ec.derive_private_key(1, on.of).public_key().public_numbers()
    point = b"\4" + generator.x.to_bytes(on.octets) + generator.y.to_bytes(on.octets)
    key = load_ecdsa(KeyMaterial(4, 19, bytes([len(oid)]) + oid + _mpi(int.from_bytes(point))))
    return _is_valid(key, 19, _mpi(generator.x) * 2)


def _verifies_ed25519() -> bool:
    private = Ed25519PrivateKey.from_private_bytes(_SEED[:32])
    key = load_ed25519(KeyMaterial(6, 27, private.public_key().public_bytes_raw()))
    return _is_valid(key, 27, private.sign(_ZEROS))


def _verifies_ed448() -> bool:
    private = Ed448PrivateKey.from_private_bytes(_SEED)
    key = load_ed448(KeyMaterial(6, 28, private.public_key().public_bytes_raw()))
    return _is_valid(key, 28, private.sign(_ZEROS))


def _verifies_ml_dsa_65() -> bool:
    one = Ed25519PrivateKey.from_private_bytes(_SEED[:32])
    other = MLDSA65PrivateKey.from_seed_bytes(_SEED[:32])
    octets = one.public_key().public_bytes_raw() + other.public_key().public_bytes_raw()
    key = load_ml_dsa_65(KeyMaterial(6, 30, octets))
    return _is_valid(key, 30, one.sign(_ZEROS) + other.sign(_ZEROS))


def _verifies_ml_dsa_87() -> bool:
    one = Ed448PrivateKey.from_private_bytes(_SEED)
    other = MLDSA87PrivateKey.from_seed_bytes(_SEED[:32])
    octets = one.public_key().public_bytes_raw() + other.public_key().public_bytes_raw()
    key = load_ml_dsa_87(KeyMaterial(6, 31, octets))
    return _is_valid(key, 31, one.sign(_ZEROS) + other.sign(_ZEROS))


def _hashes_with_shake() -> bool:
    """FIPS 202: the first octets of SHAKE256 of nothing; the rest of SLH-DSA is ours."""
    return shake_256(b"").digest(4) == bytes.fromhex("46b9dd2b")


def _is_valid(key: PublicKey, algorithm: int, material: bytes) -> bool:
    return key.verify(algorithm, _SHA256, _ZEROS, material) is Verdict.VALID


def _mpi(value: int) -> bytes:
    bits = value.bit_length()
    return bits.to_bytes(2) + value.to_bytes(bits + 7 >> 3)
