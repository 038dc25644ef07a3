"""Tools for testing actors: virtual time, a gate that lets nothing leak, a simulator.

A simulation is a coroutine run on trio with a clock that jumps. Everything that is left
to chance (the order of tasks and turns, whether a call runs directly, the fate of
messages) is drawn from its seed; the same seed gives the same trace, and `trace_hash`
shows it in one line.
"""

from __future__ import annotations

import asyncio
import hashlib
import selectors
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import Any, Final, TypeVar

import msgspec
import trio
import trio.testing

from keygrove_actors import sysapi
from keygrove_actors.backend import in_trio
from keygrove_actors.backend_trio import TrioBackend
from keygrove_actors.faults import FaultGate, Rule
from keygrove_actors.messages import Crash
from keygrove_actors.probe import Probe
from keygrove_actors.ref import Ref
from keygrove_actors.reports import Report
from keygrove_actors.runtime import Runtime, run
from keygrove_actors.specs import ChildSpec, SupSpec

P = TypeVar("P")
T = TypeVar("T")

LAST_EVENTS: Final = 50
"""Events shown when a simulation fails."""
TASKS_SHOWN: Final = 20
FRAMES_SHOWN: Final = 5
"""Of a deadlock."""
LIMIT_S: Final = 86_400.0
"""Virtual seconds that a scenario may take: with no timer left, the clock jumps to this one."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio loop whose clock jumps to the next timer whenever nothing else is to do.

    What `trio.testing.MockClock(autojump_threshold=0)` is for trio. Not for tests with
    threads or real sockets: it does not wait for them while a timer runs. With no timer left,
    nor anything else that could happen, it raises `DeadlockError` out of its run.
    """

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def stuck(self) -> DeadlockError:
        """The error that names the tasks, and where each waits."""
        tasks = sorted(asyncio.all_tasks(self), key=lambda task: task.get_name())
        lines = [f"  {task.get_name()} at {_place(task)}" for task in tasks[:TASKS_SHOWN]]
        if len(tasks) > TASKS_SHOWN:
            lines.append(f"  and {len(tasks) - TASKS_SHOWN} more")
        return DeadlockError(
            "nothing is left that could happen; give these what they wait for, or a timeout:\n"
            + "\n".join(lines)
        )


