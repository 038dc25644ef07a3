"""What both roles of a session have in common: what goes in and out, and when it is enough.

Who drives a session gives it what was read (`receive`), lets it act on one message after the other
(`advance`, each of which may take some milliseconds) until it wants more, and writes what it has to
`take` with a single write: Hockeypuck loses messages that come in parts. After its `end` nothing
more is read, and both close. What was `learned` stays whatever ended the session, also if the
driver does because it takes too long: this has no clock.

Whatever a partner can make us hold, compute or send is bounded by `SessionLimits`. A limit on what
is learned or given is no fault of anybody: the rest comes in later sessions.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from hashlib import blake2b
from typing import Final, TypeAlias

import msgspec

from keygrove_protocols.errors import ProtocolError, TooLargeError
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.messages import (
    Elements,
    Error,
    FullElements,
    FullRequest,
    Message,
    encode,
    in_order,
    printable,
)
from keygrove_protocols.recon.prefix import Prefix
from keygrove_protocols.recon.view import View

PIECE: Final = 1_000
"""Digests that are held against the set at once: some milliseconds."""


class SessionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of what there is in one session."""

    learned_max: int = 20_000
    """Digests that are fetched afterwards."""

    given_max: int = 100_000
    """Digests that the partner is told to lack. A partner that says it has nothing would else be
    told all we have, in one message that Hockeypuck does not take."""

    listed_max: int = 10_000
    """Digests that the partner says it has below one node. Real servers list fewer than 150 so."""

    messages_max: int = 200_000
    """That come in. A walk over all of a tree of ten million digests takes that many."""

    requests_max: int = 100_000
    """That we make. Hockeypuck has 60,000 waiting at most."""

    unanswered_max: int = 1_000
    """Requests that come before a flush. Real servers flush after 100."""

    octets_max: int = 256 << 20
    """That come in."""

    salt: bytes = b""
    """Decides which digests are left to later sessions where there are too many. Octets that
    nobody can guess, others in each session: else whoever makes certificates could have a flood
    of his own always among those that are taken, and all others never."""


Full: TypeAlias = FullRequest | FullElements
"""What lists all that its sender has below a node."""


class Ending(Enum):
    """How a session came to its end."""

    DONE = "done"
    """As it should. Hockeypuck says so, too, when it gave up."""
    CLOSED = "closed"
    """The partner closed the connection before."""
    FAILED = "failed"
    """The partner said what went wrong, and ended it."""
    LIMIT = "limit"
    """One of `SessionLimits` was reached, or a message is too long."""
    VIOLATION = "violation"
    """The partner said what is no message, or none that may come there."""


class End(msgspec.Struct, frozen=True):
    """The end of a session, and what there is to say about it; fit for a log."""

    ending: Ending
    text: str = ""


class Statistics(msgspec.Struct):
    """What happened so far in a session."""

    octets_in: int = 0
    octets_out: int = 0
    messages: int = 0
    """That came in."""
    requests: int = 0
    """That the acceptor made."""
    rounds: int = 0
    """Flushes of the acceptor, and times that it sent symbols."""
    symbols: int = 0
    """That came or went."""
    gave_up: str = ""
    """Why symbols did not tell the difference, so that it is looked for in the plain way."""
    solved: int = 0
    """Requests that were answered by arithmetic."""
    given: int = 0
    """Digests that the partner was told to lack."""
    left_out: int = 0
    """Elements that came and are no digests."""


