"""Loading many files: batches to wherever submissions are taken, and a count of their fates."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeAlias, assert_never

import anyio
import msgspec

from keygrove.errors import DiskFullError, ReadOnlyError, ReportError, UnavailableError
from keygrove.ingest.files import Batch, Readable, batches
from keygrove.ingest.messages import Fate, Result, Submitted, Unavailable, Unwritable
from keygrove.ingest.pipeline import Reply
from keygrove.ingest.verdicts import Rejected
from keygrove.storage.messages import Failed, NoSpace
from keygrove_protocols.errors import ProtocolError, TooLargeError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.packets import Cut, Place

Sink: TypeAlias = Callable[[Sequence[bytes]], Awaitable[Reply]]
"""Takes certificates, each as its packets: an ingest actor, or the server that has one."""

Failure: TypeAlias = DiskFullError | ReadOnlyError | UnavailableError | ReportError
"""What ends a load before its files do."""

UNDER_WAY = 3
"""Batches at once: one is parsed while another is synchronised."""
RETRY_S = 0.5
RETRIES = 60
FAILED = "the server met a fault of its own with it: see its log"
TOO_LARGE = f"it is larger than {BULK.certificate_bytes_max >> 20} MiB, and was passed over"


class Loaded(msgspec.Struct):
    """What became of all that was loaded."""

    certificates: int = 0
    inserted: int = 0
    updated: int = 0
    ignored: int = 0
    invalid: int = 0
    bytes: int = 0
    """Of the files as they lie there, compressed or not."""
    seconds: float = 0.0
    reasons: dict[str, int] = {}
    """How many were invalid for each reason, by its constant code."""
    unreadable: dict[str, str] = {}
    """Files that could not be read to their end, and why."""
    left_out: list[str] = []
    """Files of directories that were not read, for they are named as what lies beside a dump."""
    interrupted: bool = False
    """There was more to be loaded."""
    origin: str = ""
    """What was loaded is known by this in the change log."""
    stopped: str = ""
    """Why it ended before the files did, and what to do; empty if it did not."""


class Refusal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A certificate that was refused, or not taken whole; or the rest of a file.

    `number` counts the certificates of the file from 1, a revocation in front of them has 0;
    `offset` counts the octets in front of it when compression and armor are off. Both are null
    for the rest of a file that cannot be read.
    """

    file: str
    number: int | None
    offset: int | None
    fingerprint: str | None
    """In hexadecimal, if it is known."""
    result: str
    """`invalid`, `unreadable`, or what became of one that was not taken whole."""
    error: str = ""
    """A constant code where it was refused."""
    text: str = ""
    dropped: dict[str, int] = {}
    """So many packets for each reason, where it was taken without them."""
    pruned: dict[str, int] = {}
    """So many for each rule of the policy, those that have a reason of their own among them."""


def _nobody_told(_: Refusal) -> None:
    """They are counted, in any case."""


