"""Worker processes for what is large enough to be worth them.

They are started when so much came in that a load is under way, and while they start the
work goes on without them; or for one submission that would keep a thread busy for long. When
nothing came for a while they are ended. Whatever keeps them from answering, the caller does the
work itself, as it would without them; but for work that they had no time for.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import anyio
import msgspec

from keygrove.ingest import parsing
from keygrove.ingest.parsing import Look, LookIntoDump, ParserApi
from keygrove.ingest.steps import Prepared
from keygrove.ingest.verdicts import Rejected
from keygrove.ports import Workers
from keygrove_actors import (
    ActorError,
    AlreadyStarted,
    CallTimeout,
    ChildSpec,
    Ctx,
    PortPool,
    PortSpec,
    Ref,
    Restart,
)

PARSERS = "parsers"
"""The id of the supervisor that the pool runs under, while there is one."""
POOL = "parser-pool"
"""The id of the pool, and the name of its dispatcher."""
FRAME_BYTES_MAX = 256 << 20
"""What a batch of the smallest packets may grow to on the way back."""
PROCESSES_MAX = 4
"""Unless the operator wants more: storing takes longer than parsing, so these outrun it."""
WORTH_BYTES = 4 << 20
"""By measurement: up to here, starting the processes costs as much as they save."""
PARSE_S = 30.0
"""More than any certificate needs that may be looked into (`steps.COST_US_MAX`)."""
IDLE_S = 10.0
"""Without anything to parse, after which the processes end: a load's next file comes sooner."""

MakePool: TypeAlias = Callable[[], ChildSpec]


def pool_of(workers: Workers, wanted: int) -> MakePool | None:
    """How to make a pool: of as many as wanted, 0 for what pays here; None where none pays."""
    size = wanted or min(workers.count, PROCESSES_MAX)
    return None if size < 2 else lambda: _pool(size, workers)


def _pool(size: int, workers: Workers) -> ChildSpec:
    """A pool of parsers. When it gives up it stays away: there is another way to do the work."""
    spec = PortSpec(
        api=ParserApi,
        works=(Look, LookIntoDump),
        worker=f"{parsing.__name__}:table",
        frame_bytes_max=FRAME_BYTES_MAX,
        init_timeout_s=30.0,
    )
    child = PortPool.child(POOL, spec, size, name=POOL, launch=workers.launch)
    return msgspec.structs.replace(child, restart=Restart.TEMPORARY)


class Parsers:
    """The pool of one ingest actor. `make_pool` is None where there are no processes."""

    def __init__(self, ctx: Ctx, make_pool: MakePool | None) -> None:
        self._ctx = ctx
        self._make_pool = make_pool
        self._pool: Ref[ParserApi] | None = None
        self._seen_bytes = 0
        self._seen_at = ctx.now()
        self._asking = 0
        """Callers that wait for an answer."""
        self._is_kept = False
        self._ready = anyio.Event()
        """Set when the processes that are kept have started, or cannot."""
        if make_pool is not None and ctx.supervisor(PARSERS).which_children():
            self._start()  # left over by an ingest actor that crashed

    async def ask(
        self, work: Look | LookIntoDump, size: int, *, is_heavy: bool = False
    ) -> Prepared | Rejected | None:
        """The outcome, or None: then the caller has to do it. Heavy work waits for processes.

        `size` is in octets.

        Raises:
            CallTimeout: the processes had too much to do.
        """
        self._count(size)
        if is_heavy and self._make_pool is not None and not self._is_kept:
            self._start()
        if is_heavy and self._is_kept:
            await self._ready.wait()
        if self._pool is None:
            return None
        self._asking += 1
        try:
            return await self._pool.call(work, timeout=PARSE_S)
        except CallTimeout:
            raise  # they are busy with what others sent: it is for the sender to come again
        except ActorError:
            return None  # it crashed, or is just restarting: the runtime has told the log
        finally:
            self._asking -= 1
            self._seen_at = self._ctx.now()

    def _count(self, size: int) -> None:
        self._seen_bytes += size
        self._seen_at = self._ctx.now()
        if self._make_pool is not None and not self._is_kept and self._seen_bytes > WORTH_BYTES:
            self._start()

    def _start(self) -> None:
        self._is_kept = True
        self._ready = anyio.Event()
        self._ctx.start_soon(self._keep)

    async def _keep(self) -> None:
        """Have the pool for as long as there is something for it."""
        assert self._make_pool is not None
        supervisor = self._ctx.supervisor(PARSERS)
        with suppress(ActorError):  # told to the log: this load goes without them
            with suppress(AlreadyStarted):
                await supervisor.start_child(self._make_pool())
            self._pool = self._ctx.whereis(POOL, ParserApi)
        self._ready.set()
        while (left_s := self._idle_for_s()) > 0:  # noqa: ASYNC110 - it is time itself that is waited for
            await anyio.sleep(left_s)
        self._pool = None
        with suppress(ActorError):
            await supervisor.terminate_child(POOL)
        self._seen_bytes, self._is_kept = 0, False

    def _idle_for_s(self) -> float:
        """How long there must be nothing more to do until the pool is ended."""
        return IDLE_S if self._asking else self._seen_at + IDLE_S - self._ctx.now()
