"""All levels of a check of one shard. It only reads."""

from contextlib import AsyncExitStack

import msgspec

from keygrove.errors import KeygroveError
from keygrove.ports import Databases, RawFiles, SqlDatabase
from keygrove.storage import heap
from keygrove.storage.fsck.content import check_content
from keygrove.storage.fsck.findings import Findings, Level, advice_for
from keygrove.storage.fsck.indexed import check_index
from keygrove.storage.fsck.roots import check_history, check_tree
from keygrove.storage.fsck.semantic import check_semantics
from keygrove.storage.fsck.structure import REBUILD, RESTORE, check_heap, check_log
from keygrove.storage.fsck.structure import check_index as check_index_file
from keygrove.storage.fsck.tell import Tell

THINNED = "its server dropped history meanwhile; check again"
LIVE = "skipped, for a server writes here: stop it, and check again"


class Subject(msgspec.Struct, frozen=True):
    """A shard to be checked."""

    databases: Databases
    raw: RawFiles
    folder: str
    number: int
    of: int
    """How many shards there are."""
    is_live: bool
    """Somebody writes here meanwhile."""

    @property
    def heap(self) -> str:
        """The path of its heap."""
        return f"{self.folder}/heap.db"

    @property
    def index(self) -> str:
        """The path of its index."""
        return f"{self.folder}/index.db"

    @property
    def shard(self) -> str:
        """As its heap has it."""
        return f"{self.number}/{self.of}"


class Checked(msgspec.Struct, frozen=True):
    """What came of a check."""

    findings: Findings
    skipped: tuple[str, ...] = ()
    """What was not looked at, and why."""
    rows: int = 0


async def check_shard(subject: Subject, level: Level, tell: Tell) -> Checked:
    """Check a shard up to a level."""
    found = Findings(subject.number)
    skipped = [f"shard {subject.number}: its logs {LIVE}"] if subject.is_live else []
    tell("structure", 0, 0)
    if not await subject.databases.holds(subject.heap):
        found.add(Level.STRUCTURE, "heap.db", "", "it is gone, or empty", RESTORE)
        return Checked(found, tuple(skipped))
    if not subject.is_live:
        check_log(await subject.raw.log(subject.heap), "heap.db", found)
    async with AsyncExitStack() as opened:
        tip = await _check_files(subject, level, found, skipped, opened, tell)
    rows = 0 if tip is None else tip.seq
    return Checked(found, tuple(skipped), rows)


async def _check_files(  # noqa: PLR0913, PLR0917 - what a check is about, and where it goes
    subject: Subject,
    level: Level,
    found: Findings,
    skipped: list[str],
    opened: AsyncExitStack,
    tell: Tell,
) -> heap.Tip | None:
    try:
        reader = await opened.enter_async_context(
            subject.databases.open(subject.heap, writable=False)
        )
        tip = await check_heap(reader, subject.shard, found)
    except KeygroveError as error:
        found.add(Level.STRUCTURE, "heap.db", "", str(error), advice_for(error, RESTORE))
        return None
    if tip is None:
        return None
    try:
        await _check_index(subject, level, tip, found, skipped, tell)
        await _check_rows(reader, subject, level, tip, found, skipped, tell)
    except KeygroveError as error:
        found.add(Level.STRUCTURE, "heap.db", "", f"no more can be looked at: {error}")
    return tip


async def _check_index(  # noqa: PLR0913, PLR0917 - as above
    subject: Subject,
    level: Level,
    tip: heap.Tip,
    found: Findings,
    skipped: list[str],
    tell: Tell,
) -> None:
    number = subject.number
    if not await subject.databases.holds(subject.index):
        skipped.append(f"shard {number}: it has no index, which the next start makes")
        return
    try:
        # Alone: of two that are open at once, an error does not tell which one it is about.
        async with subject.databases.open(subject.index, writable=False) as reader:
            origin = await check_index_file(reader, tip, found)
    except KeygroveError as error:
        found.add(Level.STRUCTURE, "index.db", "", str(error), advice_for(error, REBUILD))
        return
    if level < Level.INDEX or found.has(Level.STRUCTURE):
        return
    if subject.is_live:
        skipped.append(f"shard {number}: level {Level.INDEX}, its index, {LIVE}")
        return
    if origin is None:
        skipped.append(f"shard {number}: the next start makes its index anew")
        return
    try:
        async with subject.databases.open(
            subject.heap, attached=subject.index, writable=False
        ) as reader:
            await check_index(reader, origin.done, found, tell)
    except KeygroveError as error:
        found.add(Level.INDEX, "index.db", "", str(error))


async def _check_rows(  # noqa: PLR0913, PLR0917 - as above
    reader: SqlDatabase,
    subject: Subject,
    level: Level,
    tip: heap.Tip,
    found: Findings,
    skipped: list[str],
    tell: Tell,
) -> None:
    if level >= Level.CONTENT:
        await check_content(reader, tip.seq, found, tell)
    if level >= Level.TREE:
        tree = await check_tree(reader, tip, found, tell)
        if level >= Level.SEMANTIC:
            await check_semantics(reader, tip.seq, found, tell)
        if level >= Level.HISTORY:
            is_whole = await check_history(reader, tip, tree, found, tell)
            if not is_whole:
                skipped.append(f"shard {subject.number}: level {Level.HISTORY}, in part: {THINNED}")
