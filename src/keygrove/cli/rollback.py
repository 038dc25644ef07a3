"""`keygrove rollback`: take back what a partner, a load or anybody brought, and keep it out.

The running server does it; this waits until it is done. What ends this does not end that.
"""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import anyio
import click
import httpx
import msgspec
from click.core import ParameterSource

from keygrove.cli.admin import parse_fingerprint
from keygrove.cli.console import counted, out, utc
from keygrove.cli.control import REFUSED, body_of, connected
from keygrove.cli.hints import completed
from keygrove.cli.options import FoundProblems, WrongUse, common, configure, errors_worded
from keygrove.cli.words import Word
from keygrove.errors import RollbackError
from keygrove.http.recon import ReconStatus
from keygrove.http.rollbacks import REASON_MAX, Ask, Line, Listing, Rehearsed, Tolled
from keygrove.storage.mark import NOW

LOOK_S = 0.2
"""Between two looks at how far it is."""
SHOWN_MAX = 10
UNDER_WAY = frozenset({"running", "undoing"})
ANYWAY = frozenset({"config", "data", "debug", "as_json"})
ALONE = {
    "undo": ANYWAY | {"undo", "dry_run"},
    "resume": ANYWAY | {"resume"},
    "status": ANYWAY | {"status"},
}
"""What may stand beside options that say what to do instead of a rollback."""
CAUSES = ("upload", "load", "recon", "admin", "rollback")

T = TypeVar("T")


@click.command("rollback", short_help="Take back what somebody brought, and keep it out.")
@common
@click.option("--since", type=Word(), metavar="MOMENT", help="Only what changed since then.")
@click.option(
    "--until", type=Word(), metavar="MOMENT", default=NOW, help="Only what changed by then."
)
@click.option("--cause", "causes", multiple=True, type=click.Choice(CAUSES), help="By its cause.")
@click.option(
    "--partner",
    "partners",
    multiple=True,
    type=Word(),
    metavar="NAME",
    help="What it brought.",
)
@click.option(
    "--load",
    "loads",
    multiple=True,
    type=Word(),
    metavar="ORIGIN",
    help="What that load brought.",
)
@click.option(
    "--list",
    "listed",
    type=click.File("rb"),
    metavar="FILE",
    help="Of these certificates only: a fingerprint on each line; `-` is standard input.",
)
@click.option("--reason", type=Word(), metavar="TEXT", help="What the denials say.")
@click.option("--force", is_flag=True, help="Also where what others brought goes with it.")
@click.option("--undo", type=Word(), metavar="NAME", help="Undo that rollback.")
@click.option("--resume", type=Word(), metavar="NAME", help="Go on with one that was broken off.")
@click.option("--dry-run", is_flag=True, help="Say what it would come to, and change nothing.")
@click.option("--status", is_flag=True, help="List all rollbacks.")
@click.option("--json", "as_json", is_flag=True, help="JSON, for programs.")
@click.pass_context
def rollback(
    context: click.Context,
    *,
    config: Path | None,
    data: Path | None,
    debug: bool,
    since: str | None,
    until: str,
    causes: tuple[str, ...],
    partners: tuple[str, ...],
    loads: tuple[str, ...],
    listed: BinaryIO | None,
    reason: str | None,
    force: bool,
    undo: str | None,
    resume: str | None,
    dry_run: bool,
    status: bool,
    as_json: bool,
) -> None:
    """Take back the changes of which all that is given holds, and keep them from coming again.

    What others brought stays. A moment is what `keygrove snapshot diff` takes: a snapshot, a
    time. Nothing is lost: `--undo` brings all of it back.
    """
    with errors_worded(debug=debug):
        _ensure_one(context)
        root = Path(configure(config, data).settings.data_dir)
        if status:
            _print_all(anyio.run(_get, root), as_json=as_json)
            return
        ask = Ask(
            since or "",
            until,
            causes,
            (*partners, *loads),
            None if listed is None else _fingerprints(listed),
            force,
            reason or "",
        )
        name = undo or resume
        if undo is not None:
            _ensure_not_undone(undo, anyio.run(_get, root))
        if name is not None:
            path = f"/rollbacks/{'undo' if undo else 'resume'}"
            fields, body = {"name": name}, None
        else:
            _check(ask)
            path, fields, body = "/rollbacks", {}, msgspec.json.encode(ask)
        if dry_run:
            path = path if undo else "/rollbacks/rehearse"
            fields = fields | {"dry": "1"} if undo else fields
            with _partners_named(root, partners):
                found = anyio.run(_post, root, path, fields, body, Rehearsed)
            _print_rehearsed(found, as_json=as_json)
            return
        with _partners_named(root, partners):
            line = anyio.run(_carried_out, root, path, fields, body)
        _print_done(line, as_json=as_json)
        toll = line.toll
        if toll.entangled or toll.overgrown or toll.lost or toll.damaged:
            sys.exit(FoundProblems.exit_code)


