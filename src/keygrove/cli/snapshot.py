"""`keygrove snapshot`: name how the store stands, and see later how it stood.

The running server is asked; without one, what only reads looks into the files.
"""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import anyio
import click
import httpx
import msgspec

from keygrove.cli.admin import parse_fingerprint
from keygrove.cli.console import counted, print_columns, utc
from keygrove.cli.control import body_of, connected
from keygrove.cli.hints import completed
from keygrove.cli.options import FoundProblems, WrongUse, common, configure, errors_worded
from keygrove.cli.stores import ReadShards, stores
from keygrove.cli.words import Word
from keygrove.cluster.snapshots import Snapshots, what_is_partial
from keygrove.errors import SnapshotError, UnavailableError
from keygrove.http.snapshots import Differences, Kind, Line, Listing, listing, packets, page
from keygrove.storage.mark import NOW, check_name
from keygrove_protocols.openpgp.armor import armor

NOT_HELD = 404


class _Source(Protocol):
    """Who answers what only reads."""

    async def all(self) -> Listing:
        """All snapshots."""
        ...

    async def page(self, old: str, new: str, start: str) -> Differences:
        """A page of what differs."""
        ...

    async def packets(self, at: str, fingerprint: str) -> bytes | None:
        """A certificate as it was."""
        ...


class _Server:
    """The running server."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def all(self) -> Listing:
        body = await self.ask("GET", "/snapshots")
        return msgspec.json.decode(body, type=Listing)

    async def page(self, old: str, new: str, start: str) -> Differences:
        body = await self.ask("GET", "/snapshots/diff", old=old, new=new, start=start)
        return msgspec.json.decode(body, type=Differences)

    async def packets(self, at: str, fingerprint: str) -> bytes | None:
        response = await self._send("GET", "/snapshots/show", at=at, fingerprint=fingerprint)
        return None if response.status_code == NOT_HELD else body_of(response, SnapshotError)

    async def ask(self, method: str, path: str, **fields: str) -> bytes:
        return body_of(await self._send(method, path, **fields), SnapshotError)

    async def _send(self, method: str, path: str, **fields: str) -> httpx.Response:
        return await self._client.request(method, path, params=fields)


class _Files:
    """The files, of which nobody has to be a server."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    async def all(self) -> Listing:
        return await listing(self._snapshots)

    async def page(self, old: str, new: str, start: str) -> Differences:
        return await page(self._snapshots, old, new, start)

    async def packets(self, at: str, fingerprint: str) -> bytes | None:
        return await packets(self._snapshots, at, fingerprint)


@asynccontextmanager
async def _source(root: Path) -> AsyncGenerator[_Source, None]:
    if await _is_served(root):
        async with connected(root) as client:
            yield _Server(client)
        return
    async with stores(root) as opened:
        yield _Files(Snapshots(ReadShards(opened), len(opened)))


async def _is_served(root: Path) -> bool:
    try:
        async with connected(root) as client:
            await client.request("OPTIONS", "/snapshots")
    except UnavailableError:
        return False
    return True


@click.group("snapshot")
def snapshot() -> None:
    """Name how the store stands, and see later how it stood."""


AS_JSON = click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")


@snapshot.command("create", short_help="Take a snapshot.")
@common
@click.argument("name", type=Word())
@AS_JSON
def create(
    *, config: Path | None, data: Path | None, debug: bool, name: str, as_json: bool
) -> None:
    """Have the running server remember by this NAME how the store stands now."""
    with errors_worded(debug=debug):
        _check(name)
        root = Path(configure(config, data).settings.data_dir)
        line = msgspec.json.decode(_told(root, "/snapshots", name), type=Line)
        if as_json:
            click.echo(msgspec.json.encode(line))
        else:
            held = counted(line.certificates, "certificate")
            click.echo(f"snapshot {line.name} of {held}, root {line.root}")


@snapshot.command("drop", short_help="Forget a snapshot.")
@common
@click.argument("name", type=Word())
def drop(*, config: Path | None, data: Path | None, debug: bool, name: str) -> None:
    """Have the running server forget a snapshot. No certificate is removed by that."""
    with errors_worded(debug=debug):
        _check(name)
        root = Path(configure(config, data).settings.data_dir)
        _told(root, "/snapshots/drop", name)


