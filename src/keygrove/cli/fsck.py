"""`keygrove fsck`: look the files of a server over, and make them whole again."""

import sys
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import click
import msgspec
from rich.progress import Progress, TaskID

from keygrove.cli.console import counted, err, out, step_progress
from keygrove.cli.hints import completed
from keygrove.cli.inputs import Input, find
from keygrove.cli.options import FoundProblems, WrongUse, common, configure, errors_worded
from keygrove.cli.words import Place
from keygrove.cluster.router import shard_name
from keygrove.errors import DataDirError, InUseError, KeygroveError
from keygrove.ingest.files import batches
from keygrove.recon.checking import check_tree
from keygrove.recon.treefile import TREE_FILE
from keygrove.storage.fsck.checking import LIVE, Checked, Subject, check_shard
from keygrove.storage.fsck.findings import REPAIR, Finding, Level
from keygrove.storage.fsck.repair import Repaired, repair
from keygrove.storage.fsck.salvage import Lost, Task
from keygrove.storage.fsck.tell import Tell
from keygrove.storage.fsck.wanted import Refetch, nowhere
from keygrove.system.clock import SystemClock, SystemEntropy
from keygrove.system.datadir import count_shards, owned
from keygrove.system.rawfiles import RawFiles
from keygrove.system.sqlite import SqliteFiles
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import split

KINDS = {
    "audit": ("entry of the audit log", "entries of the audit log"),
    "redact": ("redaction", "redactions"),
    "snapshot": ("snapshot", "snapshots"),
    "rollback": ("rollback", "rollbacks"),
    "gap": ("note on what compaction drops", "notes on what compaction drops"),
}
"""One, and several, of what is in tables beside those of certificates."""


class Line(msgspec.Struct, frozen=True):
    """A finding, as JSON has it."""

    level: int
    shard: int | None
    """None: it is of no single shard."""
    file: str
    where: str
    what: str
    advice: str
    """Empty: `what` says what to do."""


class Report(msgspec.Struct):
    """What came of it, as JSON has it."""

    level: int
    is_live: bool = False
    rows: int = 0
    seconds: float = 0.0
    findings: list[Line] = []
    """With `--repair` those that are there still."""
    skipped: list[str] = []
    repaired: list[str] = []
    lost: int = 0
    """Certificates that could not be put right."""
    whole: bool = True
    """Whether a repair lost nothing, of former states and what is beside certificates neither."""


