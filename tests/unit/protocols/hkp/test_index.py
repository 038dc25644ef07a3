"""The index line by line, and what cannot be smuggled into it."""

import json

import pytest

from keygrove_protocols.errors import BadIndexError
from keygrove_protocols.hkp.index import (
    IndexKey,
    IndexUserId,
    parse_index,
    write_index,
    write_json,
)
from keygrove_protocols.openpgp.keys import Fingerprint, KeyId
from keygrove_protocols.openpgp.summary import SubkeySummary, Summary, UserIdSummary

NOW = 1_800_000_000
NAME = bytes.fromhex("0123456789abcdef0123456789abcdef01234567")


def named(text: bytes, *, expires: int | None = None, is_revoked: bool = False) -> UserIdSummary:
    return UserIdSummary(text, created=1_700_000_000, expires=expires, is_revoked=is_revoked)


def summed(
    *user_ids: UserIdSummary,
    expires: int | None = None,
    is_revoked: bool = False,
    bits: int = 4096,
    algorithm: int = 1,
    subkeys: tuple[SubkeySummary, ...] = (),
) -> Summary:
    return Summary(
        version=4,
        fingerprint=Fingerprint(NAME),
        key_id=KeyId(NAME[-8:]),
        created=1_600_000_000,
        expires=expires,
        is_revoked=is_revoked,
        algorithm=algorithm,
        bits=bits,
        curve=None,
        user_ids=user_ids,
        subkeys=subkeys,
    )


def test_h040_h041_an_index_is_written_line_by_line() -> None:
    first = summed(named("Jörg <j@example.org>".encode()), named(b"50% off: sale"), expires=NOW + 1)
    second = summed(is_revoked=True, bits=0)
    assert write_index([first, second], NOW) == (
        b"info:1:2\n"
        b"pub:0123456789ABCDEF0123456789ABCDEF01234567:1:4096:1600000000:1800000001:\n"
        b"uid:J%C3%B6rg <j@example.org>:1700000000::\n"
        b"uid:50%25 off%3A sale:1700000000::\n"
        b"pub:0123456789ABCDEF0123456789ABCDEF01234567:1::1600000000::r\n"
    )


def test_an_index_of_nothing_says_so() -> None:
    assert write_index([], NOW) == b"info:1:0\n"


@pytest.mark.parametrize(
    ("expires", "is_revoked", "flags"),
    [
        (None, False, ""),
        (NOW + 1, False, ""),
        (NOW, False, "e"),
        (None, True, "r"),
        (1, True, "re"),
    ],
)
def test_h042_flags_tell_revoked_and_expired(
    expires: int | None, flags: str, *, is_revoked: bool
) -> None:
    user_id = named(b"a", expires=expires, is_revoked=is_revoked)
    (key,) = parse_index(
        write_index([summed(user_id, expires=expires, is_revoked=is_revoked)], NOW)
    )
    assert (key.flags, key.user_ids[0].flags) == (flags, flags)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (b"a:b", b"a%3Ab"),
        (b"100%3A", b"100%253A"),
        (b"a\r\npub:00", b"a%0D%0Apub%3A00"),
        (b"\x00\x1f\x7f\x80\xff", b"%00%1F%7F%80%FF"),
        (b" <script>~", b" <script>~"),
        (b"", b""),
    ],
)
def test_h043_a_user_id_cannot_forge_lines(text: bytes, written: bytes) -> None:
    index = write_index([summed(named(text))], NOW)
    assert index.split(b"\n")[2] == b"uid:" + written + b":1700000000::"
    assert parse_index(index)[0].user_ids[0].text == text