class _Jump(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        is_stuck = timeout is None and not self._may_be_woken()
        ready: list[Any] = super().select(0 if timeout or is_stuck else timeout)
        if not ready and timeout:
            self._loop.jump(timeout)
        if not ready and is_stuck:
            raise self._loop.stuck()
        return ready

    def _may_be_woken(self) -> bool:
        """Whether there is anybody else: another thread, or a file besides the loop's own."""
        return threading.active_count() > 1 or len(self.get_map()) > 1


def _place(task: asyncio.Task[Any]) -> str:
    """The functions a task is in, from its own to the one that waits, each with its line."""
    step: Any = task.get_coro()
    frames: list[str] = []
    while step is not None:
        frame = getattr(step, "cr_frame", None) or getattr(step, "gi_frame", None)
        if frame is not None:
            file = frame.f_code.co_filename.rpartition("/")[2]
            frames.append(f"{frame.f_code.co_qualname} ({file}:{frame.f_lineno})")
        step = getattr(step, "cr_await", None) or getattr(step, "gi_yieldfrom", None)
    return " > ".join(frames[-FRAMES_SHOWN:])


class DeadlockError(AssertionError):
    """Tasks wait, and nothing is left that could wake them."""


class LeakError(AssertionError):
    """A runtime left something behind."""


@asynccontextmanager
async def leak_gate() -> AsyncGenerator[list[Runtime], None]:
    """Refuse to be left while tasks live that did not before, or a runtime's tables hold entries.

    Append the runtimes to be checked to the list it yields.

    Raises:
        LeakError: something is left.
    """
    before = _tasks()
    runtimes: list[Runtime] = []
    yield runtimes
    left = {k: n for r in runtimes for k, n in r.leftovers().items() if n}
    if left:
        raise LeakError(f"left behind by the runtime: {left}; find who does not strike it out")
    if (extra := _tasks() - before) > 0:
        raise LeakError(f"{extra} tasks outlive the block: find who started them")


def _tasks() -> int:
    if in_trio():
        return trio.lowlevel.current_statistics().tasks_living
    return len(asyncio.all_tasks())


class InitFault(Exception):  # noqa: N818 - a name in traces
    """Raised in place of a start, by `Sim.fail_init`."""


class Sim:
    """One simulated runtime, as its scenario sees it."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)  # noqa: S311 - to be repeatable is its purpose
        self.gate = FaultGate(Random(~seed), self.note)  # noqa: S311
        self.reports: list[Report] = []
        self.runtime: Runtime
        self._trace: list[str] = []
        self._init_faults: dict[str, int] = {}
        self._probes: list[Probe[Any]] = []

    # ---- actors

    def whereis(self, name: str, proto: type[P]) -> Ref[P]:
        """The address of whoever has `name`."""
        return self.runtime.whereis(name, proto)

    def probe(self, proto: type[P], name: str) -> Probe[P]:
        """A scripted actor with that name, until the simulation ends."""
        probe = Probe[P](self.runtime, name)
        self._probes.append(probe)
        return probe

    # ---- time

    async def advance(self, seconds: float) -> None:
        """Let so much time pass."""
        await trio.sleep(seconds)

    async def run_until_idle(self) -> None:
        """Let everything happen that needs no time."""
        await trio.testing.wait_all_tasks_blocked()

    # ---- faults

    def on(self, **rule: Any) -> Rule:
        """Add a rule for messages; see `Rule` for its words."""
        made = Rule(**rule)
        self.gate.rules.append(made)
        return made

    def off(self, rule: Rule) -> None:
        """Take a rule back."""
        self.gate.rules.remove(rule)

    def kill(self, name: str) -> None:
        """Kill whoever has `name`."""
        self.note("kill", name)
        self.whereis(name, object).kill()

    def crash(self, name: str, error: str = "SimulatedCrash") -> None:
        """Let whoever has `name` crash at once."""
        self.note("crash", name, error)
        self.whereis(name, object).exit(Crash(error, "by the simulation"))

    def crash_next(
        self, name: str, *, on: type[Any], error: Exception | None = None, after: bool = False
    ) -> None:
        """Let `name` crash at its next message of a type: before, or after handling it.

        After means: its state has changed, and nobody was answered.
        """
        self.gate.plans.append((name, on, error or RuntimeError("by the simulation"), after))

    def fail_init(self, path: str, times: int = 1) -> None:
        """Let the next starts of the child at `path` fail."""
        self._init_faults[path] = times

    async def pause(self, name: str) -> None:
        """Suspend whoever has `name`."""
        await sysapi.suspend(self.whereis(name, object))

    async def resume(self, name: str) -> None:
        """Let it go on."""
        await sysapi.resume(self.whereis(name, object))

    def slow(self, path: str, seconds: float) -> Rule:
        """Let every message take so long to reach the actor at `path`."""
        return self.on(target=path, delay=(seconds, seconds))

    # ---- what happened

    def note(self, *facts: object) -> None:
        """Write an event into the trace."""
        self._trace.append(f"{trio.current_time():.6f} " + " ".join(map(str, facts)))

    def trace(self) -> list[str]:
        """All events so far, one line each."""
        return list(self._trace)

    def trace_hash(self) -> str:
        """One word for the whole trace."""
        return hashlib.sha256("\n".join(self._trace).encode()).hexdigest()[:32]

    def replay_line(self) -> str:
        """What to run again."""
        return f"simulate(scenario, tree, seed={self.seed})  # trace {self.trace_hash()}"

    def assert_clean(self) -> None:
        """See that nothing is under way: no name waited for, no deadline, no observer.

        Raises:
            LeakError: something is.
        """
        alive = {"names", "tasks"}
        left = {k: n for k, n in self.runtime.leftovers().items() if n and k not in alive}
        if left:
            raise LeakError(f"under way in the runtime: {left}; let it end first")

    # ---- for `simulate`

    def observe(self, report: Report) -> None:
        """A report is an event, less what differs between machines."""
        self.reports.append(report)
        reason = getattr(report, "reason", None)
        why = reason.exc if isinstance(reason, Crash) else type(reason).__name__
        self.note("report", type(report).__name__, getattr(report, "path", "-"), why)

    def planted(self, spec: SupSpec, path: str = "") -> SupSpec:
        """The tree with the starts of its children under control."""
        children = tuple(self._planted_child(child, path) for child in spec.children)
        template = None if spec.template is None else self._planted_child(spec.template, path)
        return msgspec.structs.replace(spec, children=children, template=template)

    def _planted_child(self, child: ChildSpec, above: str) -> ChildSpec:
        path = f"{above}/{child.id}" if above else child.id
        if isinstance(child.start, SupSpec):
            return msgspec.structs.replace(child, start=self.planted(child.start, path))
        return msgspec.structs.replace(child, start=partial(self._make, path, child.start))

    def _make(self, path: str, make: Callable[..., Any], *args: Any) -> Any:
        if self._init_faults.get(path, 0) > 0:
            self._init_faults[path] -= 1
            raise InitFault(path)
        return make(*args)

    def begin(self, runtime: Runtime) -> None:
        """The tree is up."""
        self.runtime = runtime
        backend = runtime.hub.backend
        assert isinstance(backend, TrioBackend)
        backend.shuffle = self._shuffle

    def end(self) -> None:
        """The scenario is over."""
        for probe in self._probes:
            probe.end()

    def _shuffle(self, ready: Any) -> None:
        if len(ready) > 1:
            items = list(ready)
            self.random.shuffle(items)
            ready.clear()
            ready.extend(items)


def seed_trio(seed: int) -> None:
    """Let `seed` decide in which order trio runs the tasks that are ready, from now on."""
    core: Any = trio._core._run  # noqa: SLF001 # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportAttributeAccessIssue] - trio has no public switch
    core._ALLOW_DETERMINISTIC_SCHEDULING = True  # noqa: SLF001
    core._r.seed(seed)  # noqa: SLF001


def simulate(
    scenario: Callable[[Sim], Awaitable[T]], tree: SupSpec, *, seed: int, **options: Any
) -> tuple[T, Sim]:
    """Run `scenario` in a runtime whose every choice comes from `seed`.

    Returns what the scenario returned, and the simulation with its trace. `options` are
    those of `run`. An error carries the seed and the last events as notes.

    Raises:
        DeadlockError: the scenario was not over after a virtual day; its cause shows where it was.
    """
    seed_trio(seed)
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(_simulate, scenario, tree, seed, options, clock=clock)


async def _simulate(
    scenario: Callable[[Sim], Awaitable[T]], tree: SupSpec, seed: int, options: dict[str, Any]
) -> tuple[T, Sim]:
    sim = Sim(seed)
    options = {"check_replies": True, **options}
    block = run(sim.planted(tree), observe=sim.observe, gate=sim.gate, **options)
    try:
        async with leak_gate() as gate, block as runtime:
            gate.append(runtime)
            sim.begin(runtime)
            try:
                result = await _within_limit(scenario, sim)
            finally:
                sim.end()
    except BaseException as error:
        error.add_note(sim.replay_line())
        error.add_note("\n".join(sim.trace()[-LAST_EVENTS:]))
        raise
    return result, sim


async def _within_limit(scenario: Callable[[Sim], Awaitable[T]], sim: Sim) -> T:
    cut: BaseException | None = None
    with trio.move_on_after(LIMIT_S):
        try:
            return await scenario(sim)
        except BaseException as error:
            cut = error
            raise
    raise DeadlockError(
        f"the scenario is not over after {LIMIT_S:g} virtual seconds: give what it waits for"
    ) from cut


def hashes(
    scenario: Callable[[Sim], Awaitable[Any]], tree: Callable[[], SupSpec], seeds: range
) -> list[str]:
    """The trace hash of each seed: equal in every process, or something is not seeded."""
    return [simulate(scenario, tree(), seed=seed)[1].trace_hash() for seed in seeds]
