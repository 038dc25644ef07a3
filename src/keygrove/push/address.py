"""Where a target takes certificates, in what form, and by which names it is known: pure.

    hkp://HOST     port 11371    POST /pks/add         the form keytext=ARMOR
    hkps://HOST    port 443, TLS
    vks://HOST     port 443, TLS POST /vks/v1/upload   JSON {"keytext": ARMOR}

Source: hkp.md §1.1, §1.5, §4.2, §7.9.
"""

from typing import Final
from urllib.parse import quote_from_bytes, urlsplit

import msgspec

from keygrove.recon.hosts import divided, joined
from keygrove.settings import PushTarget, ReconPartner

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
_KINDS: Final = {
    "hkp": ("http", 11371, "/pks/add", FORM),
    "hkps": ("https", 443, "/pks/add", FORM),
    "vks": ("https", 443, "/vks/v1/upload", JSON),
}


class Address(msgspec.Struct, frozen=True):
    """Where to post, and what kind of body."""

    url: str
    content_type: str

    def body(self, armored: bytes) -> bytes:
        """What is posted of a certificate."""
        if self.content_type == JSON:
            return msgspec.json.encode({"keytext": armored.decode("ascii")})
        # As gpg has it: SKS looks for just that prefix.
        return b"keytext=" + quote_from_bytes(armored, safe="").encode()


def address_of(to: str) -> Address:
    """Of a target, as the settings name it."""
    parts = urlsplit(to)
    scheme, default, path, content_type = _KINDS[parts.scheme]
    port = default if parts.port is None else parts.port
    return Address(f"{scheme}://{joined(parts.hostname or '', port)}{path}", content_type)


class Names(msgspec.Struct, frozen=True):
    """By what is told that a change came from a target."""

    senders: frozenset[str]
    """What it calls itself."""
    partners: frozenset[str]
    """What it is called as a partner of recon."""


def names_of(target: PushTarget, partners: tuple[ReconPartner, ...]) -> Names:
    """Of a target. Partners on its host are it, unless it is said which one is."""
    host = urlsplit(target.to).hostname or ""
    if target.partner is not None:
        named = {target.partner}
    else:
        named = {one.name for one in partners if divided(one.recon)[0].lower() == host}
    return Names(frozenset({(target.known_as or host).lower()}), frozenset(named))


def host_in(sender: str) -> str:
    """The host in what a server calls itself, which may be a URL, or an address of mail."""
    _, _, rest = sender.lower().rpartition("://")
    _, _, rest = rest.partition("/")[0].rpartition("@")
    host, colon, port = rest.rpartition(":")
    return host if colon and port.isdecimal() else rest
