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

from keygrove.telemetry.administration import Administered, AdminRefusal
from keygrove.telemetry.exchange import Exchange
from keygrove.telemetry.intake import Intake
from keygrove.telemetry.partners import Recovery, Round, Unwelcome
from keygrove.telemetry.pushes import Pushed
from keygrove_actors import (
    Breach,
    ChildGivenUp,
    ChildRestarting,
    ChildStarted,
    ChildTerminated,
    Crash,
    DeadLetter,
    DeadLetters,
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
from keygrove_actors.repeats import Repeated

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
            _for_programs,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(_to_json),
        ]
    else:
        processors += [
            _for_people,
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


_FOR_BOTH = ("event", "level", "crash", "exception")


def _for_people(_: object, __: str, facts: EventDict) -> EventDict:
    """What is worded needs no facts; a traceback takes its own lines; nothing is left out."""
    if facts.get("trace"):
        facts["exception"] = facts.pop("trace")
    if "said" in facts:
        facts = {name: facts[name] for name in _FOR_BOTH if name in facts} | {
            "event": facts["said"]
        }
    return {name: value for name, value in facts.items() if value is not None}


def _for_programs(_: object, __: str, facts: EventDict) -> EventDict:
    """Programs read the facts, not the words for them."""
    facts.pop("said", None)
    return facts


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

    def intake(self, intake: Intake) -> None:
        """A submission's line; those of a load, which may be many thousands, are for debugging."""
        write = self._log.debug if intake.route == "load" else self._log.info
        write(
            "submission looked into",
            route=intake.route,
            outcome=intake.outcome,
            octets=intake.octets,
            place=intake.place,
            verify_ms=round(intake.verify_s * 1000, 2),
            known=intake.known,
            results=intake.results,
            refused=intake.refused,
            dropped=intake.dropped,
        )

    def fault(self, where: str, error: Exception) -> None:
        """A bug of ours that cost one request."""
        self._log.error("request failed by a bug", where=where, exc_info=error)

    def administered(self, done: Administered) -> None:
        """What was done to a certificate on request."""
        self._log.info(
            "certificate administered",
            action=done.action,
            result=done.result,
            fingerprint=done.fingerprint,
            by=done.by or "local",
            nonce=done.nonce,
        )

    def refused(self, refusal: AdminRefusal) -> None:
        """A signed request that was not carried out: somebody may be trying."""
        self._log.warning(
            "admin request refused",
            code=refusal.code,
            why=refusal.text,
            client=self._pseudonym(refusal.client),
        )

    def damaged(self, shard: str, error: Exception) -> None:
        """Something stored is not what was written."""
        self._log.error("row damaged", child=shard, what=str(error))

    def bringing_up(self, shard: str, progress: str, *, lacks_room: bool) -> None:
        """A shard whose store takes long to be up."""
        write = self._log.warning if lacks_room else self._log.info
        write("store starting", child=shard, progress=progress)

    def brought_up(self, shard: str) -> None:
        """It is up."""
        self._log.info("store started", child=shard)

    def disk(self, level: str, free_bytes: int, total_bytes: int) -> None:
        """How much room there is became another matter."""
        write = self._log.info if level == "room" else self._log.warning
        write("disk room changed", room=level, free_bytes=free_bytes, total_bytes=total_bytes)

    def synced_too_fast(self, sync_s: float) -> None:
        """The disk, or what lies above it, cannot have kept what it says it has."""
        self._log.warning(
            "disk does not seem to synchronise",
            sync_us=round(sync_s * 1e6, 1),
            advice="what is acknowledged here may be lost with the power: put the data directory "
            "on a disk that keeps what it is given",
        )

    def recon_round(self, told: Round) -> None:
        """A session's line, or that of one that did not come about."""
        write = self._log.warning if told.result in {"refused", "failed"} else self._log.info
        facts = msgspec.structs.asdict(told)
        write("recon round ended", **facts | {"duration_s": round(told.duration_s, 3)})

    def recon_recovery(self, told: Recovery) -> None:
        """The line of one request for certificates."""
        write = self._log.warning if told.failure else self._log.info
        facts = msgspec.structs.asdict(told)
        write("recon recovery ended", **facts | {"duration_s": round(told.duration_s, 3)})

    def recon_filters(self, partner: str, filters: str) -> None:
        """What a partner says of how its certificates were cleaned is not what it was."""
        self._log.info("recon filters changed", partner=partner, filters=filters)

    def recon_closing(self, partner: str, why: str) -> None:
        """It may be busy each time; more likely somebody there has to do something."""
        self._log.warning("recon partner closes at once", partner=partner, why=why)

    def recon_memory_lost(self, why: str) -> None:
        """What brought nothing here is not known any more: the rounds to come are longer for it."""
        self._log.warning(
            "recon memory made anew",
            why=why,
            advice="what partners have that brought nothing here is fetched once more; where this "
            "comes again, look at the disk",
        )

    def recon_stranger(self, address: str) -> None:
        """With its address: who is to be a partner has to be entered by it."""
        self._log.info(
            "recon stranger turned away",
            address=address,
            advice="if it is a partner, set its [[recon.partner]] so that the host of `recon` has "
            "this address, or add the address to recon.allow",
        )

    def recon_turned_away(self, address: str, why: Unwelcome) -> None:
        """A connection was closed at once: there are many who look for open ports."""
        self._log.debug("recon connection closed", why=why, client=self._pseudonym(address))

    def pushed(self, told: Pushed) -> None:
        """What a target was sent. Of attempts that fail one after the other the first is told."""
        is_news = told.result == "refused" or told.failures == 1
        write = self._log.warning if is_news else self._log.debug
        facts = msgspec.structs.asdict(told)
        write("certificate pushed", **facts | {"duration_s": round(told.duration_s, 3)})

    def places_lost(self, why: str) -> None:
        """What changed before is not pushed any more, as far as it was not yet."""
        self._log.error(
            "places of targets lost",
            why=why,
            advice="what was not sent before will not be: keygrove push status names the targets; "
            "give them a dump of this server, and look at the disk",
        )

    def places_unreadable(self, why: str) -> None:
        """Nothing is pushed meanwhile; whatever else there is goes on."""
        self._log.error(
            "places of targets cannot be read",
            why=why,
            advice="see to it that push.db is a file that we may read and write; it is tried "
            "again every minute, and what changes until then is sent afterwards",
        )

    def tree_made_anew(self, why: str) -> None:
        """What partners of recon see has to be listed from all that is stored."""
        self._log.warning("prefix tree made anew", why=why)

    def tree_up(self, digests: int) -> None:
        """Partners can be shown it."""
        self._log.info("prefix tree up", digests=digests)

    def tree_not_dumped(self, why: str) -> None:
        """The next start takes longer."""
        self._log.warning("prefix tree not written down", why=why)

    def report(self, report: Report | Repeated) -> None:
        """What the runtime says of its actors."""
        last = report.last if isinstance(report, Repeated) else report
        level, event = _words_for(last)
        facts = _facts(last)
        if isinstance(report, Repeated):
            event, facts = f"{event} again", {**facts, "times": report.times, "trace": None}
        getattr(self._log, level)(event, said=str(report), **facts)

    def _pseudonym(self, client: str | None) -> str | None:
        if client is None:
            return None
        return blake3(client.encode(), key=self._client_key).hexdigest(6)


_WORDS = {
    ChildStarted: ("info", "actor started"),
    ChildTerminated: ("info", "actor ended"),
    ChildRestarting: ("warning", "actor restarting"),
    StartError: ("info", "actor did not start"),
    ShutdownError: ("info", "actor did not stop in order"),
    TerminateError: ("info", "actor did not clean up"),
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
    SlowTurn: ("warning", "event loop held up"),
}
"""At which level each report is logged, and how; a crash is always an error."""

_WORKER_LEVELS = ("debug", "info", "warning", "error", "error")
"""What workers call debug to critical."""


def _words_for(report: Report) -> tuple[str, str]:
    level, event = _WORDS[type(report)]
    if isinstance(report, WorkerLogged):
        level = _WORKER_LEVELS[report.level]
    return "error" if _crash_of(report) is not None else level, event


def _crash_of(report: Report) -> Crash | None:
    match report:
        case ChildTerminated(reason=Crash() as crash) | StartError(reason=Crash() as crash):
            return crash
        case ShutdownError(reason=Crash() as crash) | TerminateError(crash=crash):
            return crash
        case _:
            return None


def _facts(report: Report) -> dict[str, object]:
    """A report's own fields, with the reason in words, and how a crash came about."""
    facts: dict[str, object] = msgspec.to_builtins(report)
    del facts["type"]
    if isinstance(report, ChildTerminated | StartError | ShutdownError):
        facts["reason"] = str(report.reason)
    if isinstance(report, SlowTurn):
        facts["trace"] = facts.pop("stack")
        if not report.path:
            del facts["path"], facts["message"]
    crash = _crash_of(report)
    if crash is not None:
        facts |= {"reason": str(crash), "crash": crash.id, "trace": crash.trace or None}
    return facts
