"""`keygrove proof`: what a server proves, checked with nothing of the store's.

Neither the settings nor a data directory are looked at: all that is believed is the key.
"""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click
import httpx
import msgspec

from keygrove.cli.console import counted
from keygrove.cli.options import CouldNotRun, FoundProblems, WrongUse, errors_worded
from keygrove.cli.words import Place, Word
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.proofs.note import (
    BadVerifierKeyError,
    VerifierKey,
    parse_verifier_key,
)
from keygrove_protocols.proofs.proof import (
    HEAD,
    PROOF_OCTETS_MAX,
    Head,
    Proved,
    parse_head,
    verify,
)

SERVER = "http://127.0.0.1:11371"
AGE_MAX_S = 3600
"""Of what a server says is so now: it may be behind a cache, and clocks differ."""
TIMEOUT_S = 30.0
CERTIFICATE_OCTETS_MAX = 64 << 20
_SCHEMES = {"hkp": ("http", 11371), "hkps": ("https", 443)}
_FINGERPRINT = re.compile(r"(0[xX])?([0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})")


class Checked(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of one argument, as `--json` has it."""

    what: str
    holds: bool
    error: str = ""
    fingerprint: str | None = None
    held: bool | None = None
    packets: str | None = None
    server: str | None = None
    hash: str | None = None
    size: int | None = None
    root: str | None = None
    at: int | None = None

    def __str__(self) -> str:
        if not self.holds:
            return f"{self.what}: does not hold: {self.error}"
        size = counted(self.size or 0, "certificate")
        of = f"{self.server}, {size}, root {self.root}, {_utc(self.at or 0)}"
        if self.fingerprint is None:
            return f"{self.what}: {of}"
        return f"{self.fingerprint}: {'held' if self.held else 'not held'}: {of}"


@click.command("proof", short_help="Check what a server proves that it holds.")
@click.argument("whats", metavar="WHAT…", nargs=-1, required=True, type=Word())
@click.option("--key", required=True, metavar="KEY", help="The server's verifier key, one line.")
@click.option("--server", default=SERVER, metavar="URL", help="Whom to ask for fingerprints.")
@click.option(
    "--certificate",
    type=Place(dir_okay=False),
    metavar="FILE",
    help="Demand that this certificate is what is held.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
def proof(
    *, whats: tuple[str, ...], key: str, server: str, certificate: Path | None, as_json: bool
) -> None:
    """Check what a server proves that it holds, or that it does not.

    WHAT is a fingerprint, for which the server is asked; or a file with a proof or a head from a
    server; or "-" for standard input.
    """
    try:
        verifier = parse_verifier_key(key.strip())
    except BadVerifierKeyError as error:
        raise WrongUse(f"--key is no verifier key: {error}") from error
    results: list[Checked] = []
    with errors_worded(debug=False):
        packets = None if certificate is None else _packets(certificate)
        for what, document, is_fresh in _documents(whats, server):
            results.append(_checked(what, document, verifier, packets, is_fresh=is_fresh))
            click.echo(msgspec.json.encode(results[-1]) if as_json else str(results[-1]))
    wrong = sum(not one.holds for one in results)
    if wrong:
        raise FoundProblems(f"{wrong} of {len(results)} did not hold")


class _DoesNotHoldError(Exception):
    """It proves something, but not what it should."""


def _checked(
    what: str, document: bytes, key: VerifierKey, packets: bytes | None, *, is_fresh: bool
) -> Checked:
    """What it comes to. What is fresh came from a server just now, for this fingerprint."""
    try:
        if document.startswith(HEAD.encode()):
            return _head(what, document, key, packets)
        proved = verify(document, key)
        if is_fresh:
            _demand_fresh(proved, bytes.fromhex(_digits(what)))
        if packets is not None:
            _demand_packets(proved, packets)
    except (ProtocolError, _DoesNotHoldError) as error:
        return Checked(what, holds=False, error=str(error))
    found = Checked(
        what,
        holds=True,
        fingerprint=proved.fingerprint.hex().upper(),
        held=proved.packets is not None,
        packets=None if proved.packets is None else proved.packets.hex(),
    )
    return _told(found, proved.head)


def _head(what: str, note: bytes, key: VerifierKey, packets: bytes | None) -> Checked:
    if packets is not None:
        raise _DoesNotHoldError("a head says nothing of one certificate")
    return _told(Checked(what, holds=True), parse_head(note, key))


def _demand_packets(proved: Proved, packets: bytes) -> None:
    if not proved.is_of(packets):
        other = "none is" if proved.packets is None else "another is"
        raise _DoesNotHoldError(f"this is not the certificate that is held: {other}")


def _demand_fresh(proved: Proved, name: bytes) -> None:
    if proved.fingerprint != name:
        raise _DoesNotHoldError(f"the server's proof is of {proved.fingerprint.hex().upper()}")
    if abs(time.time() - proved.head.at) > AGE_MAX_S:
        raise _DoesNotHoldError(f"the server's proof is of {_utc(proved.head.at)}, not of now")


def _utc(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):  # no year that a calendar has
        return f"{seconds} s"


def _told(found: Checked, head: Head) -> Checked:
    return msgspec.structs.replace(
        found,
        server=head.server,
        hash=head.hash,
        size=head.size,
        root=head.root.hex(),
        at=head.at,
    )


def _documents(whats: tuple[str, ...], server: str) -> Iterator[tuple[str, bytes, bool]]:
    with httpx.Client(timeout=TIMEOUT_S) as client:
        for what in whats:
            if _FINGERPRINT.fullmatch(what):
                yield what, _fetched(client, _url(server), _digits(what)), True
            else:
                yield what, _read(Path(what), PROOF_OCTETS_MAX), False


def _digits(what: str) -> str:
    return what[2:] if what[:2] in ("0x", "0X") else what


def _url(server: str) -> httpx.URL:
    try:
        url = httpx.URL(server)
    except httpx.InvalidURL as error:
        raise WrongUse(f"--server is no URL: {error}") from error
    if url.scheme in _SCHEMES:
        scheme, port = _SCHEMES[url.scheme]
        url = url.copy_with(scheme=scheme, port=url.port or port)
    if url.scheme not in ("http", "https") or not url.host:
        raise WrongUse("--server is no URL: write it as in https://keys.example.org")
    return url


def _fetched(client: httpx.Client, server: httpx.URL, digits: str) -> bytes:
    url = server.copy_with(path="/pks/proof", query=f"search=0x{digits}".encode())
    try:
        with client.stream("GET", url) as response:
            body = b""
            for part in response.iter_bytes():
                body += part
                if len(body) > PROOF_OCTETS_MAX:
                    break
            if not response.is_success:
                text = body[:200].decode(errors="replace").strip()
                raise CouldNotRun(f"{server} answers with {response.status_code}: {text!r}")
            return body
    except httpx.HTTPError as error:
        raise CouldNotRun(
            f"{server} cannot be asked: {str(error) or type(error).__name__}"
        ) from error


def _packets(path: Path) -> bytes:
    """Of a certificate, armored or binary."""
    data = _read(path, CERTIFICATE_OCTETS_MAX)
    try:
        return dearmor(data, BULK).data
    except ProtocolError as error:
        raise WrongUse(f"--certificate is none: {error}") from error


def _read(path: Path, octets_max: int) -> bytes:
    try:
        with click.open_file(str(path), "rb") as file:
            data: bytes = file.read(octets_max + 1)
            return data
    except OSError as error:
        raise CouldNotRun(f"cannot read {path}: {error.strerror}") from error
