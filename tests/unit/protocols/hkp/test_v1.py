"""Queries and submissions as clients send them, and as nobody should."""

import msgspec
import pytest

from keygrove_protocols.errors import BadQueryError, UnsupportedQueryError
from keygrove_protocols.hkp.v1 import (
    AddEntry,
    AddRequest,
    AddResult,
    ByDigest,
    ByFingerprint,
    ByKeyId,
    ByShortId,
    ByText,
    Lookup,
    Op,
    Search,
    Unfindable,
    parse_add,
    parse_lookup,
)
from keygrove_protocols.limits import FIELDS_MAX, SEARCH_BYTES_MAX
from keygrove_protocols.openpgp.keys import Digest, Fingerprint, KeyId

V4 = "0123456789abcdefABCDEF0123456789abcdef01"
V6 = "0123456789abcdef" * 4
GROUPED = "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567"


def search(query: str | bytes) -> Search | None:
    return parse_lookup(query if isinstance(query, bytes) else query.encode()).search


def text(*readings: str) -> ByText:
    return ByText(readings)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(
            "op=index&options=mr&fingerprint=on&search=alice@example.org",
            Lookup(Op.INDEX, text("alice@example.org"), frozenset({"mr"}), exact=False),
            id="h050-gpg-search",
        ),
        pytest.param(
            "op=get&options=mr&search=a@b&exact=on",
            Lookup(Op.GET, text("a@b"), frozenset({"mr"}), exact=True),
            id="h051-gpg-locate",
        ),
        pytest.param(
            "op=vindex&search=a&options=mr,nm,,%20foo&exact=off&hash=on",
            Lookup(Op.VINDEX, text("a"), frozenset({"mr", "nm", "foo"}), exact=False),
            id="h034-unknown-options",
        ),
        pytest.param("op=stats", Lookup(Op.STATS, None, frozenset(), exact=False), id="stats"),
        pytest.param(
            "&&op=get&search=a&op=stats&search=b&=x&y",
            Lookup(Op.GET, text("a"), frozenset(), exact=False),
            id="first-of-repeated",
        ),
        pytest.param(
            "o%70=get&search=a", Lookup(Op.GET, text("a"), frozenset(), exact=False), id="escaped"
        ),
    ],
)
def test_a_lookup_is_read(query: str, expected: Lookup) -> None:
    assert parse_lookup(query.encode()) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Alice%20Test", text("Alice Test")),
        ("Alice%20Test%20<alice@example.org>", text("Alice Test <alice@example.org>")),
        (r'a%26b%3Dc#d%25e"f|g\h', text('a&b=c#d%e"f|g\\h')),
        ("J%C3%B6rg", text("Jörg")),
        ("Jörg", text("Jörg")),
        ("100%", text("100%")),
        ("%zz%4", text("%zz%4")),
        ("=Alice", text("=Alice")),
        ("me+tag@example.org", text("me+tag@example.org", "me tag@example.org")),
        ("me%2Btag@example.org", text("me+tag@example.org")),
        ("Alice+Test", text("Alice+Test", "Alice Test")),
        ("+a", text("+a", "a")),
        ("%20%20a%20", text("a")),
        ("0123456789abcde", text("0123456789abcde")),
        ("01234567", text("01234567")),
        ("abcd efgh abcd efgh", text("abcd efgh abcd efgh")),
        ("%F0%9F%94%91", text("🔑")),
    ],
)
def test_h003_h039_a_text_is_taken_as_it_was_meant(query: str, expected: Search) -> None:
    assert search("op=get&search=" + query) == expected


@pytest.mark.parametrize("op", ["get", "index", "vindex"])
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("0x" + V4, ByFingerprint(Fingerprint(bytes.fromhex(V4)))),
        ("0x" + V4.upper(), ByFingerprint(Fingerprint(bytes.fromhex(V4)))),
        ("0X" + V4, ByFingerprint(Fingerprint(bytes.fromhex(V4)))),
        ("0x" + V6, ByFingerprint(Fingerprint(bytes.fromhex(V6)))),
        ("0x" + V6[:32], ByFingerprint(Fingerprint(bytes.fromhex(V6[:32])))),
        ("0x" + V6[:16], ByKeyId(KeyId(bytes.fromhex(V6[:16])))),
        ("0x" + V6[:8], ByShortId(bytes.fromhex(V6[:8]))),
        ("0x" + GROUPED, ByFingerprint(Fingerprint(bytes.fromhex(GROUPED)))),
        (V4, ByFingerprint(Fingerprint(bytes.fromhex(V4)))),
        (V6, ByFingerprint(Fingerprint(bytes.fromhex(V6)))),
        (V6[:16], ByKeyId(KeyId(bytes.fromhex(V6[:16])))),
        (GROUPED, ByFingerprint(Fingerprint(bytes.fromhex(GROUPED)))),
        (GROUPED.replace(" ", "+"), ByFingerprint(Fingerprint(bytes.fromhex(GROUPED)))),
        (GROUPED.replace(" ", "%20"), ByFingerprint(Fingerprint(bytes.fromhex(GROUPED)))),
        ("0x" + V4[:7], Unfindable()),
        ("0x" + V4[:39], Unfindable()),
        ("0xa", Unfindable()),
        ("0x" + V6 * 2, Unfindable()),
    ],
)
def test_h020_h029_digits_name_a_key(op: str, query: str, expected: Search) -> None:
    assert search(f"op={op}&search={query}") == expected


