"""What signatures are made over, worked out by hand from RFC 9580, section 5.2.4."""

import hashlib

import pytest

from keygrove_chaos.signing import CREATED, Signer
from keygrove_protocols.openpgp.crypto.hashes import HASHES
from keygrove_protocols.openpgp.hashing import (
    MD5,
    RIPEMD160,
    SHA1,
    Scope,
    attested_digest,
    missing_hashes,
)
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.signatures import Signature, read_signature
from tests.openpgp import ALICE, BOB, DIRECT, GENERIC, NAME, SUBKEY, signed

IMAGE = Packet(Tag.USER_ATTRIBUTE, b"\x02\x01a")
V3_KEY = Packet(Tag.PUBLIC_KEY, b"\x03" + bytes(6) + b"\x01\x00\x08\xff\x00\x02\x03")
V6 = Signer(1, version=6)


def framed(key: Packet) -> bytes:
    if key.body[0] == 6:
        return b"\x9b" + len(key.body).to_bytes(4) + key.body
    return b"\x99" + len(key.body).to_bytes(2) + key.body


def long(prefix: bytes, packet: Packet) -> bytes:
    return prefix + len(packet.body).to_bytes(4) + packet.body


def read(body: bytes) -> Signature:
    signature = read_signature(body)
    assert signature is not None
    return signature


def digest(primary: Packet, component: Packet | None, body: bytes) -> bytes | None:
    return Scope(primary, component).digest(read(body), body)


HASHED = b"\x05\x02" + CREATED.to_bytes(4)
V4 = b"\x04\x10\x16\x08" + len(HASHED).to_bytes(2) + HASHED
V5 = b"\x05" + V4[1:]
SALT = bytes(range(16))
V6_HEAD = b"\x06\x10\x1b\x08" + len(HASHED).to_bytes(4) + HASHED
V3 = b"\x03\x05\x10" + CREATED.to_bytes(4) + BOB.key.key_id + b"\x16\x08\xab\xcd\0\x01\x01"
TRAILER = b"\x10" + CREATED.to_bytes(4)


@pytest.mark.parametrize(
    ("primary", "component", "framed_component"),
    [
        pytest.param(ALICE.primary, None, b"", id="key"),
        pytest.param(ALICE.primary, NAME, long(b"\xb4", NAME), id="user-id"),
        pytest.param(ALICE.primary, IMAGE, long(b"\xd1", IMAGE), id="attribute"),
        pytest.param(ALICE.primary, SUBKEY.subkey, framed(SUBKEY.subkey), id="subkey"),
        pytest.param(V3_KEY, NAME, long(b"\xb4", NAME), id="v3-key"),
        pytest.param(V6.primary, NAME, long(b"\xb4", NAME), id="v6-key"),
        pytest.param(V6.primary, V6.subkey, framed(V6.subkey), id="v6-subkey"),
    ],
)
def test_p056_p058_the_framing_of_keys_is_theirs_and_the_trailer_is_the_signatures(
    primary: Packet, component: Packet | None, framed_component: bytes
) -> None:
    data = framed(primary) + framed_component
    ends = {
        V4 + bytes(4) + b"\0\0": b"\x04\xff" + len(V4).to_bytes(4),
        V5 + bytes(4) + b"\0\0": b"\x05\xff" + len(V5).to_bytes(8),
    }
    for body, end in ends.items():
        wanted = hashlib.sha256(data + body[: len(V4)] + end).digest()
        assert digest(primary, component, body) == wanted
    v6 = V6_HEAD + bytes(4) + b"\0\0\x10" + SALT + b"\0"
    end = b"\x06\xff" + len(V6_HEAD).to_bytes(4)
    assert digest(primary, component, v6) == hashlib.sha256(SALT + data + V6_HEAD + end).digest()


def test_p057_a_v3_signature_takes_kind_and_time_and_the_user_id_bare() -> None:
    user_id = hashlib.sha256(framed(ALICE.primary) + NAME.body + TRAILER).digest()
    assert digest(ALICE.primary, NAME, V3) == user_id
    subkey = hashlib.sha256(framed(ALICE.primary) + framed(SUBKEY.subkey) + TRAILER).digest()
    assert digest(ALICE.primary, SUBKEY.subkey, V3) == subkey
    assert (
        digest(ALICE.primary, None, V3) == hashlib.sha256(framed(ALICE.primary) + TRAILER).digest()
    )
    assert digest(ALICE.primary, IMAGE, V3) is None


def test_signatures_at_one_place_do_not_meddle_with_each_other() -> None:
    scope = Scope(ALICE.primary, NAME)
    some = [
        signed(BOB, GENERIC, NAME, created=created, hash_algorithm=algorithm)
        for created in (1, 2)
        for algorithm in (MD5, SHA1, 8, 10)
    ]
    together = [scope.digest(read(one.body), one.body) for one in some]
    alone = [digest(ALICE.primary, NAME, one.body) for one in some]
    assert together == alone
    assert len(set(alone)) == len(some)


@pytest.mark.parametrize("algorithm", [MD5, SHA1, RIPEMD160, 8, 9, 10, 11, 12, 14])
def test_every_hash_algorithm_has_its_size(algorithm: int) -> None:
    assert missing_hashes() == ()
    body = signed(ALICE, DIRECT, hash_algorithm=algorithm).body
    found = digest(ALICE.primary, None, body)
    assert found is not None
    assert len(found) == HASHES[algorithm].octets


@pytest.mark.parametrize("algorithm", [0, 4, 7, 13, 15, 255])
def test_an_unknown_hash_algorithm_has_no_digest(algorithm: int) -> None:
    for body in (
        V4[:3] + bytes((algorithm,)) + V4[4:] + bytes(6),
        V3[:16] + bytes((algorithm,)) + V3[17:],
    ):
        assert digest(ALICE.primary, NAME, body) is None
        assert attested_digest(algorithm, read(body), body) is None
    assert algorithm not in HASHES


def test_p059_a_certification_is_named_by_what_its_unhashed_area_does_not_change() -> None:
    body = signed(BOB, GENERIC, NAME).body
    signature = read(body)
    rest = body[signature.digest_at :]
    emptied = body[: signature.hashed_end] + b"\0\0" + rest
    wanted = hashlib.sha512(b"\x88" + len(emptied).to_bytes(4) + emptied).digest()
    assert attested_digest(10, signature, body) == wanted
    v6 = V6.sign(GENERIC, ALICE.primary, NAME, unhashed=b"\x01\x64").body
    signature = read(v6)
    emptied = v6[: signature.hashed_end] + bytes(4) + v6[signature.digest_at :]
    wanted = hashlib.sha256(b"\x88" + len(emptied).to_bytes(4) + emptied).digest()
    assert attested_digest(8, signature, v6) == wanted
