"""`keygrove admin`: requests to be signed, blocks from this machine, and the records."""

import hashlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import anyio
import click
import msgspec
import rich.box
from rich.table import Table

from keygrove.cli.console import counted, out
from keygrove.cli.control import connected
from keygrove.cli.options import FoundProblems, WrongUse, common, configure, errors_worded
from keygrove.cli.stores import stores
from keygrove.errors import UnavailableError
from keygrove.http.orders import EFFECTIVE, LocalAction, LocalRequest, Report, Result
from keygrove.storage.store import (
    Action,
    AuditPage,
    Cursor,
    Denial,
    DenialPage,
    Effect,
    Record,
)
from keygrove.system.clock import SystemClock, SystemEntropy
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.hkp.admin import (
    NONCE_OCTETS,
    AdminAction,
    AdminRequest,
    parse_request,
    write_request,
)
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, group
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.packets import split

PAGE = 1_000
DONE = frozenset({200, 409})
"""What the server says to requests that it understood; 409 if there was nothing to do."""
ACTIONS = {Action.DENY: "block", Action.ALLOW: "unblock", Action.REPLACE: "replace"}
EFFECTS = {
    Effect.DONE: "done",
    Effect.DENIED: "blocked",
    Effect.NOT_DENIED: "not-blocked",
    Effect.AHEAD: "blocked-not-held",
    Effect.DENIED_BEFORE: "already-blocked",
}
WORDS = {
    Result.AHEAD: "nothing of it was held, and nothing of it will be taken",
    Result.BLOCKED_BEFORE: "the reason given first stands, see `keygrove admin blocked`",
    Result.NOT_BLOCKED: "there was nothing to unblock",
}
"""What is said beside a result that may surprise."""

T = TypeVar("T", AuditPage, DenialPage)


class Entry(msgspec.Struct, frozen=True):
    """An entry of the audit log, as JSON has it."""

    at: int
    by: str
    action: str
    result: str
    fingerprint: str
    reason: str
    nonce: str


class Blocked(msgspec.Struct, frozen=True):
    """A blocked certificate, as JSON has it."""

    fingerprint: str
    at: int
    reason: str
    digests: tuple[str, ...]


@click.group("admin")
def admin() -> None:
    """Block and replace certificates."""


@admin.command("request", short_help="Write a request for an administrator to sign.")
@common
@click.argument("action", type=click.Choice([one.value for one in AdminAction]))
@click.argument("certificates", nargs=-1, required=True)
@click.option("--reason", default="", metavar="TEXT", help="Why, in one line.")
@click.option(
    "--server", metavar="HOST", help="The server that it is for, if not the settings' own."
)
def request(
    *,
    config: Path | None,
    data: Path | None,
    debug: bool,
    action: str,
    certificates: tuple[str, ...],
    reason: str,
    server: str | None,
) -> None:
    """Write a request for an administrator to sign within the hour.

    CERTIFICATES are fingerprints, or for "replace" the file of the certificate that takes the
    place of the one that is held.
    """
    with errors_worded(debug=debug):
        server = server or configure(config, data).settings.admin.server
        if not server:
            raise WrongUse("say which server it is for: --server HOST, or admin.server")
        wanted = AdminAction(action)
        if wanted is AdminAction.REPLACE:
            names, digest = _replacement(certificates)
        else:
            names, digest = tuple(map(_fingerprint, certificates)), b""
        text = write_request(
            AdminRequest(
                action=wanted,
                server=server,
                date=SystemClock().now(),
                nonce=SystemEntropy().token(NONCE_OCTETS),
                fingerprints=names,
                reason=reason,
                certificate=digest,
            )
        )
        try:
            parse_request(text)  # what no server would take is not to be signed
        except ProtocolError as error:
            raise WrongUse(str(error)) from error
        sys.stdout.buffer.write(text)


def _order_command(action: LocalAction, short_help: str, text: str) -> None:
    """Add a command by which whoever works on this machine has the running server do something."""

    @admin.command(action, short_help=short_help, help=text)
    @common
    @click.argument("fingerprints", nargs=-1, required=True)
    @click.option("--reason", default="", metavar="TEXT", help="Why, in one line.")
    def order(
        *,
        config: Path | None,
        data: Path | None,
        debug: bool,
        fingerprints: tuple[str, ...],
        reason: str,
    ) -> None:
        with errors_worded(debug=debug):
            root = Path(configure(config, data).settings.data_dir)
            _tell(anyio.run(_order, root, action, fingerprints, reason))


_order_command(
    "block",
    "Remove certificates, and take them no more.",
    "Have the running server remove certificates, and take them no more.",
)
_order_command(
    "unblock",
    "Take blocked certificates again.",
    "Have the running server take blocked certificates again. None comes back by that alone.",
)


