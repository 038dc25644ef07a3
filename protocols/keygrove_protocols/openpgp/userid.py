"""User IDs: text, address and words, the same way for what is stored and what is asked.

A user ID is any octets, by habit UTF-8 of the form `Name (Comment) <local@domain>`. What
is stored is the octets; everything here is for finding and for nothing else.
"""

import re
import unicodedata

import msgspec

WORDS_MAX = 64
"""Of one text: more is no name, but an attempt to be found by everything."""

WORD_CHARS_MAX = 64

MARKS_MAX = 30
"""Combining marks in a row; sorting them takes quadratic time (Unicode, UAX #15, section 13)."""

DOMAIN_CHARS_MAX = 253
LABEL_CHARS_MAX = 63
"""Longer ones are in no DNS, in whatever form, and encoding them takes quadratic time."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_ADDRESS = re.compile(r"[^\s<>\x00-\x1f\x7f-\x9f]+@[^\s<>@\x00-\x1f\x7f-\x9f]+")
_TOKEN = re.compile(r"[^\W_]+(?:-[^\W_]+)*")


class UserId(msgspec.Struct, frozen=True, gc=False):
    """A user ID as people read it, and the one address it is for."""

    text: str
    address: str | None


def parse_user_id(body: bytes) -> UserId:
    """Read the body of a user ID packet, whatever is in it.

    Octets that are no UTF-8 become U+FFFD; controls are left out. The address is what
    stands between the first "<" and the last ">", else the whole text, if it is one.
    """
    text = _CONTROLS.sub("", body.decode(errors="replace")).strip()
    opened, closed = text.find("<"), text.rfind(">")
    bare = text[opened + 1 : closed] if 0 <= opened < closed else text
    return UserId(text, normal_address(bare))


def normal_address(text: str) -> str | None:
    """A bare address as it is compared: lower case, the domain in its ASCII form.

    None if it is none: a local part and a domain around the last "@", without white space,
    controls and angle brackets. Dots and tags in the local part stay: they are its owner's.
    """
    text = text.strip()
    if not _ADDRESS.fullmatch(text):
        return None
    if text.isascii():
        return text.lower()
    normal = unicodedata.normalize("NFC", _few_marks(text).lower())
    local, _, domain = normal.rpartition("@")
    return f"{local}@{_ascii_domain(domain)}"


def _ascii_domain(domain: str) -> str:
    """The domain's form in the DNS; what has none stays as it is."""
    if len(domain) > DOMAIN_CHARS_MAX or max(map(len, domain.split("."))) > LABEL_CHARS_MAX:
        return domain
    try:
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return domain


def normal_text(text: str) -> str:
    """A text as it is compared: without controls, trimmed, in NFC and without case.

    Source: The Unicode Standard, section 3.13, D145 (canonical caseless matching).
    """
    text = _CONTROLS.sub("", text).strip()
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFD", _few_marks(text)).casefold()
    return unicodedata.normalize("NFC", text)


def _few_marks(text: str) -> str:
    """Without the combining marks beyond those that any script needs on one letter."""
    kept: list[str] = []
    marks = 0
    for character in text:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks <= MARKS_MAX:
            kept.append(character)
    return "".join(kept)


def words(text: str) -> frozenset[str]:
    """What a text is found by: runs of letters and digits, and hyphenated ones as a whole.

    They are normal texts of 1 to 64 characters; the first 64 of them count.
    """
    found: dict[str, None] = {}
    for token in _TOKEN.finditer(normal_text(text)):
        for word in (token[0], *token[0].split("-")):
            if len(word) <= WORD_CHARS_MAX:
                found[word] = None
        if len(found) >= WORDS_MAX:
            break
    return frozenset(list(found)[:WORDS_MAX])
