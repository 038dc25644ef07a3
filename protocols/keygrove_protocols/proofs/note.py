"""Signed notes: a few lines of text, and under them who signed these with Ed25519.

    keys.example.org/keygrove
    size 6500000
    (empty line)
    — keys.example.org z3qNQ...

A signature line has an em dash, the signer's name, and in base64 the four octets of the key's ID
and the signature of all lines above the empty one, their line ends included. A verifier key is
one line, `<name>+<key ID, 8 hex digits>+<base64 of 0x01 and the public key>`, and a signer key
`PRIVATE+KEY+<name>+<key ID>+<base64 of 0x01 and the seed>`.

Base64 has one form here: no octets have two, so that nobody can change a note and leave it valid.

Source: C2SP signed-note, v1.0.0; for the signer key golang.org/x/mod/sumdb/note.
"""

import hashlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from keygrove_protocols.errors import ProtocolError

NOTE_OCTETS_MAX: Final = 64 << 10
SIGNATURES_MAX: Final = 64
_ED25519: Final = b"\x01"
_ID_OCTETS: Final = 4
_KEY_OCTETS: Final = 32
_DASH: Final = "\u2014 "
_PRIVATE: Final = "PRIVATE+KEY+"
_CONTROLS: Final = frozenset(map(chr, range(0x20))) - {"\n"}


class BadNoteError(ProtocolError):
    """It is no signed note, or none that can be read."""


class BadVerifierKeyError(ProtocolError):
    """It is no verifier key of Ed25519."""


class BadSignerKeyError(ProtocolError):
    """It is no signer key of Ed25519, or not the whole of one."""


class NotSignedError(ProtocolError):
    """Nothing in the note is a signature by that key, or the one that is there is wrong."""


class VerifierKey(msgspec.Struct, frozen=True):
    """Whose signatures are believed."""

    name: str
    public: bytes
    """32 octets."""

    @property
    def id(self) -> bytes:
        """The four octets by which signatures name it."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(_ED25519 + self.public).decode()}"


class SignerKey:
    """Who signs. `str` of it is the secret."""

    def __init__(self, name: str, seed: bytes) -> None:
        """Take a name that `is_name`, and 32 octets that nobody can guess."""
        assert is_name(name)
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._key.public_key().public_bytes_raw())

    def __str__(self) -> str:
        encoded = b64encode(_ED25519 + self._seed).decode()
        return f"{_PRIVATE}{self.verifier.name}+{self.verifier.id.hex()}+{encoded}"

    def sign(self, lines: str) -> str:
        """A note of these lines, each of which has its line end."""
        signature = b64encode(self.verifier.id + self._key.sign(lines.encode())).decode()
        return f"{lines}\n{_DASH}{self.verifier.name} {signature}\n"


def is_name(text: str) -> bool:
    """May a signer be called so? Not empty, no white space, no plus sign."""
    return bool(text) and text.isprintable() and not set(text) & set(" +")


def parse_verifier_key(text: str) -> VerifierKey:
    """Read a verifier key, as `str` of one gives it.

    Raises:
        BadVerifierKeyError: it is none.
    """
    name, octets, digits = _parts(text)
    if octets is None or not is_name(name):
        raise BadVerifierKeyError("it is not of the form NAME+ID+KEY: copy the whole line")
    key = VerifierKey(name, octets)
    if key.id.hex() != digits:
        raise BadVerifierKeyError("its ID is not that of its key: copy the whole line")
    return key


def parse_signer_key(text: str) -> SignerKey:
    """Read a signer key, as `str` of one gives it.

    Raises:
        BadSignerKeyError: it is none. Nothing of it is in the error.
    """
    name, seed, digits = _parts(text.removeprefix(_PRIVATE))
    if not text.startswith(_PRIVATE) or seed is None or not is_name(name):
        raise BadSignerKeyError("it is not of the form PRIVATE+KEY+NAME+ID+KEY")
    key = SignerKey(name, seed)
    if key.verifier.id.hex() != digits:
        raise BadSignerKeyError("its ID is not that of its key")
    return key


def _parts(text: str) -> tuple[str, bytes | None, str]:
    """Name, the 32 octets of the key if they are these, and the digits of the ID."""
    name, _, rest = text.partition("+")
    digits, _, encoded = rest.partition("+")
    octets = _decoded(encoded)
    if octets is None or len(octets) != 1 + _KEY_OCTETS or octets[:1] != _ED25519:
        return name, None, digits
    return name, octets[1:], digits


def lines_of(note: bytes, key: VerifierKey) -> str:
    """The lines that `key` has signed. Others may have signed them, too.

    Raises:
        BadNoteError: it is no note.
        NotSignedError: `key` has not signed it.
    """
    if len(note) > NOTE_OCTETS_MAX:
        raise BadNoteError(f"a note has at most {NOTE_OCTETS_MAX} octets")
    try:
        text = note.decode()
    except UnicodeDecodeError as error:
        raise BadNoteError("it is not UTF-8") from error
    if not _CONTROLS.isdisjoint(text):
        raise BadNoteError("there are control characters in it")
    lines, gap, signatures = text.rpartition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise BadNoteError("there is no empty line with signatures under it")
    found = signatures.removesuffix("\n").split("\n")
    if len(found) > SIGNATURES_MAX:
        raise BadNoteError(f"there are more than {SIGNATURES_MAX} signatures")
    lines += "\n"
    are_by_key = [_is_by(line, lines, key) for line in found]  # each of them has to be one
    if not any(are_by_key):
        raise NotSignedError(f"{key.name} has not signed it")
    return lines


def _is_by(line: str, lines: str, key: VerifierKey) -> bool:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    octets = _decoded(encoded)
    if not line.startswith(_DASH) or not is_name(name) or not octets or len(octets) <= _ID_OCTETS:
        raise BadNoteError("what is under the empty line is no signature")
    if name != key.name or octets[:_ID_OCTETS] != key.id:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(octets[_ID_OCTETS:], lines.encode())
    except InvalidSignature as error:
        raise NotSignedError(f"the signature by {key.name} is wrong") from error
    return True


def _decoded(text: str) -> bytes | None:
    try:
        octets = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return None
    return octets if b64encode(octets).decode() == text else None
