"""Sessions in SKS's way by what differs: with ourselves, and with a real SKS of the same set."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from statistics import median
from time import perf_counter, process_time
from typing import Final

import anyio
import msgspec

from keygrove.ports import ByteStream
from keygrove.recon.conversation import READ_S, receive, send, shake_hands
from keygrove.system.sockets import listen
from keygrove.system.tcp import TcpStreams
from keygrove_bench.recon.sks import Serving, serving
from keygrove_bench.report import Row, aimed, row
from keygrove_bench.storage import worker
from keygrove_bench.storage.worker import Figures, NotRunError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.acceptor import Acceptor
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.handshake import (
    INITIATOR_WAITS_S,
    Agreed,
    Handshake,
    Own,
    Refused,
    Role,
)
from keygrove_protocols.recon.initiator import Initiator
from keygrove_protocols.recon.session import Ending, Session
from keygrove_protocols.recon.terms import DEFAULT_FILTERS, Refusal
from keygrove_protocols.recon.tree import Tree

DIGESTS: Final = 1_000_000
SMALLER: Final = (10_000, 100_000)
FEW: Final = 3_000
DIFFERENCES: Final = (1, 10, 100, 1_000, 10_000)
FEW_DIFFERENCES: Final = (1, 10, 100)
USUAL: Final = 100
ROUNDS: Final = 3
CPU_MS: Final = 1_000
BUSY_S: Final = 120.0
"""SKS tries to fetch what it learned, ten seconds after a session that it did not begin, from where
nobody is; until then it closes at once on whoever comes."""
AGAIN_S: Final = 0.25
UNITS: Final = {
    "trips": "round trips",
    "asked": "octets of who asks",
    "answered": "octets of who answers",
    "cpu": "ms of both ends",
    "seconds": "s over loopback",
}
COUNTED: Final = ("trips", "asked", "answered")


class Measured(msgspec.Struct, frozen=True):
    """A session: round trips, octets each way, time of each end's processor, and in all."""

    trips: int
    asked: int
    answered: int
    asking_ms: float
    answering_ms: float
    seconds: float


def rows(*, quick: bool = False) -> list[Row]:
    """Measure, each in processes of its own."""
    size, sizes = (FEW, FEW_DIFFERENCES) if quick else (DIGESTS, DIFFERENCES)
    rounds = 1 if quick else ROUNDS
    alone, loopback = (worker.run(way, size, rounds, *sizes) for way in (in_process, over_loopback))
    sks: tuple[Figures, Figures] | str
    try:
        asking, answering = (worker.run(way, size, rounds, *sizes) for way in (asked, answered))
        sks = asking, answering
    except NotRunError as error:
        sks = str(error)
    found: list[Row] = []
    for count in sizes:
        for what in UNITS:
            words = f"{count:,} differences in {size:,} digests"
            ours = _of(loopback if what == "seconds" else alone, f"{what}-{count}")
            peers = _beside(what, count, alone, sks)
            one = row((f"session-{what}-{count}", words), ours, UNITS[what], peers)
            is_aimed = (what, count) == ("cpu", USUAL)
            found.append(aimed(one, CPU_MS, is_limit=True) if is_aimed else one)
    for smaller in () if quick else SMALLER:
        figures = worker.run(in_process, smaller, rounds, USUAL)
        beside = {UNITS[what]: _mid(figures, f"{what}-{USUAL}") for what in COUNTED}
        words = f"{USUAL} differences in {smaller:,} digests, both ends"
        name = f"session-cpu-{USUAL}-in-{smaller}"
        found.append(row((name, words), _of(figures, f"cpu-{USUAL}"), "ms", beside))
    return found


def _beside(
    what: str, count: int, alone: Figures, sks: tuple[Figures, Figures] | str
) -> dict[str, float | str]:
    """What each end of ours took, and the same with SKS at one of them."""
    told: dict[str, float | str] = {}
    if what == "cpu":
        told = {f"{end} alone": _mid(alone, f"{end}-{count}") for end in ("asking", "answering")}
    if isinstance(sks, str):
        return told | {"SKS": sks}
    for end, figures in zip(("asking", "answering"), sks, strict=True):
        key = f"{end}-{count}" if what == "cpu" else f"{what}-{count}"
        told[f"SKS {end}"] = _mid(figures, key)
    return told


