"""`keygrove recon`: how it stands with partners, asked of the running server."""

from collections.abc import Mapping
from pathlib import Path

import anyio
import click
import msgspec

from keygrove.cli.console import counted, err, out, print_columns, utc
from keygrove.cli.control import body_of, connected
from keygrove.cli.hints import completed
from keygrove.cli.options import FoundProblems, common, configure, errors_worded
from keygrove.cli.recon_diff import diff
from keygrove.cli.words import Word
from keygrove.http.recon import NOW_S, ReconStatus
from keygrove.recon.gossip import PartnerStatus
from keygrove.telemetry.partners import Round

ASKED_S = NOW_S + 30.0
"""The server has its own deadline, and says what is at it."""
_BEHIND = (
    "what is lacking here is fetched now, but for what brought nothing before: `keygrove recon "
    "status` shows what comes of it"
)
_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")


@click.group("recon")
def recon() -> None:
    """Look after recon with partners."""


recon.add_command(diff)


@recon.command("status", short_help="Show how recon with each partner stands.")
@common
@_JSON
def status(*, config: Path | None, data: Path | None, debug: bool, as_json: bool) -> None:
    """Show how recon with each partner stands.

    \b
    circuit        closed: it is counted on; open: it failed, and is left alone
                   for a while; half-open: it is tried again; down: nobody
                   looks after it just now
    ours, theirs   when the last session that we, or it, began ended well
    lacking here   certificates that sessions found there only
    lacking there  certificates that sessions found here only
    passed over    of those lacking here: brought nothing before
    taken          of these: new, or more than we had
    not taken      of these: known, denied, refused, absent or unreadable
    given up       of these: could not be fetched; sessions find them again
    waiting        of these: still to be fetched
    next           when the next session of ours is due; empty: it is under
                   way, or never

    Ends with 0; with 1 if the server was started without recon; with 2 if the settings are wrong;
    with 3 if no server answers.
    """  # noqa: D301 - the backspace is click's mark for lines that stay as they are
    with errors_worded(debug=debug):
        body = anyio.run(_ask, _root(config, data), "GET", "/recon")
        if as_json:
            click.echo(body)
        else:
            _show(msgspec.json.decode(body, type=ReconStatus))


@recon.command("now", short_help="Begin a session with a partner now.")
@common
@_JSON
@click.argument("partner", type=Word())
def now(
    *, config: Path | None, data: Path | None, debug: bool, as_json: bool, partner: str
) -> None:
    """Begin a session with PARTNER now, and say how it ended.

    What is lacking here is fetched behind it: `keygrove recon status` shows what comes of it.

    Ends with 0 if the session came to its end; with 1 if it did not, either side is busy, or there
    is no such partner; with 2 if the settings are wrong; with 3 if no server answers, or the
    session takes longer than 150 s.
    """
    with errors_worded(debug=debug):
        body = anyio.run(_ask, _root(config, data), "POST", "/recon/now", {"partner": partner})
        told = msgspec.json.decode(body, type=Round)
        if as_json:
            click.echo(body)
        if told.result != "done":
            raise FoundProblems(_failure(told))
        if not as_json:
            out().print(_words(told))
            if told.lacking_here:
                err().print(completed(_BEHIND))


def _root(config: Path | None, data: Path | None) -> Path:
    return Path(configure(config, data).settings.data_dir)


async def _ask(
    root: Path, method: str, path: str, fields: Mapping[str, str] | None = None
) -> bytes:
    async with connected(root) as client:
        response = await client.request(method, path, params=fields, timeout=ASKED_S)
        return body_of(response, FoundProblems)


def _failure(told: Round) -> str:
    advice = f": {told.advice}" if told.advice else ""
    return f"{told.partner}: {told.result}: {told.why}{advice}"


def _words(told: Round) -> str:
    here, there = counted(told.lacking_here, "certificate"), told.lacking_there
    more = f" ({told.why})" if told.why else ""
    size = told.bytes_in + told.bytes_out
    return (
        f"{told.partner}: {here} lacking here, {there:,} there; {told.round_trips} round trips "
        f"by {told.way}, {size:,} bytes, {told.duration_s:.2f} s{more}"
    )


def _show(found: ReconStatus) -> None:
    """The partners as data, what is said beside that for people."""
    beside = err()
    if found.tree is None:
        beside.print("the tree of what partners see is being restarted: see the log")
    elif found.tree.waiting_for:
        beside.print(f"partners are shown nothing yet: {found.tree.waiting_for}")
    else:
        beside.print(f"partners see {counted(found.tree.digests, 'certificate')}")
    print_columns(COLUMNS, [_row(partner) for partner in found.partners], words=2)
    for partner in found.partners:
        for line in _troubles(partner):
            beside.print(f"{partner.name}: {line}")


COLUMNS = (
    "partner", "circuit", "ours", "theirs", "lacking here", "lacking there", "passed over",
    "taken", "not taken", "given up", "waiting", "next",
)  # fmt: skip
_TAKEN = ("inserted", "updated")
_NOT_TAKEN = ("known", "denied", "refused", "absent", "unreadable")


def _row(one: PartnerStatus) -> tuple[str, ...]:
    peer = one.peer
    if peer is None:
        return (one.name, "down", *[""] * (len(COLUMNS) - 2))
    recovery = peer.recovery
    results = recovery.results if recovery is not None else {}
    taken, not_taken = (
        sum(results.get(result, 0) for result in some) for some in (_TAKEN, _NOT_TAKEN)
    )
    return (
        one.name,
        one.circuit,
        utc(peer.last_ours),
        utc(peer.last_theirs),
        f"{peer.lacking_here:,}",
        f"{peer.lacking_there:,}",
        f"{results.get('passed over', 0):,}",
        f"{taken:,}",
        f"{not_taken:,}",
        f"{recovery.given_up:,}" if recovery is not None else "",
        f"{recovery.waiting:,}" if recovery is not None else "",
        f"{one.next_in_s:.0f} s" if one.next_in_s is not None else "",
    )


def _troubles(partner: PartnerStatus) -> list[str]:
    peer = partner.peer
    if peer is None:
        return []
    told = {
        "our last session": f"busy: {peer.busy_ours}" if peer.busy_ours else peer.error_ours,
        "its last session": f"busy: {peer.busy_theirs}" if peer.busy_theirs else peer.error_theirs,
    }
    if peer.recovery is not None:
        results = peer.recovery.results
        which = (f"{results[name]:,} {name}" for name in _NOT_TAKEN if results.get(name))
        told |= {"fetching from it": peer.recovery.last_error, "not taken": ", ".join(which)}
    return [f"{what}: {why}" for what, why in told.items() if why]
