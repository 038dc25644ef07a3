"""`keygrove recon diff`: what a store or a dump and another server differ in."""

import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import click
import msgspec
from rich.progress import Progress

from keygrove.cli.console import counted, err, step_progress
from keygrove.cli.inputs import Input, find, left_out_words
from keygrove.cli.options import (
    CouldNotRun,
    FoundProblems,
    WrongUse,
    common,
    configure,
    errors_worded,
)
from keygrove.cli.stores import stores
from keygrove.cli.words import Place, Word
from keygrove.ingest.files import batches
from keygrove.recon.comparing import LIMITS, Compared, Target, compare
from keygrove.recon.hosts import divided, source_for, target_fault
from keygrove.recon.listing import Shown, built, shown_by
from keygrove.recon.members import shown
from keygrove.recon.ours import Ours
from keygrove.settings import Address, ReconSettings
from keygrove.system.clock import SystemEntropy
from keygrove.system.tcp import TcpStreams
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Tag, split

IDENTITY_BYTES: Final = 16
TOLD_EVERY: Final = 1_000


class Only(msgspec.Struct, frozen=True):
    """A certificate that only one of both has, as JSON has it."""

    digest: str
    fingerprint: str | None
    """None: nobody told."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it, as JSON has it."""

    partner: str
    address: str
    program: str
    filters: str
    compared: int
    """Certificates of our side."""
    theirs: tuple[Only, ...]
    """Lacking here, as the partner claims."""
    ours: tuple[Only, ...]
    """Lacking there."""
    has_all_of_theirs: bool
    has_all_of_ours: bool
    ending: str
    why: str
    round_trips: int
    bytes_in: int
    bytes_out: int
    duration_s: float


@click.command("diff", short_help="List what a server and we differ in.")
@common
@click.argument("partner", type=Word())
@click.option(
    "--dump",
    "dumps",
    multiple=True,
    type=Place(exists=True, allow_dash=True),
    metavar="FILE",
    help="Compare this file or directory of certificates instead of the store; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def diff(
    *,
    config: Path | None,
    data: Path | None,
    debug: bool,
    partner: str,
    dumps: tuple[Path, ...],
    as_json: bool,
) -> None:
    """List what only PARTNER has, and what only we have; nobody fetches anything.

    PARTNER is one of the settings, or HOST:PORT, where any SKS, Hockeypuck or Keygrove takes
    recon.

    Ends with 0 if all that differs is listed, however much; with 1 if there may be more; with 2 if
    PARTNER is neither, or the settings are wrong; with 3 if there was no session.
    """
    if dumps and data is not None:
        raise WrongUse("give --data or --dump: one of them is our side")
    with errors_worded(debug=debug):
        settings = configure(config, data).settings
        target = _target(settings.recon, partner)
        work = partial(_compare, Path(settings.data_dir), dumps, partner, target)
        report = anyio.run(work)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        for line in _lines(report):
            click.echo(line)
        err().print(_words(report))
    if not (report.has_all_of_theirs and report.has_all_of_ours):
        raise FoundProblems(_advice(report))


def _target(settings: ReconSettings, partner: str) -> Target:
    known = {one.name: one for one in settings.partner}
    named = known.get(partner)
    if named is None:
        _check_address(partner, sorted(known))
    host, port = divided(partner if named is None else named.recon)
    return Target(
        host=host,
        port=port,
        bind=source_for(settings.listen, host),
        filters=None if named is None else named.filters,
    )


def _check_address(address: str, known: Sequence[str]) -> None:
    try:
        msgspec.convert(address, Address)
    except msgspec.ValidationError as error:
        names = f", of which there is {', '.join(known)}" if known else ""
        raise WrongUse(
            f"{address!r} is no partner of the settings{names}: name one, or HOST:PORT where a "
            "server takes recon, as in keys.example.org:11370"
        ) from error
    fault = target_fault(address)
    if fault:
        raise WrongUse(f"{address} will not do: {fault}; write HOST:PORT of a server")


async def _compare(root: Path, dumps: Sequence[Path], partner: str, target: Target) -> Report:
    with step_progress() as progress:
        ours = await (_dumped(dumps, progress) if dumps else _stored(root, progress))
        progress.add_task("comparing", total=None)
        tree = (await built(ours.gathered)).tree
        begun = time.monotonic()
        identity = SystemEntropy().token(IDENTITY_BYTES)
        found = await compare(TcpStreams(), target, tree, identity)
    return _report(partner, target, found, ours, tree.size, time.monotonic() - begun)