def _check(ask: Ask) -> None:
    if len(ask.reason) > REASON_MAX:
        raise WrongUse(f"the reason is longer than {REASON_MAX} characters: give a shorter one")
    if not (ask.since or ask.causes or ask.origins or ask.fingerprints is not None):
        raise WrongUse(
            "say what is to be taken back: --since, --cause, --partner, --load or --list; without "
            "one of these it would be all that there is, or with --until all that there was by then"
        )


def _ensure_one(context: click.Context) -> None:
    """Refuse options that mean nothing together, rather than do one thing of two."""
    given = [
        param
        for param in context.command.params
        if param.name and context.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
    ]
    asked = [param for param in given if param.name in ALONE]
    for one in asked:
        assert one.name is not None
        others = [param.opts[0] for param in given if param.name not in ALONE[one.name]]
        if others:
            raise WrongUse(f"{one.opts[0]} goes without {', '.join(others)}: leave out one of them")


def _fingerprints(lines: BinaryIO) -> tuple[str, ...]:
    words = [line.split()[-1] for line in lines if line.strip()]
    return tuple(parse_fingerprint(one.decode(errors="replace")).hex() for one in words)


def _ensure_not_undone(name: str, known: Listing) -> None:
    for one in known.rollbacks:
        if (one.name, one.stage) == (name, "undone"):
            text = f"rollback {name} was undone already, at {utc(one.at)}: {_worded(one.toll)}"
            raise FoundProblems(text)


@contextmanager
def _partners_named(root: Path, given: Sequence[str]) -> Generator[None, None, None]:
    """Where it is refused, and some that were given are no partners, those that are there are told.

    That alone is no mistake: there may have been a partner of that name.
    """
    try:
        yield
    except RollbackError as error:
        known = anyio.run(_partners, root) if given else []
        strange = [repr(one) for one in given if one not in known]
        if not strange:
            raise
        there = ", ".join(known) or "none"
        text = f"{error}; there is no partner {', '.join(strange)} in the settings, but {there}"
        raise RollbackError(text) from error


async def _partners(root: Path) -> list[str]:
    async with connected(root) as client:
        response = await client.get("/recon")
    if response.status_code == REFUSED:  # there is no recon
        return []
    return [one.name for one in msgspec.json.decode(body_of(response), type=ReconStatus).partners]


async def _get(root: Path) -> Listing:
    async with connected(root) as client:
        return _read(await client.get("/rollbacks"), Listing)


async def _post(
    root: Path, path: str, fields: dict[str, str], body: bytes | None, kind: type[T]
) -> T:
    async with connected(root) as client:
        return _read(await client.post(path, params=fields, content=body, timeout=None), kind)


async def _carried_out(root: Path, path: str, fields: dict[str, str], body: bytes | None) -> Line:
    """Have it begun, and wait for its end."""
    line = await _post(root, path, fields, body, Line)
    if line.stage in UNDER_WAY:
        text = (
            f"rollback {line.name} is {line.stage} in the server, which goes on if this command is "
            "interrupted: see `keygrove rollback --status`"
        )
        click.echo(completed(text), err=True)
    while line.stage in UNDER_WAY:
        await anyio.sleep(LOOK_S)
        known = (await _get(root)).rollbacks
        line = next(one for one in known if one.name == line.name)
    return line


def _read(response: httpx.Response, kind: type[T]) -> T:
    return msgspec.json.decode(body_of(response, RollbackError), type=kind)


def _print_rehearsed(found: Rehearsed, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    click.echo(f"would be {_worded(found.toll)}")
    for text, number in list(found.brought.items())[:SHOWN_MAX]:
        click.echo(f"brought by {text}: {number:,}")
    _print_entangled(found.entangled)


def _print_entangled(names: tuple[str, ...]) -> None:
    for name in names:
        click.echo(f"entangled\t{name}")
    if names:
        text = "what others brought hangs on what would go: --force takes it, too"
        click.echo(text, err=True)


def _print_done(line: Line, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(line))
        return
    out().print(f"rollback {line.name} is {line.stage}: {_worded(line.toll)}")
    if line.toll.entangled:
        text = "left as they are, since what others brought hangs on them: see --dry-run"
        click.echo(f"{counted(line.toll.entangled, 'certificate')} {text}", err=True)
    if line.stage == "done":
        text = f"to have it back: keygrove rollback --undo {line.name}"
        click.echo(completed(text), err=True)


def _worded(toll: Tolled) -> str:
    words = [
        f"{getattr(toll, name):,} {name}"
        for name in ("removed", "changed", "restored", "entangled", "overgrown", "lost", "damaged")
        if getattr(toll, name)
    ]
    return f"{', '.join(words) or 'nothing'}; {toll.octets:,} octets"


def _print_all(found: Listing, *, as_json: bool) -> None:
    for line in found.rollbacks:
        if as_json:
            click.echo(msgspec.json.encode(line))
            continue
        click.echo("\t".join(_cells(line)))


def _cells(line: Line) -> tuple[str, ...]:
    """The rollback, and behind it its undo, if there is one."""
    stage = f"{line.stage}, partial" if line.is_partial else line.stage
    first = line.before or line
    cells = (line.name, utc(first.at), stage, _worded(first.toll), line.reason)
    return cells if line.before is None else (*cells, utc(line.at), _worded(line.toll))
