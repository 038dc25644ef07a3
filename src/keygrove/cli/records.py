"""`keygrove admin audit` and `keygrove admin blocked`: what administrators had done."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
import click
import msgspec

from keygrove.cli.console import print_columns, utc
from keygrove.cli.options import common, configure, errors_worded
from keygrove.cli.stores import stores
from keygrove.storage.audit import Action, Effect, Record
from keygrove.storage.cursor import Cursor
from keygrove.storage.store import AuditPage, DenialPage
from keygrove.storage.write import Denial

PAGE = 1_000
ACTIONS = {
    Action.DENY: "block",
    Action.ALLOW: "unblock",
    Action.REPLACE: "replace",
    Action.REDACT: "redact-uid",
    Action.UNREDACT: "unredact-uid",
}
EFFECTS = {
    Effect.DONE: "done",
    Effect.DENIED: "blocked",
    Effect.NOT_DENIED: "not-blocked",
    Effect.AHEAD: "blocked-not-held",
    Effect.DENIED_BEFORE: "already-blocked",
    Effect.NOT_HELD: "redacted-not-held",
    Effect.NOT_REDACTED: "not-redacted",
    Effect.NOTHING_LEFT: "nothing-left",
}

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


@click.command("audit", short_help="List what administrators had done.")
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
                (utc(one.at), one.by, one.action, one.result, one.fingerprint, one.reason)
                for one in entries
            ]
            heading = ("when", "by", "action", "result", "fingerprint", "reason")
            print_columns(heading, rows, words=len(heading), is_headed=False)


@click.command("blocked", short_help="List blocked certificates.")
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
            rows = [(one.fingerprint, utc(one.at), one.reason) for one in found]
            heading = ("fingerprint", "since", "reason")
            print_columns(heading, rows, words=len(heading), is_headed=False)


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
    since = denial.at if denial.since is None else denial.since
    return Blocked(denial.fingerprint.hex().upper(), since, denial.reason, digests)


def _print_lines(values: Sequence[Entry] | Sequence[Blocked]) -> None:
    for value in values:
        click.echo(msgspec.json.encode(value))
