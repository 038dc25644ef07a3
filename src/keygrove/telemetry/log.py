"""Log lines: one for each request, at its end, and one for each report of the runtime.

A log is a value that is passed on, so that two nodes in one process keep theirs apart.
Events are constants, mostly in the past tense, and facts are fields. A client's address
appears only as a keyed hash, whose key dies with the process.
"""

from typing import Literal, Protocol, TextIO, cast

import msgspec
import structlog
from blake3 import blake3
from structlog.typing import EventDict, Processor

from keygrove.telemetry.exchange import Exchange
from keygrove_actors import (
    Breach,
    ChildGivenUp,
    ChildRestarting,
    ChildStarted,
    ChildTerminated,
    Crash,
    DeadLetter,
    DeadLetters,
    Reason,
    Report,
    ShutdownError,
    SlowTurn,
    StartError,
    StopLate,
    TerminateError,
    WorkerLinesDropped,
    WorkerLogged,
    WorkerPrinted,
    WorkPoisoned,
    Zombie,
)

LogFormat = Literal["console", "json"]

_SERVER_FAULT = 500


class Log(Protocol):
    """What a part may log with."""

    def debug(self, event: str, **facts: object) -> object:
        """Steps, for whoever looks for a bug."""
        ...

    def info(self, event: str, **facts: object) -> object:
        """What happened."""
        ...

    def warning(self, event: str, **facts: object) -> object:
        """Somebody should look this week."""
        ...

    def error(self, event: str, **facts: object) -> object:
        """A crash, or lost work."""
        ...


class Sink(Protocol):
    """Where lines go."""

    def write(self, text: str, /) -> object:
        """Take some text."""
        ...

    def flush(self) -> object:
        """Pass it on."""
        ...

    def isatty(self) -> bool:
        """Whether a person reads it."""
        ...


def open_log(stream: Sink, form: LogFormat, *, level: str = "info", tracebacks: bool = True) -> Log:
    """A log that writes to `stream`: for a person, or one JSON object a line."""
    processors: list[Processor] = [structlog.processors.add_log_level]
    if not tracebacks:
        processors.append(_without_traceback)
    if form == "json":
        processors += [
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(_to_json),
        ]
    else:
        processors += [
            _without_nothing,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(), pad_event_to=0, pad_level=False, sort_keys=False
            ),
        ]
    logger = structlog.wrap_logger(
        structlog.PrintLogger(cast(TextIO, stream)),  # it only writes and flushes
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    return cast(Log, logger.bind())


def _without_traceback(_: object, __: str, facts: EventDict) -> EventDict:
    """For whoever did not ask for them: what an exception says is enough."""
    facts.pop("trace", None)
    if "exc_info" in facts:
        facts["error"] = repr(facts.pop("exc_info"))
    return facts


def _without_nothing(_: object, __: str, facts: EventDict) -> EventDict:
    """For people: what is not there need not be shown, and a traceback takes its own lines."""
    if facts.get("trace"):
        facts["exception"] = facts.pop("trace")
    return {name: value for name, value in facts.items() if value is not None}


def _to_json(facts: object, **_: object) -> str:
    return msgspec.json.encode(facts, enc_hook=repr).decode()


class NodeLog:
    """The words for what happens in one node."""

    def __init__(self, log: Log, client_key: bytes) -> None:
        self._log = log
        self._client_key = client_key

    def exchange(self, exchange: Exchange) -> None:
        """A request's line."""
        write = self._log.warning if exchange.status >= _SERVER_FAULT else self._log.info
        write(
            "request answered",
            listener=exchange.listener,
            method=exchange.method,
            route=exchange.route,
            status=exchange.status,
            duration_ms=round(exchange.duration_s * 1000, 2),
            body_bytes=exchange.body_bytes,
            client=self._pseudonym(exchange.client),
        )

    def fault(self, where: str, error: Exception) -> None:
        """A bug of ours that cost one request."""
        self._log.error("request failed by a bug", where=where, exc_info=error)

    def bringing_up(self, shard: str, progress: str, *, lacks_room: bool) -> None:
        """A shard whose store takes long to be up."""
        write = self._log.warning if lacks_room else self._log.info
        write("store starting", child=shard, progress=progress)

    def brought_up(self, shard: str) -> None:
        """It is up."""
        self._log.info("store started", child=shard)

    def report(self, report: Report) -> None:
        """What the runtime says of its actors."""
        match report:
            case ChildTerminated(reason=reason):
                self._ended("actor ended", reason, report)
            case StartError(reason=reason):
                self._ended("actor did not start", reason, report)
            case ShutdownError(reason=reason):
                self._ended("actor did not stop in order", reason, report)
            case TerminateError(crash=crash):
                self._ended("actor did not clean up", crash, report)
            case _:
                write, event = _WORDS[type(report)]
                getattr(self._log, write)(event, **_facts(report))

    def _ended(self, event: str, reason: Reason, report: Report) -> None:
        facts = _facts(report)
        if isinstance(reason, Crash):
            trace = reason.trace or None
            self._log.error(event, **facts, reason=str(reason), crash=reason.id, trace=trace)
        else:
            self._log.info(event, **facts, reason=str(reason))

    def _pseudonym(self, client: str | None) -> str | None:
        if client is None:
            return None
        return blake3(client.encode(), key=self._client_key).hexdigest(6)


_WORDS = {
    ChildStarted: ("info", "actor started"),
    ChildRestarting: ("warning", "actor restarting"),
    Breach: ("error", "supervisor gave up"),
    ChildGivenUp: ("error", "actor given up"),
    StopLate: ("error", "actors killed at the deadline"),
    DeadLetter: ("debug", "message lost"),
    WorkerPrinted: ("info", "worker printed"),
    WorkerLinesDropped: ("warning", "worker lines dropped"),
    WorkerLogged: ("info", "worker logged"),
    WorkPoisoned: ("error", "request refused after two crashes"),
    DeadLetters: ("debug", "messages lost"),
    Zombie: ("error", "actor outlived its kill"),
    SlowTurn: ("warning", "handler held up the event loop"),
}
"""The reports that tell of no end: at which level they are logged, and how."""


def _facts(report: Report) -> dict[str, object]:
    """A report's own fields, less the reason, which is worded."""
    facts = msgspec.to_builtins(report)
    return {name: facts[name] for name in facts if name not in {"type", "reason", "crash", "trace"}}
