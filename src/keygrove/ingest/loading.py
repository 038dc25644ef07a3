"""Loading many files: batches to wherever submissions are taken, and a count of their fates."""

from collections.abc import Awaitable, Callable
from typing import BinaryIO, TypeAlias, assert_never

import anyio
import msgspec

from keygrove.errors import DiskFullError, UnavailableError
from keygrove.ingest.files import Batch, batches
from keygrove.ingest.messages import Result, Submitted, Unavailable
from keygrove.ingest.pipeline import Reply
from keygrove.ingest.verdicts import Rejected
from keygrove.storage.messages import Failed, NoSpace
from keygrove_protocols.errors import ProtocolError

Sink: TypeAlias = Callable[[bytes], Awaitable[Reply]]
"""Takes submissions: an ingest actor, or the server that has one."""

UNDER_WAY = 3
"""Batches at once: one is parsed while another is synchronised."""
RETRY_S = 0.5
RETRIES = 60


class Loaded(msgspec.Struct):
    """What became of all that was loaded."""

    certificates: int = 0
    inserted: int = 0
    updated: int = 0
    ignored: int = 0
    invalid: int = 0
    bytes: int = 0
    seconds: float = 0.0
    reasons: dict[str, int] = {}
    """How many were invalid for each reason, by its constant code."""
    unreadable: dict[str, str] = {}
    """Files that could not be read to their end, and why."""
    interrupted: bool = False
    """There was more to be loaded."""
    stopped: str = ""
    """Why it ended before the files did, and what to do; empty if it did not."""


class Loader:
    """Feeds files to a sink. `on_progress` is told of bytes read and certificates done.

    What becomes of them is counted in `loaded`, also when loading is cut off.
    """

    def __init__(
        self, sink: Sink, on_progress: Callable[[int, int], None], loaded: Loaded | None = None
    ) -> None:
        self._sink = sink
        self._on_progress = on_progress
        self._failure: DiskFullError | UnavailableError | None = None
        self.loaded = Loaded() if loaded is None else loaded

    async def load(self, name: str, file: BinaryIO) -> None:
        """Load one file. One that cannot be read to its end is noted, what came before is kept.

        When a batch fails, those under way beside it are finished first: some may be kept.

        Raises:
            DiskFullError: there is no room for more.
            UnavailableError: submissions are not taken any more.
        """
        slots = anyio.Semaphore(UNDER_WAY)
        read_before, skipped = self.loaded.bytes, 0
        async with anyio.create_task_group() as tasks:
            try:
                for batch in batches(file):
                    await slots.acquire()
                    if self._failure is not None:
                        break
                    tasks.start_soon(self._submit, batch, slots)
                    skipped = batch.skipped
                    self.loaded.bytes = read_before + batch.read_bytes
            except (ProtocolError, OSError) as error:
                self.loaded.unreadable[name] = str(error)
        self._count(Result.INVALID, "TooLarge", skipped)
        if self._failure is not None:
            raise self._failure

    async def _submit(self, batch: Batch, slots: anyio.Semaphore) -> None:
        try:
            reply = await self._persist(b"".join(batch.certificates))
            if isinstance(reply, Rejected | Failed) and len(batch.certificates) > 1:
                # One of them spoils the others: find out which.
                for one in batch.certificates:
                    self._note(await self._persist(one))
            else:
                self._note(reply)
        except (DiskFullError, UnavailableError) as error:
            self._failure = self._failure or error
        finally:
            slots.release()
        self._on_progress(self.loaded.bytes, self.loaded.certificates)

    async def _persist(self, data: bytes) -> Reply:
        """Submit, again if a shard is just being restarted: submitting twice is safe."""
        for _ in range(RETRIES):
            reply = await self._sink(data)
            if not isinstance(reply, Unavailable):
                return reply
            if self._failure is not None:
                break
            await anyio.sleep(RETRY_S)
        raise UnavailableError("the store does not take any more: see the server's log")

    def _note(self, reply: Reply) -> None:
        match reply:
            case Submitted(fates):
                for fate in fates:
                    self._count(fate.result, fate.error, 1)
            case Rejected(_, code, _):
                self._count(Result.INVALID, code, 1)
            case Failed():
                self._count(Result.INVALID, "Failed", 1)
            case NoSpace():
                raise DiskFullError("the data directory")
            case Unavailable():
                raise UnavailableError("the store does not answer: see the server's log")
            case _:
                assert_never(reply)

    def _count(self, result: Result, error: str, number: int) -> None:
        if number:
            loaded = self.loaded
            loaded.certificates += number
            setattr(loaded, result.value, getattr(loaded, result.value) + number)
            if error:
                loaded.reasons[error] = loaded.reasons.get(error, 0) + number
