"""What is read from signatures, from which area, and what counts as malformed."""

import msgspec
import pytest

from keygrove_protocols.limits import EMBEDDED_MAX, SUBPACKETS_MAX
from keygrove_protocols.openpgp.keys import KeyId, parse_key
from keygrove_protocols.openpgp.signatures import Signature, read_signature

ID = bytes.fromhex("0123456789abcdef")
FINGERPRINT = bytes(12) + ID
CREATED = b"\x05\x02" + (1000).to_bytes(4)
ISSUER = b"\x09\x10" + ID
ISSUER_FINGERPRINT = b"\x16\x21\x04" + FINGERPRINT
SALT = bytes([16]) + bytes(16)


def v4(hashed: bytes = CREATED, unhashed: bytes = ISSUER, kind: int = 0x13) -> bytes:
    areas = len(hashed).to_bytes(2) + hashed + len(unhashed).to_bytes(2) + unhashed
    return bytes([4, kind, 1, 8]) + areas + b"\xab\xcd\x00\x01\x01"


def v6(hashed: bytes = CREATED, algorithm: int = 8, salt: bytes = SALT) -> bytes:
    areas = len(hashed).to_bytes(4) + hashed + bytes(4)
    return bytes([6, 0x13, 27, algorithm]) + areas + b"\xab\xcd" + salt + bytes(64)


V3 = b"\x03\x05\x10" + (1000).to_bytes(4) + ID + b"\x01\x02\xab\xcd\x00\x01\x01"


def read(body: bytes) -> Signature:
    signature = read_signature(body)
    assert signature is not None
    return signature


def test_a_v3_signature_is_read() -> None:
    assert read(V3) == Signature(
        version=3,
        kind=0x10,
        algorithm=1,
        hash_algorithm=2,
        created=1000,
        issuer=KeyId(ID),
        hashed_end=7,
        digest_at=17,
        material_at=19,
    )


def test_a_v4_signature_is_read() -> None:
    fields = {
        b"\x05\x03" + (7).to_bytes(4): ("expires_s", 7),
        b"\x02\x04\x00": ("is_exportable", False),
        b"\x02\x04\x01": ("is_exportable", True),
        b"\x05\x09" + (8).to_bytes(4): ("key_expires_s", 8),
        b"\x05\x09" + bytes(4): ("key_expires_s", 0),
        b"\x02\x19\x01": ("is_primary_user_id", True),
        b"\x05\x1d\x03abc": ("reason_code", 3),
        ISSUER: ("issuer", ID),
        ISSUER_FINGERPRINT: ("issuer_fingerprint", FINGERPRINT),
    }
    for subpacket, (name, value) in fields.items():
        signature = read(v4(CREATED + subpacket, b""))
        assert (getattr(signature, name), signature.created) == (value, 1000)


def test_what_is_not_said_has_its_default() -> None:
    assert read(v4(b"", b"")) == Signature(
        version=4,
        kind=0x13,
        algorithm=1,
        hash_algorithm=8,
        hashed_end=6,
        unhashed_octets=2,
        digest_at=8,
        material_at=10,
    )


def test_p068_the_unhashed_area_hints_at_the_issuer_and_at_nothing_else() -> None:
    forged = b"\x05\x02\xff\xff\xff\xff\x05\x09\x00\x00\x00\x01\x02\x04\x00\x02\x19\x01\x02\x1d\x01"
    believed, plain = read(v4(CREATED, ISSUER + forged)), read(v4(CREATED, ISSUER))
    grown = len(forged)
    assert believed == msgspec.structs.replace(
        plain,
        has_plain_hints=False,
        unhashed_octets=plain.unhashed_octets + grown,
        digest_at=plain.digest_at + grown,
        material_at=plain.material_at + grown,
    )


def test_the_last_subpacket_of_a_type_counts() -> None:
    assert read(v4(CREATED + b"\x05\x02" + (2000).to_bytes(4))).created == 2000


@pytest.mark.parametrize(
    ("hashed", "unhashed", "issuer"),
    [
        pytest.param(ISSUER, b"", ID, id="hashed"),
        pytest.param(b"", ISSUER, ID, id="p079-unhashed"),
        pytest.param(ISSUER, b"\x09\x10" + bytes(8), ID, id="hashed-over-unhashed"),
        pytest.param(ISSUER_FINGERPRINT, b"", ID, id="by-fingerprint"),
        pytest.param(b"", b"", None, id="p079-none"),
        pytest.param(b"", b"\x08\x10" + bytes(7), None, id="too-short"),
        pytest.param(b"\x16\x21\x06" + FINGERPRINT, b"", None, id="fingerprint-of-odd-length"),
        pytest.param(b"\x16\x21\x07" + FINGERPRINT, b"", None, id="fingerprint-of-odd-version"),
        pytest.param(b"\x01\x21", b"", None, id="fingerprint-empty"),
        pytest.param(b"\x22\x21\x06" + ID + bytes(24), b"", ID, id="fingerprint-v6"),
    ],
)
def test_the_issuer_is_found(hashed: bytes, unhashed: bytes, issuer: bytes | None) -> None:
    assert read(v4(hashed, unhashed)).issuer == issuer