class Session(ABC):
    """One session after its handshake."""

    def __init__(self, view: View, decoder: Decoder, limits: SessionLimits) -> None:
        self.end: End | None = None
        self.statistics = Statistics()
        self.given = set[Digest]()
        """What the partner lacks, as far as it was told so."""
        self._view = view
        self._decoder = decoder
        self._limits = limits
        self._told: list[Sequence[Digest]] = []
        """What the partner said last that it has, in pieces that are still to be looked for."""
        self._learned: set[Digest] = set()
        self._outgoing = bytearray()
        self._handshake_octets = decoder.fed - decoder.held

    @property
    def learned(self) -> AbstractSet[Digest]:
        """What was lacking here when the partner said that it has it: claims of the partner.

        A set that changes during a session may have some of it by now.
        """
        return self._learned

    def receive(self, octets: bytes) -> None:
        """Something was read."""
        self._decoder.feed(octets)

    def take(self) -> bytes:
        """What is to be written now, at once."""
        octets = bytes(self._outgoing)
        self._outgoing.clear()
        self.statistics.octets_out += len(octets)
        return octets

    def advance(self) -> bool:
        """Act on the next message, if it is there, or go on with the one before.

        Call it again as long as this is true.
        """
        if self.end is not None:
            return False
        if self._told:
            self._look_for(self._told.pop())
        elif not self._act_on_next():
            return False
        return self._is_to_go_on()

    def _is_to_go_on(self) -> bool:
        if self.end is None and not self._told:
            self._go_on()
        return self.end is None

    def _act_on_next(self) -> bool:
        """Whether there was a message."""
        try:
            message = self._decoder.message()
            if message is not None:
                self._receive(message)
        except TooLargeError as error:
            self._break_off(Ending.LIMIT, str(error))
        except ProtocolError as error:
            self._break_off(Ending.VIOLATION, str(error))
        else:
            return message is not None
        return False

    def closed(self) -> None:
        """The partner closed the connection, and all that it said before was acted on."""
        where = "in the middle of a message" if self._decoder.held else "before the end"
        self._finish(Ending.CLOSED, f"it closed {where}")

    def _receive(self, message: Message) -> None:
        statistics, limits = self.statistics, self._limits
        statistics.octets_in = self._decoder.fed - self._handshake_octets
        statistics.messages += 1
        if statistics.messages > limits.messages_max:
            self._break_off(Ending.LIMIT, f"it sent more than {limits.messages_max} messages")
        elif statistics.octets_in > limits.octets_max:
            self._break_off(Ending.LIMIT, f"it sent more than {limits.octets_max} octets")
        elif isinstance(message, Full) and len(message.digests) > limits.listed_max:
            text = f"it listed more than {limits.listed_max} digests below one node"
            self._break_off(Ending.LIMIT, text)
        elif isinstance(message, Error):
            self._finish(Ending.FAILED, printable(message.text))
        else:
            if isinstance(message, Elements | Full):
                statistics.left_out += message.left_out
            self._on(message)

    @abstractmethod
    def _on(self, message: Message) -> None:
        """Act on a message that is no Error."""

    def _go_on(self) -> None:  # noqa: B027 - who answers has nothing to do by itself
        """A message was acted on, and what it told is taken in."""

    def _finish(self, ending: Ending, text: str = "") -> None:
        """The first end counts."""
        self.end = self.end or End(ending, text)

    def _say(self, message: Message) -> None:
        self._outgoing += encode(message)

    def _break_off(self, ending: Ending, text: str) -> None:
        """Say why to the other end, whose log has it then."""
        self._say(Error(text.encode()))
        self._finish(ending, text)

    def _unexpected(self, message: Message) -> None:
        self._break_off(Ending.VIOLATION, f"unexpected message: {type(message).__name__}")

    def _learn(self, digests: Sequence[Digest]) -> None:
        """The partner has these; they are taken in piece by piece, before the next message.

        Of too many some pieces are left to later sessions, and nobody can tell which.
        """
        starts = range(0, len(digests), PIECE)
        self._told = [digests[at : at + PIECE] for at in starts]
        self._told.sort(key=lambda piece: _shuffling(piece[0], self._limits.salt))

    def _look_for(self, digests: Sequence[Digest]) -> None:
        """What is held here already is passed over: Hockeypuck tells it, too."""
        lacking = self._view.lacks(set(digests)) - self._learned
        room = self._limits.learned_max - len(self._learned)
        if len(lacking) <= room:
            self._learned |= lacking
        else:
            self._learned.update(shuffled(lacking, self._limits.salt)[:room])
            self._stop(f"more than {self._limits.learned_max} certificates are lacking here")

    @abstractmethod
    def _stop(self, text: str) -> None:
        """End it well: enough was done, and the partner did nothing wrong."""

    def _lacking(self, prefix: Prefix, theirs: AbstractSet[Digest]) -> tuple[Digest, ...]:
        """What the partner, who has these below a node, lacks there; no more than may be given."""
        room = self._limits.given_max - self.statistics.given
        if not room:
            return ()
        salt = self._limits.salt
        return self._give(some_below(self._view, prefix, room + len(theirs), salt) - theirs)

    def _give(self, digests: AbstractSet[Digest]) -> tuple[Digest, ...]:
        room = self._limits.given_max - self.statistics.given
        if len(digests) > room:
            digests = set(shuffled(digests, self._limits.salt)[:room])
        given = in_order(digests)
        self.given.update(given)
        self.statistics.given += len(given)
        return given


def shuffled(digests: AbstractSet[Digest], salt: bytes) -> list[Digest]:
    """In an order that only who has the salt can tell, of 64 octets at most."""
    return sorted(digests, key=lambda digest: _shuffling(digest, salt))


def _shuffling(octets: bytes, salt: bytes) -> bytes:
    return blake2b(octets, digest_size=8, key=salt).digest()


def some_below(view: View, prefix: Prefix, enough: int, salt: bytes) -> set[Digest]:
    """All digests below a node; or a few more than are enough, if it has many more."""
    found = set[Digest]()
    todo = [prefix]
    while todo and len(found) < enough:
        node = view.node(todo.pop())
        if node.is_leaf or node.size <= enough - len(found):
            found |= view.digests(node.prefix)
        else:
            todo += sorted(node.prefix.children(), key=lambda one: _shuffling(one.octets, salt))
    return found
