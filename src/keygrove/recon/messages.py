"""What the owner of the prefix tree is asked and what it answers."""

from typing import Any, ClassVar, Final, Literal

import msgspec

from keygrove_actors import Call, CallFailure, Ref
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.recon.session import End, SessionLimits, Statistics
from keygrove_protocols.recon.terms import PLAIN, RATELESS

RECON: Final = "recon"
"""The supervisor of all that recon is done by."""
PREFIX: Final = "recon.prefix"
"""The name of the actor that owns the tree."""


WAYS: Final = (RATELESS,)


class PrefixApi:
    """The protocol of the owner of the prefix tree."""


class PrefixStatus(msgspec.Struct, frozen=True, tag=True):
    """How the tree stands. Those figures that only grow count from the actor's last start."""

    digests: int
    waiting_for: str
    """Why nobody can be shown it now; empty: it is as the stores were a moment ago."""
    changes: tuple[int, ...]
    """Of each shard, the last one that is in it."""
    newest: tuple[int, ...]
    """Of each shard, the last one that is known of."""
    mismatches: int
    """Changes that did not fit."""
    rebuilds: int
    """From what the stores hold, for whatever reason."""
    dumps: int
    superseded: int
    """Digests that are remembered, though their certificates have others by now."""
    sessions: int
    """Under way."""

    @property
    def lag(self) -> int:
        """Changes that are known of and not in it."""
        return sum(self.newest) - sum(self.changes)


class GetPrefixStatus(Call[PrefixApi, PrefixStatus], frozen=True, tag=True):
    """How the tree stands: at once."""

    errors: ClassVar = ()


class WhoseWere(Call[PrefixApi, tuple[Fingerprint, ...]], frozen=True, tag=True):
    """The certificates that had these digests until a moment ago: at once."""

    errors: ClassVar = ()
    digests: tuple[Digest, ...]


class NotReady(CallFailure, frozen=True, tag=True):
    """Nobody can be shown the tree now, or there are as many sessions as there may be."""

    reason: str


class NoSession(CallFailure, frozen=True, tag=True):
    """There is none of that number any more: it ended, or its holder did, or nobody fed it."""


class Opened(msgspec.Struct, frozen=True, tag=True):
    """A session, and what is to be written first, in a single write."""

    session: int
    octets: bytes


class OpenSession(Call[PrefixApi, Opened], frozen=True, tag=True):
    """Begin a session whose handshake is done, on the tree as the stores are now."""

    errors: ClassVar = (NotReady,)
    role: Literal["initiator", "acceptor"]
    limits: SessionLimits = SessionLimits()
    way: str = PLAIN
    """That the handshake agreed on: `WAYS` are those that it may offer, beside the plain one."""
    partner: str = ""
    """Whose session it is: it is shown what it is known to have; nobody: what is held."""
    is_keygrove: bool = False
    """Whether the partner knows what we have in the same way."""
    holder: Ref[Any] | None = None
    """Who has the connection: the session ends with it. None: nobody whose end could be told."""


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A session that is over."""

    end: End | None
    """None: whoever drove it ended it."""
    learned: tuple[Digest, ...]
    """What is lacking here, as the partner claims, in ascending order; less what came meanwhile."""
    is_enough: bool
    """As much was found as is looked for, some of which may have come meanwhile."""
    statistics: Statistics


class Stepped(msgspec.Struct, frozen=True, tag=True):
    """What a session came to by what was read."""

    octets: bytes
    """To be written now, in a single write; also if it has ended."""
    ended: Ended | None


class Feed(Call[PrefixApi, Stepped], frozen=True, tag=True):
    """These octets came from the partner; none: it closed the connection."""

    errors: ClassVar = (NoSession,)
    session: int
    octets: bytes


class CloseSession(Call[PrefixApi, Ended], frozen=True, tag=True):
    """End a session, whatever it is at."""

    errors: ClassVar = (NoSession,)
    session: int