@pytest.mark.parametrize("query", [V6[:32], "0x" + V6[:32].upper()])
@pytest.mark.parametrize("op", ["hget", "x-hget"])
def test_h036_a_digest_is_asked_for(op: str, query: str) -> None:
    expected = Lookup(Op.HGET, ByDigest(Digest(bytes.fromhex(V6[:32]))), frozenset(), exact=False)
    assert parse_lookup(f"op={op}&search={query}".encode()) == expected


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(b"", id="h028-empty"),
        pytest.param(b"search=a", id="h028-no-op"),
        pytest.param(b"op=&search=a", id="h028-empty-op"),
        pytest.param(b"op=GET&search=a", id="h028-upper-case"),
        pytest.param(b"OP=get&search=a", id="h028-upper-case-name"),
        pytest.param(b"op=delete&search=a", id="h028-unknown-op"),
        pytest.param(b"op=get", id="h028-no-search"),
        pytest.param(b"op=get&search=", id="h028-empty-search"),
        pytest.param(b"op=get&search=+%20", id="h028-blank-search"),
        pytest.param(b"op=hget", id="h028-no-digest"),
        pytest.param(b"op=get&search=0x", id="h029-no-digits"),
        pytest.param(b"op=get&search=0xnothex", id="h029-not-hex"),
        pytest.param("op=get&search=0x٣٣٣٣٣٣٣٣".encode(), id="h029-other-digits"),
        pytest.param(b"op=get&search=0x" + b"a" * 10_000, id="h029-10000-digits"),
        pytest.param(b"op=hget&search=0x" + b"a" * 31, id="h036-short"),
        pytest.param(b"op=hget&search=" + b"g" * 32, id="h036-not-hex"),
        pytest.param(b"op=hget&search=alice", id="h036-a-name"),
        pytest.param(b"op=get&search=%ff", id="h003-no-utf-8"),
        pytest.param(b"op=get&search=\xff", id="h003-no-utf-8-raw"),
        pytest.param(b"op=%ff&search=a", id="h003-no-utf-8-op"),
        pytest.param(b"op=get&search=a&options=%ff", id="h003-no-utf-8-option"),
        pytest.param(b"op=get&search=a" + b"&" * FIELDS_MAX, id="too-many-fields"),
    ],
)
def test_h028_a_bad_query_is_refused(query: bytes) -> None:
    with pytest.raises(BadQueryError) as caught:
        parse_lookup(query)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("op", ["x-", "x-foo", "x-get"])
def test_h028_an_extension_is_not_offered(op: str) -> None:
    with pytest.raises(UnsupportedQueryError):
        parse_lookup(f"op={op}&search=a".encode())