def _of(figures: Figures, key: str) -> list[float]:
    return [value for name, value in figures.items() if name.startswith(f"{key}/")]


def _mid(figures: Figures, key: str) -> float:
    return round(median(_of(figures, key)), 4)


class _Sides:
    """A set of random digests, and others that differ from it."""

    def __init__(self, size: int) -> None:
        self._chance = Random(0)
        self._digests = [self._digest() for _ in range(size)]
        self.tree = Tree(self._digests)

    def _digest(self) -> Digest:
        return Digest(self._chance.randbytes(16))

    def differing(self, count: int) -> Tree:
        """Half of the differences are digests that only it has."""
        other = self.tree.snapshot()
        more = [self._digest() for _ in range(count // 2)]
        other.apply(added=more, removed=self._chance.sample(self._digests, count - len(more)))
        return other


def _noted(figures: dict[str, float], number: int, count: int, one: Measured) -> None:
    named = {
        "trips": one.trips,
        "asked": one.asked,
        "answered": one.answered,
        "asking": one.asking_ms,
        "answering": one.answering_ms,
        "cpu": one.asking_ms + one.answering_ms,
        "seconds": one.seconds,
    }
    figures.update({f"{name}-{count}/{number}": value for name, value in named.items()})


def _connection() -> Decoder:
    decoder = Decoder()
    decoder.admit_all()
    return decoder


def in_process(size: str, rounds: str, *counts: str) -> Figures:
    """Both ends ours, and nothing between them."""
    sides, figures = _Sides(int(size)), dict[str, float]()
    for count in map(int, counts):
        for number in range(int(rounds)):
            one = _talked(sides.tree, sides.differing(count), count)
            _noted(figures, number, count, one)
    return figures


def _talked(tree: Tree, other: Tree, count: int) -> Measured:
    took = [0.0, 0.0]
    begun = at = process_time()
    ends: tuple[Session, Session] = (
        Acceptor(tree, _connection()),
        Initiator(other, _connection()),
    )
    said, turn = ends[0].take(), 0
    while said:
        took[turn] += (process_time() - at) * 1e3
        at, turn = process_time(), 1 - turn
        ends[turn].receive(said)
        while ends[turn].advance():
            pass
        said = ends[turn].take()
    seconds = process_time() - begun
    _check(ends[0], len(ends[0].learned) + len(ends[1].learned), count)
    return _measured(ends[1], took[0], took[1], seconds)


def _measured(
    initiator: Session, asking_ms: float, answering_ms: float, seconds: float
) -> Measured:
    told = initiator.statistics
    return Measured(told.rounds, told.octets_in, told.octets_out, asking_ms, answering_ms, seconds)


def _check(session: Session, found: int, count: int) -> None:
    assert session.end is not None
    assert session.end.ending is Ending.DONE, session.end
    assert found == count


def over_loopback(size: str, rounds: str, *counts: str) -> Figures:
    """Both ends ours, in one process, with a TCP connection between."""
    sides, figures = _Sides(int(size)), dict[str, float]()
    for count in map(int, counts):
        for number in range(int(rounds)):
            one = anyio.run(_looped, sides.tree, sides.differing(count), count)
            _noted(figures, number, count, one)
    return figures


async def _looped(tree: Tree, other: Tree, count: int) -> Measured:
    learned: list[int] = []
    is_over = anyio.Event()

    async def accept(stream: ByteStream, _: str) -> None:
        session = await _held(stream, Role.ACCEPTOR, tree, DEFAULT_FILTERS)
        assert isinstance(session, Session)
        learned.append(len(session.learned))
        is_over.set()

    endpoint = listen("127.0.0.1:0", "recon.listen")
    port = int(endpoint.address.rpartition(":")[2])
    streams = TcpStreams()
    async with streams.listening(accept, endpoint):
        at, cpu = perf_counter(), process_time()
        stream = await streams.connect("127.0.0.1", port)
        session = await _held(stream, Role.INITIATOR, other, DEFAULT_FILTERS)
        await stream.aclose()
        await is_over.wait()
        seconds, both_ms = perf_counter() - at, (process_time() - cpu) * 1e3
    endpoint.close()
    assert isinstance(session, Session)
    _check(session, len(session.learned) + learned[0], count)
    return _measured(session, both_ms / 2, both_ms / 2, seconds)


async def _held(
    stream: ByteStream, role: Role, tree: Tree, pinned: bytes | None
) -> Session | Refused:
    """One end of a conversation, with its handshake."""
    own = Own(http_port=1, identity=role.value.encode(), pinned=pinned)
    handshake = Handshake(role, own)
    agreed = await shake_hands(stream, handshake, INITIATOR_WAITS_S)
    if not isinstance(agreed, Agreed):
        return agreed
    kind = Initiator if role is Role.INITIATOR else Acceptor
    session: Session = kind(tree, _connection())
    read: bytes | None = handshake.decoder.rest()
    while session.end is None and read is not None:
        session.receive(read)
        while session.advance():
            pass
        await send(stream, session.take())
        if session.end is None:
            read = await receive(stream, anyio.current_time() + READ_S)
            if read == b"":
                session.closed()
    return session


def asked(size: str, rounds: str, *counts: str) -> Figures:
    """We connect to a real SKS, which asks.

    Raises:
        NotRunError: it is not installed.
    """
    sides, figures = _Sides(int(size)), dict[str, float]()
    with serving(sides.tree) as sks:
        for count in map(int, counts):
            for number in range(int(rounds)):
                one = anyio.run(_asked, sks, sides.differing(count), count)
                _noted(figures, number, count, one)
    return figures


async def _asked(sks: Serving, other: Tree, count: int) -> Measured:
    with anyio.fail_after(BUSY_S):
        while True:
            begun = _Begun(sks)
            stream = await TcpStreams().connect("127.0.0.1", sks.port)
            session = await _held(stream, Role.INITIATOR, other, None)
            took = begun.ended(session)
            await stream.aclose()
            if took is not None:
                break
            await anyio.sleep(AGAIN_S)
    assert isinstance(session, Session)
    _check(session, len(session.learned) + session.statistics.given, count)
    return took


def answered(size: str, rounds: str, *counts: str) -> Figures:
    """A real SKS connects to us, and we ask.

    Raises:
        NotRunError: it is not installed.
    """
    return anyio.run(_answered, int(size), int(rounds), [int(count) for count in counts])


async def _answered(size: int, rounds: int, counts: Sequence[int]) -> Figures:
    sides, figures = _Sides(size), dict[str, float]()
    todo = [(count, number) for count in counts for number in range(rounds)]
    is_over = anyio.Event()
    endpoint = listen("127.0.0.1:0", "recon.listen")
    port = int(endpoint.address.rpartition(":")[2])
    with serving(sides.tree, gossips_to=port) as sks:

        async def accept(stream: ByteStream, _: str) -> None:
            if not todo:
                return
            count, number = todo[0]
            other = sides.differing(count)
            begun = _Begun(sks)
            session = await _held(stream, Role.ACCEPTOR, other, None)
            took = begun.ended(session)
            if took is None:
                return
            assert isinstance(session, Session)
            _check(session, len(session.learned), count - count // 2)
            _noted(figures, number, count, took)
            del todo[0]
            if not todo:
                is_over.set()

        async with TcpStreams().listening(accept, endpoint):
            with anyio.fail_after(BUSY_S * len(todo)):
                await is_over.wait()
    endpoint.close()
    return figures


class _Begun:
    """When a session with SKS began, by all clocks."""

    def __init__(self, sks: Serving) -> None:
        self._sks = sks
        self._at, self._ours, self._theirs = perf_counter(), process_time(), sks.cpu_ms()

    def ended(self, session: Session | Refused) -> Measured | None:
        """What it took; None: it did not come about, as SKS is busy."""
        seconds = perf_counter() - self._at
        ours_ms = (process_time() - self._ours) * 1e3
        theirs_ms = self._sks.cpu_ms() - self._theirs
        if isinstance(session, Refused):
            assert session.refusal is Refusal.BUSY, session.text
            return None
        told = session.statistics
        if isinstance(session, Initiator):
            return _measured(session, theirs_ms, ours_ms, seconds)
        return Measured(told.rounds, told.octets_out, told.octets_in, ours_ms, theirs_ms, seconds)