class Loader:
    """Feeds files to a sink. `on_progress` is told of bytes read and certificates done.

    What becomes of them is counted in `loaded`, also when loading is cut off; `on_refusal` is told
    of each that was not taken as it was.
    """

    def __init__(
        self,
        sink: Sink,
        on_progress: Callable[[int, int], None],
        loaded: Loaded | None = None,
        *,
        on_refusal: Callable[[Refusal], None] = _nobody_told,
    ) -> None:
        self._sink = sink
        self._on_progress = on_progress
        self._on_refusal = on_refusal
        self._failure: Failure | None = None
        self.loaded = Loaded() if loaded is None else loaded

    async def load(self, name: str, file: Readable) -> None:
        """Load one file. One that cannot be read to its end is noted, what came before is kept.

        When a batch fails, those under way beside it are finished first: some may be kept.
        `file` is read in a thread: there it can wait, and may ask whether it still has to.

        Raises:
            DiskFullError: there is no room for more.
            ReadOnlyError: the disk is read-only.
            UnavailableError: submissions are not taken any more.
            ReportError: what was refused can no longer be told.
        """
        slots = anyio.Semaphore(UNDER_WAY)
        read_before = self.loaded.bytes
        found = batches(file)
        async with anyio.create_task_group() as tasks:
            try:
                while batch := await anyio.to_thread.run_sync(partial(next, found, None)):
                    await slots.acquire()
                    if self._failure is not None:
                        break
                    tasks.start_soon(self._submit, name, batch, slots)
                    self.loaded.bytes = read_before + batch.read_bytes
            except (ProtocolError, OSError) as error:
                self._note_unreadable(name, error)
            except anyio.get_cancelled_exc_class():
                # What is under way is finished, so that it is counted; nothing is tried again.
                self._failure = self._failure or UnavailableError("interrupted")
                raise
        if self._failure is not None:
            raise self._failure

    async def _submit(self, name: str, batch: Batch, slots: anyio.Semaphore) -> None:
        try:
            for place in batch.skipped:
                self._note_fate(name, place, _refused(TooLargeError.code, TOO_LARGE))
            with anyio.CancelScope(shield=True):
                await self._submit_all(name, batch.certificates)
        except (DiskFullError, ReadOnlyError, UnavailableError) as error:
            self._failure = self._failure or error
        finally:
            slots.release()
        self._on_progress(self.loaded.bytes, self.loaded.certificates)

    async def _submit_all(self, name: str, cuts: Sequence[Cut]) -> None:
        if not cuts:
            return
        reply = await self._persist([one.octets for one in cuts])
        if isinstance(reply, Rejected | Failed) and len(cuts) > 1:
            # One of them spoils the others: find out which.
            for one in cuts:
                self._note(name, [one], await self._persist([one.octets]))
        else:
            self._note(name, cuts, reply)

    async def _persist(self, certificates: Sequence[bytes]) -> Reply:
        """Submit, again if a shard is just being restarted: submitting twice is safe."""
        for _ in range(RETRIES):
            reply = await self._sink(certificates)
            if not isinstance(reply, Unavailable):
                return reply
            if self._failure is not None:
                break
            await anyio.sleep(RETRY_S)
        raise UnavailableError("the store does not take any more: see the server's log")

    def _note(self, name: str, cuts: Sequence[Cut], reply: Reply) -> None:
        match reply:
            case Submitted(fates):
                for fate in fates:
                    self._note_fate(name, cuts[fate.at].place, fate)
            case Rejected(_, code, text):
                self._note_fate(name, cuts[0].place, _refused(code, text))
            case Failed():
                self._note_fate(name, cuts[0].place, _refused("Failed", FAILED))
            case NoSpace():
                raise DiskFullError("the data directory")
            case Unwritable():
                raise ReadOnlyError("the data directory")
            case Unavailable():
                raise UnavailableError("the store does not answer: see the server's log")
            case _:
                assert_never(reply)

    def _note_fate(self, name: str, place: Place, fate: Fate) -> None:
        loaded, result = self.loaded, fate.result.value
        loaded.certificates += 1
        setattr(loaded, result, getattr(loaded, result) + 1)
        if fate.error:
            loaded.reasons[fate.error] = loaded.reasons.get(fate.error, 0) + 1
        if fate.error or fate.dropped or fate.pruned or fate.comment:
            self._tell(_refusal(name, place, fate))

    def _note_unreadable(self, name: str, error: ProtocolError | OSError) -> None:
        if isinstance(error, ProtocolError):
            code, text = error.code, str(error)
        else:
            code, text = "OSError", error.strerror or str(error)
        self.loaded.unreadable[name] = text
        self._tell(Refusal(name, None, None, None, "unreadable", code, text))

    def _tell(self, refusal: Refusal) -> None:
        try:
            self._on_refusal(refusal)
        except ReportError as error:
            self._failure = self._failure or error


def _refused(code: str, text: str) -> Fate:
    return Fate(Result.INVALID, None, None, code, text)


def _refusal(name: str, place: Place, fate: Fate) -> Refusal:
    return Refusal(
        file=name,
        number=place.number,
        offset=place.offset,
        fingerprint=None if fate.fingerprint is None else fate.fingerprint.hex(),
        result=fate.result.value,
        error=fate.error,
        text=fate.comment,
        dropped=fate.dropped,
        pruned=fate.pruned,
    )
