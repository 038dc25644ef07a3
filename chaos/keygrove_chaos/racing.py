"""A cache whose readers and writers race, and a model that knows what may be served.

The store is a dictionary here. A change is visible to whoever reads the store from `commit` on,
and acknowledged by `acknowledge`, before which the cache is told: in between a reader may get
either version, and before and after that exactly one. Readers look at the store at some moment
of their reading, and hand in what they saw at a later one.
"""

from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from random import Random
from typing import Final

import msgspec

from keygrove.storage.absent import TTL_S
from keygrove.storage.cache import NOT_HELD, Answer, Cache, Form, Listing, Reading
from keygrove.storage.term import Term, TermKind
from keygrove_protocols.openpgp.keys import Digest, Fingerprint

LIMIT: Final = 3
"""Of a listing: fewer than carry a term at times."""
READERS_MAX: Final = 8


class Held(msgspec.Struct, frozen=True):
    """What the store has of a certificate."""

    change: int
    size: int
    terms: frozenset[Term]


class StaleError(Exception):
    """The cache gave what it should not have."""

    def __init__(self, asked: object, got: object) -> None:
        self.asked = asked
        self.got = got
        super().__init__(f"asked for {asked}, the cache gave {got}, which is not so any more")


class _Reader:
    """One reading: what it is about, and what it saw."""

    def __init__(self, stack: ExitStack, reading: Reading, about: Fingerprint | Term) -> None:
        self.stack = stack
        self.reading = reading
        self.about = about
        self.saw: Answer | Listing | None = None
        self.has_looked = False


