"""A set of digests as a session sees it, in the plainest way: sets, and products of differences."""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from random import Random

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.acceptor import Acceptor
from keygrove_protocols.recon.field import P
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.initiator import Initiator
from keygrove_protocols.recon.messages import Message
from keygrove_protocols.recon.prefix import Prefix
from keygrove_protocols.recon.session import Ending, Session, SessionLimits
from keygrove_protocols.recon.view import Node
from tests.unit.protocols.recon.recorded import messages_of

POINTS = (0, -1, 1, -2, 2, -3)
LEAF_MAX = 50


class Model:
    """A view of a set. A node has children where it is too large for a leaf."""

    def __init__(self, digests: Iterable[Digest] = ()) -> None:
        self.all = set(digests)

    def node(self, prefix: Prefix) -> Node:
        below = self.digests(prefix)
        return Node(
            prefix=prefix,
            size=len(below),
            samples=tuple(product(below, point) for point in POINTS),
            is_leaf=len(below) <= LEAF_MAX,
        )

    def digests(self, prefix: Prefix) -> set[Digest]:
        return {digest for digest in self.all if prefix.covers(digest)}

    def lacks(self, digests: AbstractSet[Digest]) -> set[Digest]:
        return set(digests) - self.all


def product(digests: Iterable[Digest], point: int) -> int:
    found = 1
    for digest in digests:
        found = found * (point - int.from_bytes(digest, "little")) % P
    return found


def drawn(count: int, seed: int) -> set[Digest]:
    random = Random(seed)
    return {Digest(random.randbytes(16)) for _ in range(count)}


def connection() -> Decoder:
    """One whose handshake is over."""
    decoder = Decoder()
    decoder.admit_all()
    return decoder


def initiator(digests: Iterable[Digest], limits: SessionLimits | None = None) -> Initiator:
    return Initiator(Model(digests), connection(), limits)


def acceptor(
    digests: Iterable[Digest], limits: SessionLimits | None = None, *, full_below: int = 150
) -> Acceptor:
    return Acceptor(Model(digests), connection(), limits, full_below)


def feed(session: Session, octets: bytes) -> bytes:
    """What it says to that."""
    session.receive(octets)
    while session.advance():
        pass
    return session.take()


def converse(
    one: Session, other: Session, cut: Callable[[bytes], Iterable[bytes]] = lambda octets: (octets,)
) -> None:
    """Until neither has anything to say; `cut` is how it arrives."""
    speaking, listening = one, other
    octets = speaking.take()
    while octets:
        answer = b"".join(feed(listening, piece) for piece in cut(octets))
        speaking, listening, octets = listening, speaking, answer


def sets(shared: int, only_one: int, only_other: int, seed: int) -> tuple[set[Digest], set[Digest]]:
    everything = sorted(drawn(shared + only_one + only_other, seed))
    Random(seed).shuffle(everything)
    return set(everything[: shared + only_one]), set(everything[:shared]) | set(
        everything[shared + only_one :]
    )


def said_of(octets: bytes) -> list[Message]:
    decoder = connection()
    decoder.feed(octets)
    found = messages_of(decoder)
    assert decoder.held == 0
    return found


def ending(session: Session) -> Ending:
    assert session.end is not None
    return session.end.ending


def text(session: Session) -> str:
    assert session.end is not None
    return session.end.text