def test_a_search_at_its_limit_is_taken_and_one_above_is_not() -> None:
    assert search("op=get&search=" + "%C3%B6" * (SEARCH_BYTES_MAX // 2)) is not None
    with pytest.raises(BadQueryError):
        search("op=get&search=" + "%C3%B6" * (SEARCH_BYTES_MAX // 2) + "a")


def test_a_result_leaves_out_what_is_empty() -> None:
    result = AddResult(inserted=(AddEntry(4, "ab"),), invalid=(AddEntry(4, "cd", "too large"),))
    assert msgspec.json.encode(result) == (
        b'{"inserted":[{"version":4,"fingerprint":"ab"}],'
        b'"invalid":[{"version":4,"fingerprint":"cd","comment":"too large"}]}'
    )


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "text/plain",
        "application/pgp-keys",
        "nonsense;;;",
        "\u20ac",
    ],
)
def test_h069_a_form_is_read_whatever_the_content_type(content_type: str | None) -> None:
    body = b"keytext=%2D%2DBEGIN+A%0Aa%2Bb%3D%3d%0A&options=mr,json"
    assert parse_add(body, content_type) == AddRequest(
        b"--BEGIN A\na+b==\n", frozenset({"mr", "json"})
    )


def multipart(*parts: tuple[str, bytes]) -> bytes:
    written = [b"--XX\r\n%s\r\n\r\n%s\r\n" % (headers.encode(), value) for headers, value in parts]
    return b"".join(written) + b"--XX--\r\n"


VALUE = 'Content-Disposition: form-data; name="keytext"'
FILE = (
    'content-disposition: form-data; filename="a.asc"; name="keytext"\r\n'
    "Content-Type: application/octet-stream"
)
OPTIONS = 'Content-Disposition: form-data; name="options"'


@pytest.mark.parametrize("headers", [VALUE, FILE], ids=["value", "file"])
@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=XX", 'Multipart/Form-Data; boundary="XX"']
)
def test_h069_a_multipart_form_is_read(headers: str, content_type: str) -> None:
    octets = bytes(range(256)) + b"a+b%41\r\n--X\r\n"
    body = multipart((OPTIONS, b"mr"), (headers, octets), (VALUE, b"second"))
    assert parse_add(body, content_type) == AddRequest(octets, frozenset({"mr"}))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"", None, id="h062-empty"),
        pytest.param(b"keytext=", None, id="h062-empty-value"),
        pytest.param(b"keytext=+%0A", None, id="h062-blank"),
        pytest.param(b"KEYTEXT=a", None, id="h062-upper-case"),
        pytest.param(b"other=a", None, id="h062-missing"),
        pytest.param(b"-----BEGIN PGP", None, id="no-form"),
        pytest.param(b"&" * FIELDS_MAX + b"keytext=a", None, id="too-many-fields"),
        pytest.param(b"keytext=a&options=%ff", None, id="no-utf-8"),
        pytest.param(b"", "multipart/form-data; boundary=XX", id="multipart-empty"),
        pytest.param(multipart(), "multipart/form-data; boundary=XX", id="multipart-no-parts"),
        pytest.param(
            multipart((OPTIONS, b"mr")), "multipart/form-data; boundary=XX", id="multipart-missing"
        ),
        pytest.param(
            multipart((VALUE, b"")), "multipart/form-data; boundary=XX", id="multipart-no-value"
        ),
        pytest.param(
            multipart(("X: y", b"a")), "multipart/form-data; boundary=XX", id="multipart-no-name"
        ),
        pytest.param(multipart((VALUE, b"a")), "multipart/form-data", id="multipart-no-boundary"),
        pytest.param(
            multipart((VALUE, b"a")),
            "multipart/form-data; boundary=YY",
            id="multipart-other-boundary",
        ),
        pytest.param(
            multipart((VALUE, b"a")),
            "multipart/form-data; boundary=" + "X" * 999,
            id="multipart-long-boundary",
        ),
        pytest.param(
            multipart((VALUE, b"a"))[:-6],
            "multipart/form-data; boundary=XX",
            id="multipart-cut-off",
        ),
        pytest.param(
            multipart(*[(OPTIONS, b"mr")] * FIELDS_MAX, (VALUE, b"a")),
            "multipart/form-data; boundary=XX",
            id="multipart-too-many",
        ),
    ],
)
def test_h062_a_form_without_a_key_is_refused(body: bytes, content_type: str | None) -> None:
    with pytest.raises(BadQueryError):
        parse_add(body, content_type)


LARGE = 8 << 20


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"&" * LARGE, None, id="ampersands"),
        pytest.param(b"%" * LARGE, None, id="percents"),
        pytest.param(b"keytext=%0a" + b"%0a" * (LARGE // 3), None, id="escapes"),
        pytest.param(b"keytext=" + b"+" * LARGE, None, id="pluses"),
        pytest.param(
            b"--XX\r\n" * (LARGE // 6), "multipart/form-data; boundary=XX", id="boundaries"
        ),
        pytest.param(
            multipart((OPTIONS, b"\r\n--X" * (LARGE // 5))),
            "multipart/form-data; boundary=XX",
            id="half-boundaries",
        ),
        pytest.param(
            multipart((OPTIONS, b"\r" * LARGE)), "multipart/form-data; boundary=XX", id="returns"
        ),
        pytest.param(b"\r\n" * (LARGE // 2), "multipart/form-data; boundary=XX", id="line-ends"),
        pytest.param(b"--XX\r\n" + b"a" * LARGE, "multipart/form-data; boundary=XX", id="header"),
    ],
)
def test_8_mib_of_anything_are_refused_in_one_pass(body: bytes, content_type: str | None) -> None:
    """A step for each pair of octets would take days here, and be noticed."""
    with pytest.raises(BadQueryError):
        parse_add(body, content_type)