class CacheRace:
    """One cache, one store, and whoever reads and writes; every step checks what it gets.

    Args:
        bytes_max: small enough that entries go for others.
        names: how many certificates there may be; half as many terms are shared by them.

    Every method raises `StaleError` for an answer that no version justifies.
    """

    def __init__(self, bytes_max: int, names: int) -> None:
        self.now_s = 0.0
        self.bytes_max = bytes_max
        self.names = [Fingerprint(number.to_bytes(20)) for number in range(names)]
        self.terms = [Term(TermKind.KEY_ID, bytes((number,)) * 8) for number in range(names // 2)]
        self.cache = Cache(bytes_max, lambda: self.now_s)
        self._held: dict[Fingerprint, Held] = {}
        self._before: dict[Fingerprint, Held] = {}
        """As it was when the last change was acknowledged."""
        self._unacknowledged: Fingerprint | None = None
        self._readers: list[_Reader] = []
        self._earlier: deque[tuple[Fingerprint, Held]] = deque(maxlen=names)
        self.change = 0
        self.served = 0

    def commit(self, name: Fingerprint, size: int, terms: frozenset[Term]) -> None:
        """Hold a new version of a certificate."""
        self._replace(name, Held(self.change + 1, size, terms))

    def remove(self, name: Fingerprint) -> None:
        """Hold nothing of a certificate."""
        self._replace(name, None)

    def roll_back(self, number: int) -> None:
        """Hold one of the versions that others took the place of again, as a new change."""
        if self._earlier:
            name, held = self._earlier[number % len(self._earlier)]
            self.commit(name, held.size, held.terms)

    def acknowledge(self) -> None:
        """Tell the cache of the last change, and then whoever asked for it."""
        name = self._unacknowledged
        if name is None:
            return
        held = self._held.get(name)
        self.cache.invalidate(name, held.terms if held else frozenset())
        self._unacknowledged = None
        self._before = dict(self._held)
        self._check_bound()

    def fetch(self, name: Fingerprint) -> None:
        """Ask the cache for a certificate; if it does not know, begin to read."""
        got = self.cache.get(name, Form.BINARY)
        if got is None:
            self._begin(name)
            return
        fitting = [_answer(name, state.get(name)) or NOT_HELD for state in self._states()]
        self._check(name, got, got in fitting)

    def find(self, term: Term, limit: int) -> None:
        """As `fetch`, for what carries a term."""
        got = self.cache.find(term, limit)
        if got is None:
            self._begin(term)
            return
        fitting = [_listing(state, term, limit).names for state in self._states()]
        self._check(term, got, got in fitting)

    def step_reader(self, number: int) -> None:
        """Have one of those who read look at the store, or hand in what it saw."""
        if not self._readers:
            return
        reader = self._readers[number % len(self._readers)]
        if not reader.has_looked:
            reader.has_looked = True
            if isinstance(reader.about, Term):
                reader.saw = _listing(self._held, reader.about, LIMIT)
            else:
                reader.saw = _answer(reader.about, self._held.get(reader.about))
            return
        self._readers.remove(reader)
        with reader.stack:
            match reader.saw:
                case Answer():
                    self.cache.put(reader.reading, Form.BINARY, reader.saw)
                case Listing():
                    self.cache.put_listing(reader.reading, reader.saw)
                case None:
                    assert not isinstance(reader.about, Term)
                    self.cache.put_absent(reader.reading, reader.about)
        self._check_bound()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now_s += seconds

    def _replace(self, name: Fingerprint, held: Held | None) -> None:
        self.acknowledge()
        self.change += 1
        old = self._held.pop(name, None)
        if old is not None:
            self._earlier.append((name, old))
        if held is not None:
            self._held[name] = held
        self._unacknowledged = name

    def _begin(self, about: Fingerprint | Term) -> None:
        if len(self._readers) == READERS_MAX:
            return
        stack = ExitStack()
        reading = stack.enter_context(self.cache.reading())
        self._readers.append(_Reader(stack, reading, about))

    def _states(self) -> tuple[dict[Fingerprint, Held], ...]:
        """What may be served: before a change is acknowledged, either."""
        if self._unacknowledged is None:
            return (self._held,)
        return self._before, self._held

    def _check(self, asked: object, got: object, is_fitting: object) -> None:
        self.served += 1
        if not is_fitting:
            raise StaleError(asked, got)

    def _check_bound(self) -> None:
        assert 0 <= self.cache.size_bytes <= self.bytes_max, self.cache.size_bytes


def race(seed: int, steps: int, *, bytes_max: int = 100_000, names: int = 200) -> CacheRace:
    """Run `steps` random steps; the race, for what it counted."""
    random = Random(seed)  # noqa: S311 - a seed is to be repeatable, not secret
    world = CacheRace(bytes_max, names)
    for step in random.choices(list(_STEPS), list(_STEPS.values()), k=steps):
        step(world, random)
    return world


def _some(world: CacheRace, random: Random) -> Fingerprint:
    """Some are asked for and changed more often than others."""
    return world.names[int(random.random() ** 2 * len(world.names))]


def _commit(world: CacheRace, random: Random) -> None:
    terms = frozenset(random.sample(world.terms, random.randrange(5)))
    world.commit(_some(world, random), random.randrange(1_500), terms)


_STEPS: Final[dict[Callable[[CacheRace, Random], None], int]] = {
    lambda world, random: world.fetch(_some(world, random)): 450,
    lambda world, random: world.find(
        random.choice(world.terms), random.randrange(1, LIMIT + 2)
    ): 100,
    lambda world, random: world.step_reader(random.randrange(READERS_MAX)): 390,
    lambda world, _: world.acknowledge(): 29,
    _commit: 20,
    lambda world, random: world.remove(_some(world, random)): 5,
    lambda world, random: world.roll_back(random.randrange(len(world.names))): 5,
    lambda world, random: world.wait(random.random() * TTL_S): 1,
}
"""What may happen, by how often of a thousand times."""


def _answer(name: Fingerprint, held: Held | None) -> Answer | None:
    if held is None:
        return None
    return Answer(name, Digest(bytes(16)), held.change, bytes(held.size))


def _listing(state: dict[Fingerprint, Held], term: Term, limit: int) -> Listing:
    names = sorted(name for name, held in state.items() if term in held.terms)
    return Listing(term, limit, tuple(names[:limit]))
