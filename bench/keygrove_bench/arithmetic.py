"""Verifications per second of processor time, by algorithm, beside bare RSA-4096 in the library.

The peer says how fast the machine is: bounds on ingest are scaled by it. What our own layer
costs is the last row: reading the material, choosing the hash, turning errors into verdicts.

Signatures by SLH-DSA and RSA-8192 are made up, for nothing here signs by the former and a key
of the latter takes long to make: a bad one is as much work as a good one.
"""

from collections.abc import Callable
from hashlib import sha512, shake_256
from importlib.metadata import version
from statistics import median
from time import process_time
from typing import TypeAlias

from cryptography.hazmat.backends.openssl.backend import backend
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from keygrove_bench.report import Report, Row, aimed, load_average, report, row
from keygrove_protocols.openpgp.crypto.ecdsa import CURVES
from keygrove_protocols.openpgp.crypto.loading import load_key
from keygrove_protocols.openpgp.crypto.public_key import Verdict
from keygrove_protocols.openpgp.keys import CURVES as OIDS

ROUNDS = 9
SLICE_S = 0.05
BURST = 8
OVERHEAD_US_MAX = 10
PEER = "rsa4096_per_s"

RSA_BITS = (2048, 3072, 4096)
DSA_BITS = (1024, 2048, 3072)
SLH_DSA = {"128s": (32, 32, 7_856), "128f": (33, 32, 17_088), "256s": (34, 64, 29_792)}
"""Algorithm, octets of a key, octets of a signature."""

_DIGEST = sha512(b"signed").digest()
_SHA512 = 10
_PREHASHED = Prehashed(hashes.SHA512())
_PKCS1 = PKCS1v15()
_SEED = bytes(range(57))

Verify: TypeAlias = Callable[[], object]


def measure(*, quick: bool = False) -> Report:
    """All algorithms in turn, round after round, for some 20 seconds; one round if `quick`."""
    load = load_average()
    keys = {bits: rsa.generate_private_key(65537, bits) for bits in RSA_BITS}
    bare, bare_2048 = _bare(keys[4096]), _bare(keys[2048])
    ours = {f"rsa-{bits}": _rsa(key) for bits, key in keys.items()} | _others()
    rates: dict[str, list[float]] = {name: [] for name in ours}
    peers: list[float] = []
    over_us: list[float] = []
    for _ in range(1 if quick else ROUNDS):
        peers.append(_rate(bare))
        over_us.append(1e6 / _rate(ours["rsa-2048"]) - 1e6 / _rate(bare_2048))
        for name, verify in ours.items():
            rates[name].append(_rate(verify))
    beside = {PEER: round(median(peers), 1)}
    results = [_row(name, found, beside) for name, found in rates.items()]
    words = ("overhead", "our part of one verification by RSA-2048")
    results.append(aimed(row(words, over_us, "us", beside), OVERHEAD_US_MAX, is_limit=True))
    versions = {"cryptography": version("cryptography"), "openssl": backend.openssl_version_text()}
    return report("arithmetic", results, versions, load)


def rsa4096_per_s() -> float:
    """How many signatures by RSA-4096 the bare library verifies here, a second of its time."""
    return _rate(_bare(rsa.generate_private_key(65537, 4096)))


def _row(name: str, rates: list[float], beside: dict[str, float]) -> Row:
    return row((name, f"verifications by {name}"), rates, "1/s", beside)


def _rate(verify: Verify) -> float:
    """Calls per second of processor time."""
    done, start = 0, process_time()
    while (passed := process_time() - start) < SLICE_S:
        for _ in range(BURST):
            verify()
        done += BURST
    return done / passed


def _bare(key: rsa.RSAPrivateKey) -> Verify:
    """The library alone."""
    public, signature = key.public_key(), key.sign(_DIGEST, _PKCS1, _PREHASHED)
    return lambda: public.verify(signature, _DIGEST, _PKCS1, _PREHASHED)


def _rsa(key: rsa.RSAPrivateKey) -> Verify:
    public = key.public_key().public_numbers()
    signature = int.from_bytes(key.sign(_DIGEST, _PKCS1, _PREHASHED))
    return _ours(1, _mpis(public.n, public.e), _mpis(signature))


def _rsa_8192() -> Verify:
    modulus = int.from_bytes(b"\xff" + shake_256(_SEED).digest(1022) + b"\xff")
    return _ours(1, _mpis(modulus, 65537), _mpis(modulus // 3), Verdict.BAD)


def _others() -> dict[str, Verify]:
    small = ed25519.Ed25519PrivateKey.from_private_bytes(_SEED[:32])
    large = ed448.Ed448PrivateKey.from_private_bytes(_SEED)
    return {
        "rsa-8192": _rsa_8192(),
        **{f"dsa-{bits}": _dsa(bits) for bits in DSA_BITS},
        **{curve: _ecdsa(curve) for curve in CURVES},
        "ed25519": _plain(27, small),
        "ed448": _plain(28, large),
        "ml-dsa-65+ed25519": _plain(30, small, mldsa.MLDSA65PrivateKey.from_seed_bytes(_SEED[:32])),
        "ml-dsa-87+ed448": _plain(31, large, mldsa.MLDSA87PrivateKey.from_seed_bytes(_SEED[:32])),
        **{f"slh-dsa-shake-{name}": _slh_dsa(*of) for name, of in SLH_DSA.items()},
    }


def _dsa(bits: int) -> Verify:
    key = dsa.generate_private_key(bits)
    public = key.public_key().public_numbers()
    of = public.parameter_numbers
    made = decode_dss_signature(key.sign(_DIGEST, _PREHASHED))
    return _ours(17, _mpis(of.p, of.q, of.g, public.y), _mpis(*made))


def _ecdsa(curve: str) -> Verify:
    (oid,) = (oid for oid, size in OIDS.items() if size.curve == curve)
    on = CURVES[curve]
    key = ec.generate_private_key(on.of)
    at = key.public_key().public_numbers()
    point = int.from_bytes(b"\4" + at.x.to_bytes(on.octets) + at.y.to_bytes(on.octets))
    made = decode_dss_signature(key.sign(_DIGEST, ec.ECDSA(_PREHASHED)))
    return _ours(19, bytes([len(oid)]) + oid + _mpis(point), _mpis(*made))


_Private: TypeAlias = (
    ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)


def _plain(algorithm: int, *keys: _Private) -> Verify:
    """Keys and signatures of these, one after the other."""
    material = b"".join(key.public_key().public_bytes_raw() for key in keys)
    return _ours(algorithm, material, b"".join(key.sign(_DIGEST) for key in keys))


def _slh_dsa(algorithm: int, key_octets: int, octets: int) -> Verify:
    made_up = shake_256(_SEED).digest(octets)
    return _ours(algorithm, made_up[:key_octets], made_up, Verdict.BAD)


def _ours(
    algorithm: int, key: bytes, signature: bytes, expected: Verdict = Verdict.VALID
) -> Verify:
    """A verification by a key of version 6."""
    body = b"\6" + bytes(4) + bytes([algorithm]) + len(key).to_bytes(4) + key
    loaded = load_key(body)
    assert loaded.verify(algorithm, _SHA512, _DIGEST, signature) is expected, algorithm
    return lambda: loaded.verify(algorithm, _SHA512, _DIGEST, signature)


def _mpis(*numbers: int) -> bytes:
    sizes = [(one, one.bit_length()) for one in numbers]
    return b"".join(bits.to_bytes(2) + one.to_bytes(bits + 7 >> 3) for one, bits in sizes)
