"""Points: where the code lets a test do what is rare and legal, end the node, or hear of a state.

In production nobody has armed them, and each costs a look. Who arms them does so for a context
and for all tasks that are started in it, so that several nodes in one process have their own.

`buggify` never asks for what a contract forbids: a batch of one is rare, a lost commit is wrong.

Source: FoundationDB's BUGGIFY; Antithesis' sometimes-assertions.
"""

from contextvars import ContextVar
from typing import Final, Protocol

BUGGIFIED: Final = {
    "compaction.soon": "the history is compacted after a short while, and little of it kept",
    "heap.checkpoint": "a log is checkpointed before a write, however short it is",
    "index.distrusted": "an index is made anew, though it is that of its heap and whole",
    "index.flush": "the index is given one entry at a time",
    "recon.batch": "one certificate is asked for at a time",
    "recon.samples": "a session asks by samples, however few digests there are",
    "rollback.chunk": "a rollback takes back one certificate at a time",
    "shard.commit": "a commit takes one merge, however many wait",
    "shard.linger": "what was read waits before it is made ready to be served",
    "shard.read": "a batch of reads is one, however many wait",
}
"""By name: what is rare and legal, and happens when the point fires."""

CRASHES: Final = {
    "compaction": "some of a shard's history is compacted, and more is to be done",
    "heap.checkpoint": "the log was moved into the heap, before a commit",
    "index.flush": "the index has some of the overlay, and does not say so yet",
    "index.flushed": "the index says that it has all of the overlay, which has it still",
    "rollback.begun": "a rollback, or its undo, is durable, and nobody was told",
    "rollback.chunk": "some of a rollback's certificates are taken back",
    "shard.commit.after": "a commit is durable, and nobody was told",
    "shard.commit.before": "merges are taken off the queue, and nothing is written",
    "snapshot.taken": "a snapshot is durable, and lacks the root of all shards",
    "store.open": "the heap is open, the index not yet",
}
"""By name: where a node may be ended, to see what the next start makes of it."""

RECON_CRASHES: Final = {
    "recon.asked": "a partner answered with certificates, and none of them is taken in",
    "recon.learned": "a session found something lacking, and nothing of it is asked for",
    "recon.noted": "what brought nothing is remembered, and is still to be fetched",
    "recon.taken": "certificates are taken in, and what brought nothing is not remembered",
}
"""The same, for a node with partners."""

SOMETIMES: Final = {
    "compaction.coded": "a former version was stored as what it differs in",
    "compaction.dropped": "a version was dropped that no moment needed which is kept",
    "index.rebuilt": "an index was made anew from its heap",
    "index.replayed": "a start found commits that the index lacked",
    "recon.dumped": "the prefix tree was written down",
    "recon.rebuilt": "the prefix tree was made anew from what is stored",
    "rollback.resumed": "a start found a rollback, or an undo, that was not done",
    "shard.batched": "one commit took several merges",
    "shard.combined": "one commit took several merges of one certificate",
    "shard.denied": "a certificate was turned away because it is denied",
    "shard.full": "a commit met a full disk",
    "shard.invalidated": "a certificate changed while an older version was made ready to be served",
    "shard.replayed": "an administrator's request came that was carried out before",
    "store.frozen": "a store was opened on a disk that is read-only",
    "space.healed": "there was room again on a disk that had little",
    "space.released": "the reserve was given up for want of room",
}
"""By name: states that a campaign has to reach, or it shows less than it seems to."""

RECON_SOMETIMES: Final = {
    "recon.absent": "what was asked for did not come",
    "recon.learned": "a session found something lacking",
    "recon.passed_over": "what a session found is known to bring nothing",
    "recon.descended": "a session went down to the root's children, or further",
    "recon.superseded": "a partner asked for what a certificate was a moment ago",
}
"""The same, of a campaign of nodes with partners."""


class Points(Protocol):
    """What arms them."""

    def fires(self, name: str) -> bool:
        """Whether the rare thing is to happen at this visit."""
        ...

    def crash(self, name: str) -> None:
        """End the node at this visit, by raising, or return."""
        ...

    def reached(self, name: str) -> None:
        """The state was reached."""
        ...


ARMED: ContextVar[Points | None] = ContextVar("ARMED", default=None)


def buggify(name: str) -> bool:
    """Whether to do the rare and legal thing that `BUGGIFIED` describes."""
    points = ARMED.get()
    return points is not None and points.fires(name)


def at_once(name: str, usual: int) -> int:
    """How many things are done at once: the usual number, or one where the point fires."""
    return 1 if buggify(name) else usual


def crash_point(name: str) -> None:
    """A moment of `CRASHES`."""
    points = ARMED.get()
    if points is not None:
        points.crash(name)


def sometimes(name: str) -> None:
    """A state of `SOMETIMES` is reached."""
    points = ARMED.get()
    if points is not None:
        points.reached(name)
