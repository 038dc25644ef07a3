"""What pages of a store are made of: from the index in tree-key order, and from the overlay.

The functions that take a session run on the reader's thread.
"""

from keygrove.ports import SqlSession
from keygrove.storage import index, versions
from keygrove.storage.overlay import Entry
from keygrove.storage.store import NamedDigests
from keygrove.storage.write import Denial
from keygrove_protocols.openpgp.keys import Fingerprint

_SEQS = "SELECT k, seq, fp FROM side.key WHERE k > ? ORDER BY k LIMIT ?"
_DIGESTS = (
    "SELECT k, md5, sks, fp, d.seq IS NOT NULL FROM side.key LEFT JOIN side.deny AS d USING (k)"
    " WHERE k > ? ORDER BY k LIMIT ?"
)


def seqs(db: SqlSession, after: bytes, limit: int) -> dict[bytes, tuple[int, Fingerprint]]:
    """Those held behind a tree key, in order: the row of each, and its fingerprint."""
    rows = db.execute(_SEQS, (after, limit)).fetchall()
    return {key: (seq, fp) for key, seq, fp in rows}


def seq_and_name(entry: Entry) -> tuple[int, Fingerprint] | None:
    """The same of an entry, if anything of it is held."""
    return None if entry.found is None else (entry.seq, entry.fingerprint)


def digests(db: SqlSession, after: bytes, limit: int) -> dict[bytes, NamedDigests]:
    """The digests of those held behind a tree key, in order."""
    rows = db.execute(_DIGESTS, (after, limit)).fetchall()
    return {
        key: NamedDigests(stored, sks, name, bool(is_denied))
        for key, stored, sks, name, is_denied in rows
    }


def digests_held(entry: Entry) -> NamedDigests | None:
    """The digests of what is held by an entry."""
    if entry.found is None:
        return None
    both, is_denied = entry.found.digests, entry.denial is not None
    return NamedDigests(both.stored, both.sks, entry.fingerprint, is_denied)


def denials(db: SqlSession, after: bytes, limit: int) -> dict[bytes, Denial]:
    """The denials behind a tree key, in order."""
    found = index.denied(db, after, limit)
    return {key: versions.denial(db, seq) for key, seq in found.items()}


def denial_there(entry: Entry) -> Denial | None:
    """The denial of an entry."""
    return entry.denial