@click.command("fsck", short_help="Look the files over, and make them whole again.")
@common
@click.option(
    "--level",
    type=click.IntRange(min(Level), max(Level)),
    default=Level.TREE.value,
    metavar="N",
    help="1 structure, 2 index, 3 content, 4 tree, 5 certificates, 6 history; 4 unless given. "
    "Each takes in those before it.",
)
@click.option("--repair", "is_repair", is_flag=True, help="Make whole again what is damaged.")
@click.option(
    "--from",
    "dumps",
    multiple=True,
    type=Place(exists=True),
    metavar="DUMP",
    help="With --repair, a file or directory of a dump, to take from what rotted here.",
)
@click.option("--json", "as_json", is_flag=True, help="Report in one JSON object, for programs.")
def fsck(
    *,
    config: Path | None,
    data: Path | None,
    debug: bool,
    level: int,
    is_repair: bool,
    dumps: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Look the files of a server over. Only reads, unless told to repair.

    Beside a running server some of it cannot be looked at, and it says what.
    """
    if dumps and not is_repair:
        raise WrongUse("--from is of use with --repair only: give both, or neither")
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        number = count_shards(root)
        if not number:
            raise DataDirError(f"there is no store in {root}: name its directory with --data")
        wanted = Level(max(level, Level.TREE)) if is_repair else Level(level)
        report = Report(wanted)
        begun = time.monotonic()
        with ExitStack() as held:
            try:
                held.enter_context(owned(root, "keygrove fsck"))
            except InUseError:
                if is_repair:
                    raise
                report.is_live = True
            refetch = partial(_from_dumps, find(dumps)[0]) if dumps else nowhere
            anyio.run(partial(_run, root, number, report, refetch, is_repair=is_repair))
        report.seconds = round(time.monotonic() - begun, 3)
    _print(report, as_json=as_json)
    if report.findings or not report.whole:
        sys.exit(FoundProblems.exit_code)


async def _run(
    root: Path, number: int, report: Report, refetch: Refetch, *, is_repair: bool
) -> None:
    files, raw = SqliteFiles(root), RawFiles(root)
    with step_progress() as progress:
        for at in range(number):
            tell = partial(_show, progress, progress.add_task(f"shard {at}", total=None), at)
            subject = Subject(files, raw, shard_name(at), at, number, report.is_live)
            checked = await check_shard(subject, Level(report.level), tell)
            if is_repair and checked.findings.all():
                checked = await _repair(subject, checked, report, refetch, tell)
            report.rows += checked.rows
            report.skipped += checked.skipped
            report.findings += map(_line, checked.findings.all())
        if report.level >= Level.TREE:
            tell = partial(_show_all, progress, progress.add_task("prefix tree", total=None))
            await _check_prefix_tree(files, number, report, tell, is_repair=is_repair)


async def _check_prefix_tree(
    files: SqliteFiles, number: int, report: Report, tell: Tell, *, is_repair: bool
) -> None:
    """What recon shows to partners, as it was written down; a wrong one is of no use."""
    if report.is_live:
        if await files.holds(TREE_FILE):
            report.skipped.append(f"the prefix tree {LIVE}")
        return
    checked = await check_tree(files, number, tell)
    if checked.skipped:
        report.skipped.append(checked.skipped)
    if checked.problem and is_repair:
        await files.remove(TREE_FILE)
        report.repaired.append(f"{TREE_FILE} was removed: the next start makes the tree anew")
    elif checked.problem:
        report.findings.append(Line(Level.TREE, None, TREE_FILE, "", checked.problem, REPAIR))


def _show_all(progress: Progress, task: TaskID, step: str, done: int, total: int, /) -> None:
    progress.update(task, description=step, completed=done, total=total or None)


def _show(  # noqa: PLR0917 - what is shown, and where
    progress: Progress, task: TaskID, shard: int, step: str, done: int, total: int, /
) -> None:
    text = f"shard {shard}, {step}"
    progress.update(task, description=text, completed=done, total=total or None)


async def _repair(
    subject: Subject, checked: Checked, report: Report, refetch: Refetch, tell: Tell
) -> Checked:
    """Repair a shard, and look at it once more. One that cannot be does not keep the others."""
    uuid = SystemEntropy().token(16)
    task = Task(subject.shard, uuid, SystemClock().now(), refetch)
    try:
        repaired = await repair(subject, checked, task, tell)
    except KeygroveError as error:
        report.skipped.append(f"shard {subject.number}: not repaired: {error}")
        return checked
    report.repaired += [f"shard {subject.number}: {text}" for text in _told(repaired)]
    if repaired.salvaged is not None:
        report.lost += len(repaired.salvaged.lost)
        report.whole &= repaired.salvaged.is_whole
    return await check_shard(subject, Level(report.level), tell)


def _told(repaired: Repaired) -> list[str]:
    """What was done, in words."""
    done = repaired.salvaged
    lines: list[str] = []
    if done is not None:
        lines.append(f"heap.db was written anew; the damaged one is kept as {repaired.kept}")
        lines += [f"row {seq} is as it was written again" for seq in done.mended]
        lines += [f"row {seq}, an older version, is gone" for seq in done.superseded]
        lines += map(_lost, done.lost)
        if done.heads:
            what = counted(done.heads, "commit")
            lines.append(f"{what} cannot be shown any more, as history")
        for table, number in done.gone.items():
            one, many = KINDS[table]
            lines.append(f"1 {one} is gone" if number == 1 else f"{number:,} {many} are gone")
        lines += [f"all {KINDS[table][1]} are gone" for table in sorted(done.unread)]
    if repaired.is_index_anew:
        lines.append("index.db was made anew")
    return lines


def _lost(one: Lost) -> str:
    if one.fingerprint is None:
        return (
            f"row {one.seq} is lost, and nothing tells whose it was: an older version may be "
            "served in its place; load a dump that has the newest of all"
        )
    name = one.fingerprint.hex().upper()
    if one.is_denial:
        return f"{name} is denied as before, but the reason and the digests are lost"
    return f"{name} is lost, and not served any more: load it from a dump, or upload it"


async def _from_dumps(inputs: Sequence[Input], wanted: Set[Digest]) -> Mapping[Digest, bytes]:
    """See `wanted.Refetch`: what files of certificates have of these."""
    return await anyio.to_thread.run_sync(_search, inputs, wanted)


def _search(inputs: Sequence[Input], wanted: Set[Digest]) -> dict[Digest, bytes]:
    found: dict[Digest, bytes] = {}
    for one in inputs:
        with one:
            try:
                for batch in batches(one):
                    for cut in batch.certificates:
                        digest = sks_digest(split(cut.octets, BULK))
                        if digest in wanted:
                            found[digest] = cut.octets
            except (ProtocolError, OSError) as error:
                err().print(f"{one.path}: {error}; what stands before that is used")
    return found


def _line(one: Finding) -> Line:
    return Line(one.level, one.shard, one.file, one.where, one.what, one.advice)


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(report))
        return
    screen = out()
    for text in report.repaired:
        screen.print(text)
    for one in report.findings:
        shard = "" if one.shard is None else f"shard {one.shard}"
        place = ", ".join(part for part in (shard, one.file, one.where) if part)
        screen.print(f"{place}: {completed('; '.join(filter(None, (one.what, one.advice))))}")
    for text in report.skipped:
        err().print(completed(text))
    what = counted(len(report.findings), "problem") if report.findings else "no problem"
    done = f"{counted(report.rows, 'row')} to level {report.level} in {report.seconds:.1f} s"
    screen.print(f"looked over {done}: {what}")