@snapshot.command("list", short_help="List all snapshots.")
@common
@AS_JSON
def list_all(*, config: Path | None, data: Path | None, debug: bool, as_json: bool) -> None:
    """List all snapshots, the oldest first."""
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        found = anyio.run(_listing, root).snapshots
        if as_json:
            for line in found:
                click.echo(msgspec.json.encode(line))
        else:
            _print(found)
        for line in found:
            if line.root is None:
                click.echo(completed(what_is_partial(line.name, line.at)), err=True)


@snapshot.command("diff", short_help="List what differs between two moments.")
@common
@click.argument("old", type=Word())
@click.argument("new", type=Word(), default=NOW)
@AS_JSON
def diff(
    *, config: Path | None, data: Path | None, debug: bool, old: str, new: str, as_json: bool
) -> None:
    """List the certificates that differ between OLD and NEW, which is now unless given.

    Each is a snapshot, "now", a root in hexadecimal, of a snapshot or of now, or a time in UTC,
    as 2026-01-31 or 2026-01-31T23:59:59Z.
    """
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        _tell_of_future(old, new)
        counts = anyio.run(_print_differences, root, old, new, as_json)
        words = ", ".join(f"{counts[kind]:,} {kind.value}" for kind in Kind)
        click.echo(words, err=True)


@snapshot.command("show", short_help="Print a certificate as it was.")
@common
@click.argument("at", type=Word())
@click.argument("fingerprint")
def show(*, config: Path | None, data: Path | None, debug: bool, at: str, fingerprint: str) -> None:
    """Print a certificate, armored, as it was served AT a moment: see `keygrove snapshot diff`."""
    with errors_worded(debug=debug):
        name = parse_fingerprint(fingerprint)
        _tell_of_future(at)
        root = Path(configure(config, data).settings.data_dir)
        found = anyio.run(_packets, root, at, name.hex())
        if found is None:
            raise FoundProblems(f"no certificate {name.hex().upper()} was held then")
        click.echo(armor(found), nl=False)


def _tell_of_future(*moments: str) -> None:
    """A time that is to come is no error, but seldom what was meant."""
    for text in moments:
        with suppress(ValueError):
            when = datetime.fromisoformat(text)
            if (when if when.tzinfo else when.replace(tzinfo=UTC)) > datetime.now(UTC):
                click.echo(f"{text} is in the future: it means now", err=True)


def _check(name: str) -> None:
    try:
        check_name(name)
    except SnapshotError as error:
        raise WrongUse(str(error)) from error


def _told(root: Path, path: str, name: str) -> bytes:
    async def tell() -> bytes:
        async with connected(root) as client:
            return await _Server(client).ask("POST", path, name=name)

    return anyio.run(tell)


async def _listing(root: Path) -> Listing:
    async with _source(root) as source:
        return await source.all()


async def _packets(root: Path, at: str, fingerprint: str) -> bytes | None:
    async with _source(root) as source:
        return await source.packets(at, fingerprint)


async def _print_differences(root: Path, old: str, new: str, as_json: bool) -> Counter[Kind]:
    counts: Counter[Kind] = Counter()
    async with _source(root) as source:
        async for one in _pages(source, old, new):
            for difference in one.differences:
                counts[difference.kind] += 1
                if as_json:
                    click.echo(msgspec.json.encode(difference))
                else:
                    click.echo(f"{difference.kind.value}\t{difference.fingerprint}")
    return counts


async def _pages(source: _Source, old: str, new: str) -> AsyncIterator[Differences]:
    start: str | None = ""
    while start is not None:
        one = await source.page(old, new, start)
        yield one
        # From here on just the moments that the first page had, whatever is committed meanwhile.
        old, new, start = one.old, one.new, one.start


def _print(found: tuple[Line, ...]) -> None:
    heading = ("snapshot", "taken", "certificates", "root")
    rows = [(one.name, utc(one.at), f"{one.certificates}", one.root or "partial") for one in found]
    print_columns(heading, rows, words=len(heading), is_headed=False)