def test_a_v6_signature_is_read_and_knows_no_key_id() -> None:
    signature = read(v6(CREATED + ISSUER))
    assert (signature.version, signature.created, signature.issuer) == (6, 1000, None)


SPLIT = b"\x04\x5f\x5e\x10\x00\x1b" + bytes(32)


def test_p078_a_foreign_fingerprint_outweighs_an_equal_key_id() -> None:
    key = parse_key(SPLIT)
    own = b"\x09\x10" + key.key_id
    assert read(v4(own, b"")).claims(key)
    assert read(v4(b"", own)).claims(key)
    assert not read(v4(own + b"\x16\x21\x04" + bytes(12) + key.key_id, b"")).claims(key)
    assert read(v4(b"\x16\x21\x04" + key.fingerprint, ISSUER)).claims(key)
    assert not read(v4(CREATED, b"")).claims(key)


@pytest.mark.parametrize(
    ("length", "size"),
    [("03", 2), ("bf", 190), ("c000", 191), ("e000", 8383), ("feff", 16318), ("ff00000003", 2)],
)
def test_p066_every_length_of_subpackets_is_read(length: str, size: int) -> None:
    assert read(v4(bytes.fromhex(length) + b"\x65" + bytes(size) + CREATED)).created == 1000


MALFORMED = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\x01" + v4()[1:], id="version-1"),
    pytest.param(b"\x07" + v4()[1:], id="version-7"),
    pytest.param(V3[:18], id="v3-short"),
    pytest.param(V3[:1] + b"\x06" + V3[2:], id="v3-odd-length-octet"),
    pytest.param(v4(b"\x00" + CREATED), id="p066-empty-subpacket"),
    pytest.param(v4(b"\x07" + CREATED[1:]), id="overrun"),
    pytest.param(v4(CREATED + b"\xc0"), id="half-a-length"),
    pytest.param(v4(CREATED + b"\xff\x00\x00"), id="half-a-long-length"),
    pytest.param(v4(CREATED + b"\xff\xff\xff\xff\xff\x02"), id="4-gib"),
    pytest.param(v4(CREATED, b"\x0a" + ISSUER[1:]), id="overrun-unhashed"),
    pytest.param(v4(b"\x04\x02\x00\x00\x00"), id="creation-of-3-octets"),
    pytest.param(v4(b"\x01\x19"), id="primary-of-0-octets"),
    pytest.param(v4(b"\x01\x04"), id="exportable-of-0-octets"),
    pytest.param(v4()[:-5], id="no-digest-octets"),
    pytest.param(v4()[:5], id="half-an-area-length"),
    pytest.param(v4(b"\x01\x65" * (SUBPACKETS_MAX + 1), b""), id="p098-too-many"),
    pytest.param(v4(b"\x01\x20" * (EMBEDDED_MAX + 1)), id="p080-too-many-embedded"),
    pytest.param(v4(b"\x01\x20" * EMBEDDED_MAX, b"\x01\x20"), id="p080-too-many-in-both-areas"),
    pytest.param(v6(salt=b"\x11" + bytes(17)), id="p058-salt-too-long"),
    pytest.param(v6(salt=b"\x0f" + bytes(15)), id="p058-salt-too-short"),
    pytest.param(v6(salt=b"\x10" + bytes(15))[:-64], id="p058-salt-cut-off"),
    pytest.param(v6(algorithm=2), id="p058-sha1"),
    pytest.param(v6(algorithm=7), id="p058-reserved-hash"),
]


@pytest.mark.parametrize("body", MALFORMED)
def test_a_malformed_signature_is_none(body: bytes) -> None:
    assert read_signature(body) is None


@pytest.mark.parametrize("cut", range(len(v4()) - 3))
def test_a_signature_without_its_end_is_none(cut: int) -> None:
    assert read_signature(v4()[:cut]) is None


def test_p098_a_signature_with_as_many_subpackets_as_it_may_have_is_read() -> None:
    assert read(v4(b"\x01\x65" * SUBPACKETS_MAX, b"")).version == 4
    both = read(v4(b"\x01\x20" * (EMBEDDED_MAX - 2), b"\x01\x20" * 2))
    assert (len(both.embedded), both.attached) == (EMBEDDED_MAX, 2)


@pytest.mark.parametrize(
    ("subpacket", "expected"),
    [
        pytest.param(b"\x02\xe5\x00", True, id="p067-unknown"),
        pytest.param(b"\x02\x65\x00", False, id="p067-unknown-not-critical"),
        pytest.param(b"\x02\x9b\x03", False, id="key-flags"),
        pytest.param(b"\x01\x94", True, id="notation"),
        pytest.param(b"\x01\x14", False, id="notation-not-critical"),
        pytest.param(b"\x01\x8a", True, id="reserved"),
    ],
)
def test_a_critical_part_that_is_not_understood_is_told(
    subpacket: bytes, *, expected: bool
) -> None:
    assert read(v4(CREATED + subpacket)).has_unknown_critical is expected


def test_p080_an_embedded_signature_is_not_entered() -> None:
    embedded = v4()
    for _ in range(50):
        body = b"\x20" + embedded
        embedded = v4(CREATED + b"\xff" + len(body).to_bytes(4) + body)
    assert read(embedded).created == 1000
