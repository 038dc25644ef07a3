"""What a shard's store promises, whatever it keeps certificates in.

One writer calls `commit`; any number of readers call the rest meanwhile. A commit is
durable, whole and visible when it returns, and none of it is before. Nothing here is of
SQLite: change numbers count commits, and a cursor means something to its store only.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from keygrove.errors import DamagedError
from keygrove.storage.audit import Record
from keygrove.storage.cursor import Cursor
from keygrove.storage.history import History
from keygrove.storage.mark import Mark
from keygrove.storage.merkle import Tree
from keygrove.storage.term import Term
from keygrove.storage.version import Head, Version, Whole
from keygrove.storage.write import Denial, Redacted, Redaction, Write
from keygrove_protocols.openpgp.keys import Digest, Fingerprint


class Hour(msgspec.Struct, frozen=True):
    """What changed in the hour that began at `start` (seconds, UTC)."""

    start: int
    inserted: int
    updated: int


class Counts(msgspec.Struct, frozen=True):
    """How much there is. `hours` has those of the last week in which something changed."""

    certificates: int
    packet_bytes: int
    """Of all that is stored of them, what is set aside too."""
    change: int
    hours: tuple[Hour, ...] = ()
    denials: int = 0
    lifts: int = 0
    """Denials that were ended, as far as the history tells. Another number than before says that
    something may not be denied any more which was."""


class Savings(msgspec.Struct, frozen=True):
    """What a store did about the room that it takes, since it was opened."""

    plain_bytes: int = 0
    """Of what was committed."""
    stored_bytes: int = 0
    """What of that was written to the file."""
    dropped_rows: int = 0
    """Versions that no moment needs any more which is kept."""
    coded_rows: int = 0
    """Former versions that are stored as what they differ in."""
    saved_bytes: int = 0
    """By dropping, and by coding."""
    skipped_rows: int = 0
    """Former versions that were left as they are, because they are damaged, or what is beside."""


class Page(msgspec.Struct, frozen=True):
    """Some certificates, and where the next page starts; None after the last."""

    versions: tuple[Whole, ...]
    cursor: Cursor | None


class Digests(msgspec.Struct, frozen=True):
    """Both digests of one certificate, see `Whole`."""

    stored: Digest
    sks: Digest


class NamedDigests(Digests, frozen=True):
    """The same, and of which certificate."""

    fingerprint: Fingerprint
    is_denied: bool
    """What is held is beside a denial: what its key says against itself."""


class DigestPage(msgspec.Struct, frozen=True, tag=True):
    """The digests of some certificates, and where the next page starts; None after the last."""

    digests: tuple[NamedDigests, ...]
    cursor: Cursor | None


class DenialPage(msgspec.Struct, frozen=True):
    """Some denials, and where the next page starts; None after the last."""

    denials: tuple[Denial, ...]
    cursor: Cursor | None


class AuditPage(msgspec.Struct, frozen=True):
    """Some entries of the audit log, and where the next page starts; None after the last."""

    records: tuple[Record, ...]
    cursor: Cursor | None


class Progress(msgspec.Struct, frozen=True):
    """How far a store is that is being brought up."""

    step: str
    done: int
    total: int
    """Versions of certificates."""
    lacks_room: bool = False
    """It cannot go on, because the disk is full; it does by itself once there is room."""
    is_read_only: bool = False
    """It cannot go on, because the disk is read-only; it does once that can be written."""

    def __str__(self) -> str:
        at = f"{self.step}, {self.done:,} of {self.total:,} versions"
        if self.is_read_only:
            return f"{at}; the disk is read-only: mount it so that it can be written"
        return f"{at}; the disk is full: free some space" if self.lacks_room else at


class Scrubbed(msgspec.Struct, frozen=True):
    """Some of what is stored was looked at again."""

    until: int
    """The last row of these."""
    damage: tuple[DamagedError, ...] = ()
    """What is not as it was written."""


class CertificateStore(Protocol):
    """Certificates of one shard. Every form passes tests/contract."""

    @property
    def is_read_only(self) -> bool:
        """Whether nothing can be committed. Then `upkeep` returns when it is to be opened anew."""
        ...

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """What is to be served of each certificate, in the order asked."""
        ...

    async def get_whole(self, fingerprints: Sequence[Fingerprint]) -> list[Whole | None]:
        """The current version of each certificate, in the order asked."""
        ...

    async def sources(self, fingerprints: Sequence[Fingerprint]) -> list[bytes | None]:
        """The source of each certificate, in the order asked; none of them is read for that."""
        ...

    async def find(self, terms: Sequence[Term], limit: int) -> list[tuple[Fingerprint, ...]]:
        """For each term the certificates that carry it, by fingerprint, at most `limit`."""
        ...

    async def search(self, words: frozenset[str], limit: int) -> tuple[Fingerprint, ...]:
        """At most `limit` certificates whose user IDs carry all the words; none for no word.

        Raises:
            TooBroadError: there are several words, and too many certificates to look through.
        """
        ...

    async def denials_of(self, fingerprints: Sequence[Fingerprint]) -> list[Denial | None]:
        """The denial of each fingerprint, in the order asked. Quick where nothing is denied."""
        ...

    async def redactions_of(self, fingerprints: Sequence[Fingerprint]) -> list[Redacted]:
        """The parts of each certificate that are not wanted, in the order asked."""
        ...

    async def are_recorded(self, requests: Sequence[tuple[Fingerprint, bytes]]) -> list[bool]:
        """Whether the audit log has these fingerprints and nonces, in the order asked."""
        ...

    async def commit(
        self,
        writes: Sequence[Write],
        records: Sequence[Record] = (),
        redactions: Sequence[Redaction] = (),
        marks: Sequence[Mark] = (),
    ) -> int:
        """Do all of `writes`, durably, and return the change number.

        There is at most one for each fingerprint. `records` become part of the audit log in
        the same moment; none of them is there already. `redactions` hold from then on, and
        `marks` are made of the state after the writes.

        Raises:
            DiskFullError: nothing was kept.
            HistoryError: nothing was kept, because a snapshot is of what is not kept any more.
            FencedError: nothing was kept, and nothing ever will be: another writes it now.
            ReadOnlyError: nothing was kept, nor ever will be: `is_read_only` says so.
            StoreError: it is not known what was kept: open the store anew.
        """
        ...

    async def page(self, cursor: Cursor | None, limit: int) -> Page:
        """Up to `limit` certificates from `cursor` on; each one exactly once over all pages.

        One that changes meanwhile is given in its older or its newer version, and one that
        is added meanwhile may be missing.
        """
        ...

    async def digests(self, cursor: Cursor | None, limit: int) -> DigestPage:
        """The digests of up to `limit` certificates from `cursor` on, as `page` does."""
        ...

    async def denials(self, cursor: Cursor | None, limit: int) -> DenialPage:
        """Up to `limit` denials from `cursor` on, as `page` does."""
        ...

    async def audit(self, cursor: Cursor | None, limit: int) -> AuditPage:
        """Up to `limit` entries of the audit log from `cursor` on, oldest first."""
        ...

    @property
    def history(self) -> History:
        """How it stood before."""
        ...

    def counts(self) -> Counts:
        """How much there is after the last commit."""
        ...

    def head(self) -> Head:
        """What it holds after the last commit; it became durable with that."""
        ...

    def tree(self) -> Tree:
        """The tree whose root `head` tells; it stays as it is, whatever comes after it."""
        ...

    async def upkeep(self) -> None:
        """What the store has to do behind the commits, for as long as it is open.

        Returns:
            When it is to be opened anew, see `is_read_only`; else never.
        """
        ...

    async def scrub(self, tell: Callable[[Scrubbed], None]) -> None:
        """Look again and again whether what is stored is as it was written, for as long."""
        ...

    async def compact(self) -> None:
        """Drop what of the history is not to be kept, for as long as the store is open.

        Raises:
            StoreError: open the store anew.
        """
        ...

    def savings(self) -> Savings:
        """What became of that so far."""
        ...

    async def settle(self) -> None:
        """Finish that work before an orderly end, so that the next start is quick."""
        ...


class Opening(Protocol):
    """A store whose files are open, and which has yet to be brought up: quickly or slowly."""

    def progress(self) -> Progress:
        """How far `finish` is."""
        ...

    def head(self) -> Head:
        """After the newest change: as the store will have it, since nothing changes meanwhile."""
        ...

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """The current version of each certificate, in the order asked.

        Raises:
            StartingError: it cannot say yet.
        """
        ...

    async def finish(self) -> CertificateStore:
        """Bring the store up, and return it. Cancelled or failed, it goes on when called again.

        Raises:
            DiskFullError: there is no room for what has to be written first.
            ReadOnlyError: that cannot be written.
            StoreError: open the store anew.
        """
        ...


class Opened:
    """See `Opening`: of a store that was up as soon as it was open."""

    def __init__(self, store: CertificateStore) -> None:
        self._store = store

    def progress(self) -> Progress:
        """See `Opening`."""
        return Progress("up", 0, 0)

    def head(self) -> Head:
        """See `Opening`."""
        return self._store.head()

    async def get(self, fingerprints: Sequence[Fingerprint]) -> list[Version | None]:
        """See `Opening`."""
        return await self._store.get(fingerprints)

    async def finish(self) -> CertificateStore:
        """See `Opening`."""
        return self._store
