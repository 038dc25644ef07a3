"""From the body of a key packet to a key that verifies."""

from collections.abc import Callable, Mapping

from keygrove_protocols.openpgp.crypto.dsa import load_dsa
from keygrove_protocols.openpgp.crypto.ecdsa import load_ecdsa
from keygrove_protocols.openpgp.crypto.eddsa import load_ed448, load_ed25519, load_eddsa_legacy
from keygrove_protocols.openpgp.crypto.material import KeyMaterial
from keygrove_protocols.openpgp.crypto.ml_dsa import load_ml_dsa_65, load_ml_dsa_87
from keygrove_protocols.openpgp.crypto.public_key import PublicKey, UselessKey, Verdict
from keygrove_protocols.openpgp.crypto.rsa import load_rsa
from keygrove_protocols.openpgp.crypto.slh_dsa import load_slh_dsa

_MATERIAL_AT = {2: 8, 3: 8, 4: 6, 5: 10, 6: 10}  # version: offset
_ENCRYPT_ONLY = frozenset({2, 16, 18, 25, 26, 35, 36})
_LOADERS: Mapping[int, Callable[[KeyMaterial], PublicKey]] = {
    1: load_rsa,
    3: load_rsa,
    17: load_dsa,
    19: load_ecdsa,
    22: load_eddsa_legacy,
    27: load_ed25519,
    28: load_ed448,
    30: load_ml_dsa_65,
    31: load_ml_dsa_87,
    32: load_slh_dsa,
    33: load_slh_dsa,
    34: load_slh_dsa,
}


def load_key(body: bytes) -> PublicKey:
    """The key in the body of a key packet that `keys.parse_key` accepts. Raises nothing then.

    Signatures by a key that makes no sense, or that only encrypts, are BAD; those by a key
    that is right but beyond us are UNVERIFIABLE. Whether a point is on its curve is seen with
    the first signature.
    """
    version = body[0]
    start = _MATERIAL_AT[version]
    algorithm = body[5] if version > 3 else body[7]
    if algorithm in _ENCRYPT_ONLY:
        return UselessKey((algorithm,), Verdict.BAD)
    load = _LOADERS.get(algorithm)
    if load is None:
        return UselessKey((algorithm,), Verdict.UNVERIFIABLE)
    return load(KeyMaterial(version, algorithm, body[start:]))