async def _stored(root: Path, progress: Progress) -> Ours:
    ours = Ours()
    async with stores(root) as opened:
        total = sum(store.counts().certificates for store in opened)
        task = progress.add_task("listing the store", total=total)
        async for one in shown_by(opened):
            ours.add(one)
            if ours.gathered.count % TOLD_EVERY == 0:
                progress.update(task, completed=ours.gathered.count)
        progress.update(task, completed=total)
    return ours


async def _dumped(dumps: Sequence[Path], progress: Progress) -> Ours:
    inputs, beside = find(dumps)
    if beside:
        err().print(left_out_words(beside))
    task = progress.add_task("reading the dump", total=len(inputs))
    ours = Ours()
    left_out = 0
    for one in inputs:
        left_out += await anyio.to_thread.run_sync(_read, one, ours)
        progress.update(task, advance=1)
    if left_out:
        err().print(f"left out: {counted(left_out, 'certificate')} that cannot be read")
    return ours


def _read(one: Input, ours: Ours) -> int:
    """Take in a file, and count what of it cannot be read.

    Raises:
        CouldNotRun: it cannot be read to its end: what is behind would seem to be lacking.
    """
    left_out = 0
    with one:
        try:
            for batch in batches(one):
                left_out += len(batch.skipped)
                for cut in batch.certificates:
                    try:
                        found = _shown(cut.octets)
                    except ProtocolError:
                        left_out += 1
                        continue
                    if found is not None:
                        ours.add(found)
        except (ProtocolError, OSError) as error:
            raise CouldNotRun(f"{one.path}: {error}") from error
    return left_out


def _shown(octets: bytes) -> Shown | None:
    """None: it is a revocation that comes alone, or nothing that partners are shown."""
    packets = split(octets, BULK)
    if packets[0].tag != Tag.PUBLIC_KEY:
        return None
    fingerprint = parse_key(packets[0].body).fingerprint
    digest = shown(fingerprint, sks_digest(packets))
    return None if digest is None else Shown(digest, fingerprint)


def _report(  # noqa: PLR0917 - all that is told
    partner: str, target: Target, found: Compared, ours: Ours, compared: int, duration_s: float
) -> Report:
    whose = ours.whose(found.ours)
    named = ((one, whose.get(one)) for one in sorted(found.ours))
    figures = found.statistics
    return Report(
        partner=partner,
        address=str(target),
        program=found.terms.program.value,
        filters=found.terms.filters.decode(errors="backslashreplace"),
        compared=compared,
        theirs=tuple(Only(digest.hex(), None) for digest in sorted(found.theirs)),
        ours=tuple(Only(one.hex(), name.hex().upper() if name else None) for one, name in named),
        has_all_of_theirs=found.has_all_of_theirs,
        has_all_of_ours=found.has_all_of_ours,
        ending=found.end.ending.value,
        why=found.end.text,
        round_trips=figures.rounds,
        bytes_in=figures.octets_in,
        bytes_out=figures.octets_out,
        duration_s=round(duration_s, 3),
    )


def _lines(report: Report) -> Iterator[str]:
    for one in report.theirs:
        yield f"theirs\t{one.digest}"
    for one in report.ours:
        yield f"ours\t{one.digest}\t{one.fingerprint or ''}"


def _words(report: Report) -> str:
    theirs, ours = len(report.theirs), len(report.ours)
    here = f"{'' if report.has_all_of_theirs else 'at least '}{counted(theirs, 'certificate')}"
    there = f"{'' if report.has_all_of_ours else 'at least '}{ours:,}"
    size = report.bytes_in + report.bytes_out
    return (
        f"{report.partner} ({report.program}): {here} lacking here, as it claims, {there} lacking "
        f"there, of {report.compared:,} compared; {report.round_trips} round trips, {size:,} "
        f"bytes, {report.duration_s:.2f} s"
    )


def _advice(report: Report) -> str:
    if len(report.theirs) >= LIMITS.learned_max:
        return (
            f"one session tells {LIMITS.learned_max:,} certificates that are lacking here, and "
            f"there are more: take those in first, by `keygrove recon now {report.partner}` where "
            "it is a partner, or else from a dump of that server, and compare again"
        )
    if len(report.ours) >= LIMITS.given_max:
        return (
            f"one session tells {LIMITS.given_max:,} certificates that are lacking there, and "
            "there may be more: have them taken in there first, and compare again"
        )
    why = report.why or "it said that it was done before it had asked about everything"
    return f"{report.partner} was not compared with to the end: {why}: compare again"