@admin.command("audit", short_help="List what administrators had done.")
@common
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
def audit(*, config: Path | None, data: Path | None, debug: bool, as_json: bool) -> None:
    """List what administrators had done, oldest first. Only reads."""
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        entries = sorted(map(_entry, anyio.run(_records, root)), key=lambda one: one.at)
        if as_json:
            _print_lines(entries)
        else:
            rows = [
                (_time(one.at), one.by, one.action, one.result, one.fingerprint, one.reason)
                for one in entries
            ]
            _print_table(("when", "by", "action", "result", "fingerprint", "reason"), rows)


@admin.command("blocked", short_help="List blocked certificates.")
@common
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
def blocked(*, config: Path | None, data: Path | None, debug: bool, as_json: bool) -> None:
    """List blocked certificates, by their fingerprints. Only reads."""
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        found = sorted(map(_blocked, anyio.run(_denials, root)), key=lambda one: one.fingerprint)
        if as_json:
            _print_lines(found)
        else:
            rows = [(one.fingerprint, _time(one.at), one.reason) for one in found]
            _print_table(("fingerprint", "since", "reason"), rows)


def _replacement(files: Sequence[str]) -> tuple[tuple[Fingerprint, ...], bytes]:
    """Whose certificate it is, and the SHA-256 of its packets."""
    if len(files) != 1:
        raise WrongUse("a request replaces one certificate: name one file")
    try:
        packets = dearmor(Path(files[0]).read_bytes(), SUBMISSION).data
        found = group(split(packets, SUBMISSION), SUBMISSION)
    except OSError as error:
        raise WrongUse(f"cannot read {files[0]}: {error.strerror}") from error
    except ProtocolError as error:
        raise WrongUse(f"{files[0]}: {error}") from error
    if len(found) != 1 or not isinstance(found[0], Certificate):
        raise WrongUse(f"{files[0]} is no single certificate: see keygrove inspect")
    return (fingerprint(found[0]),), hashlib.sha256(packets).digest()


def _fingerprint(text: str) -> Fingerprint:
    try:
        octets = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        octets = b""
    if len(octets) not in (16, 20, 32):
        raise WrongUse(f"{text!r} is no fingerprint: give all of its hex digits")
    return Fingerprint(octets)


async def _order(
    root: Path, action: LocalAction, fingerprints: Sequence[str], reason: str
) -> Report:
    names = [_fingerprint(one).hex() for one in fingerprints]
    try:
        wanted = msgspec.convert(
            {"action": action, "fingerprints": names, "reason": reason}, LocalRequest
        )
    except msgspec.ValidationError as error:
        raise WrongUse(str(error)) from error
    async with connected(root) as client:
        response = await client.post("/admin", content=msgspec.json.encode(wanted))
        if response.status_code not in DONE:
            raise UnavailableError(f"the server cannot do it now: {response.text.strip()}")
        return msgspec.json.decode(response.content, type=Report)


def _tell(report: Report) -> None:
    rest = sum(one.result not in EFFECTIVE for one in report.results)
    for one in report.results:
        click.echo(f"{one.fingerprint} {one.result.value}")
        if one.result in WORDS:
            click.echo(f"{one.fingerprint}: {WORDS[one.result]}", err=True)
        elif one.result is Result.SUBKEY:
            whose = " or ".join(one.primaries)
            text = f"this is a subkey: name its certificate, {whose}, to {report.action.value} that"
            click.echo(f"{one.fingerprint}: {text}", err=True)
    if rest:
        raise FoundProblems(f"nothing was done for {counted(rest, 'fingerprint')}")


async def _records(root: Path) -> list[Record]:
    async with stores(root) as opened:
        return [
            one for store in opened async for page in _pages(store.audit) for one in page.records
        ]


async def _denials(root: Path) -> list[Denial]:
    async with stores(root) as opened:
        return [
            one for store in opened async for page in _pages(store.denials) for one in page.denials
        ]


async def _pages(read: Callable[[Cursor | None, int], Awaitable[T]]) -> AsyncIterator[T]:
    cursor: Cursor | None = None
    while True:
        page = await read(cursor, PAGE)
        yield page
        cursor = page.cursor
        if cursor is None:
            return


def _entry(record: Record) -> Entry:
    return Entry(
        at=record.at,
        by="local" if record.by is None else record.by.hex().upper(),
        action=ACTIONS[record.action],
        result=EFFECTS[record.effect],
        fingerprint=record.fingerprint.hex().upper(),
        reason=record.reason,
        nonce=record.nonce.hex(),
    )


def _blocked(denial: Denial) -> Blocked:
    digests = tuple(digest.hex() for digest in denial.digests)
    return Blocked(denial.fingerprint.hex().upper(), denial.at, denial.reason, digests)


def _time(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _print_lines(values: Sequence[Entry] | Sequence[Blocked]) -> None:
    for value in values:
        click.echo(msgspec.json.encode(value))


def _print_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """For people; in a pipe whole lines, with tabs between."""
    screen = out()
    if not screen.is_terminal:
        for row in rows:
            click.echo("\t".join(row))
        return
    table = Table(box=rich.box.SIMPLE, pad_edge=False)
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    screen.print(table)
