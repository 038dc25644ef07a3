"""Addresses and words of user IDs, well meant and otherwise."""

import pytest

from keygrove_protocols.openpgp.userid import (
    MARKS_MAX,
    WORD_CHARS_MAX,
    WORDS_MAX,
    normal_address,
    normal_text,
    parse_user_id,
    words,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("A <a@b>", "a@b"),
        ("a@b", "a@b"),
        ("<a@b>", "a@b"),
        ("A <a@b> <c@d>", None),
        ('"x@y" <a@b>', "a@b"),
        ("A (a@b)", None),
        ("a@b@c", "a@b@c"),
        ("A <>", None),
        ("A <a@b", None),
        ("A >a@b<", None),
        ("A <@b>", None),
        ("A <a@>", None),
        ("A < a@b >", "a@b"),
        ("A <a b@c>", None),
        ("A <a@b\u00a0c>", None),
        ("A <A@Example.ORG>  ", "a@example.org"),
        ("A <Zoë@Exämple.org>", "zoë@xn--exmple-cua.org"),
        ("A <a@\u2603\u2603.\u00ad.org>", "a@\u2603\u2603.\u00ad.org"),
        ("A <a@" + "ä" * 64 + ".org>", "a@" + "ä" * 64 + ".org"),
        ("me+tag@example.org", "me+tag@example.org"),
        ("", None),
        ("A\x00 <a\x1b@b>", "a@b"),
    ],
)
def test_p105_the_address_is_found(text: str, address: str | None) -> None:
    assert parse_user_id(text.encode()).address == address


def test_p054_octets_that_are_no_utf8_are_shown_as_such() -> None:
    assert parse_user_id(b"J\xf6rg <j@example.org>").text == "J\ufffdrg <j@example.org>"


def test_p054_controls_are_left_out_of_the_text() -> None:
    assert parse_user_id(b" a\x00b\r\nc\x7f ").text == "abc"


def test_a_query_with_brackets_is_no_bare_address() -> None:
    assert normal_address("A <a@b>") is None
    assert normal_address(" A@B ") == "a@b"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jo\u0308rg", "JÖRG"),
        ("STRASSE", "straße"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        (" Alice\t", "alice"),
        ("\u212b", "å"),
    ],
)
def test_normal_texts_of_one_text_are_equal(one: str, other: str) -> None:
    assert normal_text(one) == normal_text(other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Alice <a@example.org>", {"alice", "a", "example", "org"}),
        ("Jean-Luc O'Neil", {"jean-luc", "jean", "luc", "o", "neil"}),
        ("-a--b- c_d", {"a", "b", "c", "d"}),
        ("Jörg", {"jörg"}),
        ("Jo\u0308rg", {"jörg"}),
        ("王小明 2", {"王小明", "2"}),
        ("<script>alert(1)</script>", {"script", "alert", "1"}),
        ("", frozenset[str]()),
    ],
)
def test_p106_words_are_runs_of_letters_and_digits(
    text: str, expected: set[str] | frozenset[str]
) -> None:
    assert words(text) == expected


def test_p106_a_query_finds_its_user_id_by_words() -> None:
    assert words("alice example") <= words("Alice <a@example.org>")


def test_a_word_is_short_and_so_is_their_list() -> None:
    assert words("a" * WORD_CHARS_MAX) == {"a" * WORD_CHARS_MAX}
    assert words("a" * (WORD_CHARS_MAX + 1)) == set()
    assert words(" ".join(map(str, range(WORDS_MAX + 9)))) == set(map(str, range(WORDS_MAX)))
    assert len(words("-".join(map(str, range(WORDS_MAX + 9))))) == WORDS_MAX


@pytest.mark.parametrize(
    "text",
    [
        "a-" * 10**6,
        "@" * 10**6,
        *(pytest.param(c * 10**6, marks=pytest.mark.slow) for c in ("a", "<", "ä@")),
    ],
    ids=lambda text: text[:2],
)
def test_a_million_characters_are_read_in_one_pass(text: str) -> None:
    """A step for each pair of characters would take days here, and be noticed."""
    assert len(words(text)) <= WORDS_MAX
    user_id = parse_user_id(text.encode())
    assert user_id.text == text


def test_what_is_in_no_dns_is_not_encoded_for_it() -> None:
    """Encoding takes quadratic time: a megabyte of such addresses would take a minute."""
    label = "".join(map(chr, range(0x4E00, 0x4E00 + 64)))
    assert normal_address(f"a@{label}.example") == f"a@{label}.example"
    shorter = label[:20]
    encoded = normal_address(f"a@{shorter}.example")
    assert encoded is not None
    assert encoded.startswith("a@xn--")
    domain = ".".join(["ü" * 20] * 20)
    assert normal_address(f"a@{domain}") == f"a@{domain}"


def test_marks_beyond_those_of_any_script_are_left_out() -> None:
    """Sorting them takes quadratic time."""
    marks = "\u0301\u0323" * 400
    assert len(normal_text(f"a{marks}b")) <= MARKS_MAX + 2
    assert normal_text(f"a{marks}b") == normal_text(f"a{marks}\u0301b")
    assert normal_address(f"a{marks}@x.example") is not None
