"""What pages of a store are read from: the index in tree-key order, and the overlay."""

from keygrove.ports import SqlSession
from keygrove.storage import index, versions
from keygrove.storage.overlay import Entry
from keygrove.storage.store import Digests
from keygrove.storage.write import Denial
from keygrove_protocols.openpgp.keys import Fingerprint

_SEQS = "SELECT k, seq, fp FROM side.key WHERE k > ? ORDER BY k LIMIT ?"
_DIGESTS = "SELECT k, md5, sks FROM side.key WHERE k > ? ORDER BY k LIMIT ?"


def seqs(db: SqlSession, after: bytes, limit: int) -> dict[bytes, tuple[int, Fingerprint]]:
    """The newest rows of some certificates behind `after`, and their fingerprints, by tree key."""
    rows = db.execute(_SEQS, (after, limit)).fetchall()
    return {key: (seq, fp) for key, seq, fp in rows}


def seq_and_name(entry: Entry) -> tuple[int, Fingerprint] | None:
    """The same of one in the overlay, if it is held."""
    return None if entry.found is None else (entry.seq, entry.fingerprint)


def digests(db: SqlSession, after: bytes, limit: int) -> dict[bytes, Digests]:
    """The digests of some certificates behind `after`, by tree key."""
    rows = db.execute(_DIGESTS, (after, limit)).fetchall()
    return {key: Digests(stored, sks) for key, stored, sks in rows}


def digests_held(entry: Entry) -> Digests | None:
    """The same of one in the overlay, if it is held."""
    return None if entry.found is None else entry.found.digests


def denials(db: SqlSession, after: bytes, limit: int) -> dict[bytes, Denial]:
    """Some denials behind `after`, by tree key."""
    found = index.denied(db, after, limit)
    return {key: versions.denial(db, seq) for key, seq in found.items()}


def denial_there(entry: Entry) -> Denial | None:
    """The same of one in the overlay, if it is denied."""
    return entry.denial