def test_other_servers_indexes_are_read() -> None:
    index = (
        b"info:1:9\r\n"
        b"pub:89abcdef01234567:22:255:-::rd:4:more\r\n"
        b"sub:ignored\r\n"
        b"uid:Foo%3a <foo@example.org>\r\n"
        b"uat::::\r\n"
        b"\r\n"
    )
    user_id = IndexUserId(b"Foo: <foo@example.org>", created=None, expires=None, flags="")
    assert parse_index(index) == [
        IndexKey(
            fingerprint=Fingerprint(bytes.fromhex("89abcdef01234567")),
            algorithm=22,
            bits=255,
            created=None,
            expires=None,
            flags="rd",
            user_ids=(user_id,),
        )
    ]


@pytest.mark.parametrize("index", [b"", b"info:1:0\n", b"<html>"])
def test_an_answer_without_keys_has_none(index: bytes) -> None:
    assert parse_index(index) == []


@pytest.mark.parametrize(
    "index",
    [
        b"info:2:1\n",
        b"info\n",
        b"uid:a:::\n",
        b"pub::1:1:1::\n",
        b"pub:xyz:1:1:1::\n",
        b"pub:0123456:1:1:1::\n",
        b"pub:" + b"00" * 33 + b":1:1:1::\n",
        b"pub:01234567:rsa:1:1::\n",
        b"pub:01234567:1:1:" + b"9" * 5000 + b"::\n",
        b"pub:01234567:1:1:-1::\n",
        b"pub:01234567:::::\nuid:a:soon::\n",
    ],
)
def test_a_bad_index_is_refused(index: bytes) -> None:
    with pytest.raises(BadIndexError):
        parse_index(index)


def test_h047_the_json_index_has_the_known_names() -> None:
    subkey = SubkeySummary(
        version=4,
        fingerprint=Fingerprint(bytes(20)),
        key_id=KeyId(bytes(8)),
        created=0,
        expires=None,
        is_revoked=True,
        algorithm=18,
        bits=255,
        curve="cv25519",
    )
    unsigned = UserIdSummary(b"\xff", created=None, expires=None, is_revoked=False)
    summary = summed(named(b"Alice", expires=NOW), unsigned, expires=NOW, subkeys=(subkey,))
    assert json.loads(write_json([summary], NOW)) == [
        {
            "fingerprint": NAME.hex(),
            "longKeyID": NAME[-8:].hex(),
            "creation": "2020-09-13T12:26:40Z",
            "expiration": "2027-01-15T08:00:00Z",
            "isExpired": True,
            "isRevoked": False,
            "version": 4,
            "algorithm": {"name": "rsa4096", "code": 1, "bitLength": 4096},
            "packet": {"tag": 6},
            "userIDs": [
                {
                    "keywords": "Alice",
                    "validsince": "2023-11-14T22:13:20Z",
                    "expiration": "2027-01-15T08:00:00Z",
                    "isExpired": True,
                    "isRevoked": False,
                },
                {
                    "keywords": "\ufffd",
                    "neverExpires": True,
                    "isExpired": False,
                    "isRevoked": False,
                },
            ],
            "subKeys": [
                {
                    "fingerprint": "00" * 20,
                    "longKeyID": "00" * 8,
                    "creation": "1970-01-01T00:00:00Z",
                    "neverExpires": True,
                    "isExpired": False,
                    "isRevoked": True,
                    "version": 4,
                    "algorithm": {
                        "name": "cv25519",
                        "code": 18,
                        "bitLength": 255,
                        "curve": "cv25519",
                    },
                    "packet": {"tag": 14},
                }
            ],
        }
    ]


def test_h042_json_tells_what_is_revoked() -> None:
    user_ids = (named(b"Old", is_revoked=True), named(b"New"))
    (found,) = json.loads(write_json([summed(*user_ids, is_revoked=True, expires=NOW + 1)], NOW))
    assert (found["isRevoked"], found["isExpired"]) == (True, False)
    assert [one["isRevoked"] for one in found["userIDs"]] == [True, False]


def test_an_algorithm_without_a_name_goes_by_its_number() -> None:
    (found,) = json.loads(write_json([summed(algorithm=99, bits=0)], NOW))
    assert found["algorithm"] == {"name": "algorithm99", "code": 99, "bitLength": 0}
