"""The oracle's plans, lived through by the real runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

import anyio
import trio

from keygrove_actors import (
    IGNORE,
    ActorError,
    AutoShutdown,
    Backoff,
    Breach,
    Budget,
    Cast,
    ChildGivenUp,
    ChildRestarting,
    ChildSpec,
    ChildStarted,
    ChildTerminated,
    Crash,
    Ctx,
    Ignore,
    InitTimeout,
    Jitter,
    Killed,
    Normal,
    OnBudget,
    Reason,
    Ref,
    Report,
    Restart,
    Runtime,
    Shutdown,
    ShutdownError,
    StartError,
    StartFailed,
    Strategy,
    SupSpec,
    TreeEnded,
    on_cast,
    run,
)
from keygrove_actors.testkit import leak_gate
from tests.loops import run_on_asyncio, run_on_trio
from tests.property.actors.world import Delay, Entry, Plan, Rule
from tests.unit.actors.lives import BoomError, ChildApi, Ends

Op: TypeAlias = tuple[Any, ...]
Trace: TypeAlias = list[tuple[float, Entry]]


class Stick(Cast[ChildApi], frozen=True, tag=True):
    pass


class Troubles:
    """What goes wrong, by key."""

    def __init__(self) -> None:
        self.inits: dict[str, list[str]] = {}
        self.ends: dict[str, str] = {}

    def of_init(self, key: str) -> str:
        faults = self.inits.get(key, [])
        return faults.pop(0) if faults else ""


class Plain(Ends):
    def __init__(self, key: str, troubles: Troubles) -> None:
        self.key, self.troubles = key, troubles

    def init(self, ctx: Ctx) -> Ignore | None:
        fault = self.troubles.of_init(self.key)
        if fault == "fail":
            raise BoomError("boom")
        return IGNORE if fault == "ignore" else None

    def terminate(self, reason: Reason) -> None:
        if self.troubles.ends.get(self.key) == "crash":
            raise BoomError("boom")


@asynccontextmanager
async def never_opens() -> AsyncGenerator[None, None]:
    await anyio.sleep(1000.0)
    yield


class Tasked(Plain):
    async def init(self, ctx: Ctx) -> Ignore | None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        if (self.troubles.inits.get(self.key) or [""])[0] == "hang":
            self.troubles.of_init(self.key)
            await anyio.sleep(1000.0)
        self.ctx = ctx
        return super().init(ctx)

    @on_cast(Stick)
    async def stick(self, message: Stick) -> None:
        await self.ctx.enter(never_opens())

    async def terminate(self, reason: Reason) -> None:  # type: ignore[override] # pyright: ignore[reportIncompatibleMethodOverride]
        if self.troubles.ends.get(self.key) == "hang":
            await anyio.sleep(1000.0)
        super().terminate(reason)


# ---- the runtime's side


def backoff_of(delay: Delay) -> Backoff:
    return Backoff(
        first=delay.first,
        base=delay.base,
        factor=delay.factor,
        cap=delay.cap,
        reset_after=delay.reset_after,
        jitter=Jitter.NONE,
    )


def spec_of(rule: Rule, key: str, troubles: Troubles) -> ChildSpec:
    kind = Tasked if rule.has_task else Plain
    start: Any = sup_spec(rule.sub, key, troubles) if rule.sub else partial(kind, key, troubles)
    delay, budget = rule.delay, rule.budget
    return ChildSpec(
        rule.id,
        start,
        restart=Restart(rule.kind),
        significant=rule.is_significant,
        shutdown=None if rule.sub else rule.shutdown,  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        init_timeout=2.0 if rule.has_task else None,
        backoff=None if delay is None else backoff_of(delay),
        budget=budget and Budget(*budget),
        on_budget=OnBudget.GIVE_UP if rule.gives_up else OnBudget.ESCALATE,
    )


def sup_spec(plan: Plan, path: str, troubles: Troubles) -> SupSpec:
    specs = tuple(spec_of(r, f"{path}/{r.id}", troubles) for r in plan.rules)
    is_dynamic = plan.strategy == "dynamic"
    autos = {"never": "never", "any": "any_significant", "all": "all_significant"}
    return SupSpec(
        strategy=Strategy(plan.strategy),
        children=() if is_dynamic else specs,
        template=specs[0] if is_dynamic else None,
        intensity=plan.intensity,
        period=plan.period,
        auto_shutdown=AutoShutdown(autos[plan.auto]),
        max_children=plan.max_children,
    )


def word(reason: Reason) -> str:
    match reason:
        case Crash("BoomError"):
            return "boom"
        case Normal():
            return "normal"
        case Shutdown():
            return "shutdown"
        case Killed():
            return "killed"
        case InitTimeout():
            return "init_timeout"
        case _:
            return str(reason)


KINDS: dict[type[Any], tuple[str, Callable[[Any], str]]] = {
    ChildStarted: ("started", lambda r: str(r.incarnation)),
    StartError: ("start_error", lambda r: word(r.reason)),
    ChildTerminated: ("ended", lambda r: word(r.reason)),
    ShutdownError: ("shutdown_error", lambda r: word(r.reason)),
    ChildRestarting: ("restarting", lambda r: str(r.used)),
    Breach: ("breach", lambda _: ""),
    ChildGivenUp: ("given_up", lambda _: ""),
}


class Stage:
    """Where the runtime plays."""

    def __init__(self, plan: Plan, clock: Callable[[], float]) -> None:
        self.plan, self.clock = plan, clock
        self.traces: dict[str, Trace] = {}
        self.answers: dict[int, str] = {}
        self.views: dict[int, list[tuple[str, str]]] = {}
        self.troubles = Troubles()
        self.runtime: Runtime | None = None
        self.refs: dict[tuple[str, tuple[str, int]], Ref[Any]] = {}
        """Of whatever was started while it ran, by supervisor, child and incarnation."""

    def observe(self, report: Report) -> None:
        path: str = getattr(report, "path", "")
        parent, _, child = f"root/{path}".rpartition("/")
        if type(report) in KINDS:
            kind, detail = KINDS[type(report)]
            seen = kind, child, detail(report)
            self.traces.setdefault(parent, []).append((self.clock(), seen))
        if isinstance(report, ChildStarted) and self.runtime is not None:
            ref = self.ref(self.runtime, f"{parent}/{child}")
            self.refs[parent, (child, report.incarnation)] = ref

    async def play(self, ops: list[tuple[float, Op]]) -> None:
        async with leak_gate() as gate, anyio.create_task_group() as tasks:
            with suppress(TreeEnded, StartFailed):
                spec = sup_spec(self.plan, "root", self.troubles)
                async with run(spec, observe=self.observe) as runtime:
                    gate.append(runtime)
                    self.runtime = runtime
                    for number, (at, op) in enumerate(ops):
                        await anyio.sleep(at - self.clock())
                        self.act(runtime, number, op, tasks)
                    await runtime.stop()

    def act(self, runtime: Runtime, number: int, op: Op, tasks: anyio.abc.TaskGroup) -> None:
        match op:
            case "inits", key, faults:
                self.troubles.inits[key] = list(faults)
            case "ends", key, fault:
                self.troubles.ends[key] = fault
            case "cast", path, message:
                self.ref(runtime, path).cast(message)
            case "kill", path:
                self.ref(runtime, path).kill()
            case "view", path:
                infos = runtime.supervisor(inner(path)).which_children()
                self.views[number] = [(i.id, i.state.value) for i in infos]
            case "ask", path, verb, subject:
                tasks.start_soon(self.ask, runtime, number, path, verb, subject)
            case _:
                assert op == ("stop",)

    def ref(self, runtime: Runtime, path: str) -> Ref[Any]:
        parent, _, child = path.rpartition("/")
        refs = [c.ref for c in runtime.supervisor(inner(parent)).which_children() if c.id == child]
        assert refs
        assert refs[0] is not None, path
        return refs[0]

    async def ask(self, runtime: Runtime, number: int, path: str, verb: str, subject: Any) -> None:
        sup = runtime.supervisor(inner(path))
        outcome = "ok"
        try:
            match verb:
                case "add":
                    key = f"{path}/{subject.id}"
                    await sup.start_child(spec_of(subject, key, self.troubles))
                case "spawn":
                    await sup.spawn()
                case "terminate" if not isinstance(subject, str):
                    await sup.terminate_child(self.refs[path, subject])
                case _:
                    await getattr(sup, f"{verb}_child")(subject)
        except ActorError as error:
            outcome = type(error).__name__
        self.answers[number] = outcome


def inner(path: str) -> str:
    """The oracle's paths begin with the root."""
    return path.partition("/")[2]


def played(plan: Plan, ops: list[tuple[float, Op]], *, is_on_trio: bool) -> Stage:
    """The same life in the runtime."""
    stage = Stage(plan, trio.current_time if is_on_trio else _time_on_asyncio)
    (run_on_trio if is_on_trio else run_on_asyncio)(stage.play, ops)
    return stage


def _time_on_asyncio() -> float:
    return asyncio.get_running_loop().time()  # in callbacks, too, where anyio knows of no loop
