"""What rows hold, as it was before it was coded: every reader of `obj.v` and `obj.aside` asks here.

`obj.flags` and `obj.base` say how a row's values are coded: bit 0 of `flags` is set if `v` is,
bit 1 if `aside` is. Where `base` is null the bits above are the number of the dictionary
(table `dict`); otherwise `base` is the row that replaced this one, whose own values are the
dictionary, `v` for `v` and `aside` for `aside`. At most eight rows lean on each other like that.

The functions run on a connection's own thread, where the heap is attached or the main file.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from keygrove.errors import DamagedError
from keygrove.ports import SqlSession
from keygrove.storage import coding
from keygrove.storage.address import dictionary_hash
from keygrove.storage.coding import Dictionary

V_IS_CODED: Final = 1
ASIDE_IS_CODED: Final = 2
NUMBER_SHIFT: Final = 2
CHAIN_MAX: Final = 8
"""Rows that have to be decoded before one can be."""

Column: TypeAlias = Literal["v", "aside"]
_BITS: Final[dict[Column, int]] = {"v": V_IS_CODED, "aside": ASIDE_IS_CODED}


class Form(msgspec.Struct, frozen=True, array_like=True):
    """How the values of a row are coded, and their octets together before that."""

    flags: int
    base: int | None
    size: int


class Coded(msgspec.Struct, frozen=True, array_like=True):
    """The last columns of a row, as they are stored."""

    flags: int
    base: int | None
    v: bytes
    aside: bytes

    @property
    def size(self) -> int:
        """Octets as stored."""
        return len(self.v) + len(self.aside)


class InForce(msgspec.Struct, frozen=True):
    """The dictionary that small values are coded by from now on."""

    number: int
    dictionary: Dictionary
    share: float
    """Which part was left of values that it was not made from."""


class Mended(msgspec.Struct, frozen=True):
    """What takes the place of dictionaries, and of rows, that are not what was written."""

    dictionaries: Mapping[int, Dictionary] = {}
    rows: Mapping[int, tuple[bytes, bytes]] = {}
    """The values of each, `v` and `aside`."""


AS_IT_IS: Final = Mended()


def form(columns: tuple[object, ...]) -> Form:
    """The form that a row says it has, by its columns of these names.

    Raises:
        DamagedError: it is none.
    """
    try:
        return msgspec.convert(columns, Form)
    except msgspec.ValidationError as error:
        raise DamagedError("heap.db is damaged: a row's form; run keygrove fsck") from error


def plain(
    db: SqlSession, column: Column, stored: object, form: Form, mended: Mended = AS_IT_IS
) -> bytes:
    """What is stored in that column of a row of that form.

    Raises:
        DamagedError: it cannot be decoded, or what it has to be decoded by is gone.
    """
    return _plain(db, column, stored, form, CHAIN_MAX, mended)


def coded(v: bytes, aside: bytes, in_force: InForce | None) -> Coded:
    """How a new row has its values: the hot path, so deltas are none of its business."""
    small = None if in_force is None else in_force.dictionary.encode(v)
    if in_force is None or small is None:
        return Coded(0, None, v, aside)
    return Coded(in_force.number << NUMBER_SHIFT | V_IS_CODED, None, small, aside)


def delta(v: bytes, aside: bytes, base: int, base_values: tuple[bytes, bytes]) -> Coded | None:
    """How a row has its values that leans on another; None if that saves nothing."""
    flags = 0
    base_v, base_aside = base_values
    small = coding.encode_delta(v, base_v)
    if small is not None:
        flags, v = flags | V_IS_CODED, small
    small = coding.encode_delta(aside, base_aside)
    if small is not None:
        flags, aside = flags | ASIDE_IS_CODED, small
    return Coded(flags, base, v, aside) if flags else None


def newest_dictionary(db: SqlSession) -> InForce | None:
    """The dictionary that was adopted last.

    Raises:
        DamagedError: it is not what was written.
    """
    found = db.execute("SELECT id, share FROM dict ORDER BY id DESC LIMIT 1").fetchone()
    if found is None:
        return None
    number, share = found
    return InForce(number, _dictionary(db, number, AS_IT_IS), share)


def adopt(db: SqlSession, dictionary: Dictionary, share: float) -> InForce:
    """Store a dictionary, within a transaction of the writer. None is ever deleted."""
    octets = dictionary.octets
    (number,) = db.execute(
        "INSERT INTO dict (h, share, v) VALUES (?, ?, ?) RETURNING id",
        (dictionary_hash(octets), share, octets),
    ).fetchone()
    return InForce(number, dictionary, share)


def _plain(  # noqa: PLR0913, PLR0917 - a value, and what it is decoded by
    db: SqlSession, column: Column, stored: object, how: Form, links: int, mended: Mended
) -> bytes:
    if not isinstance(stored, bytes):
        raise DamagedError("heap.db is damaged: a value is not octets; run keygrove fsck")
    if not how.flags & _BITS[column]:
        return stored
    if how.base is None:
        return _dictionary(db, how.flags >> NUMBER_SHIFT, mended).decode(stored, how.size)
    if not links:
        raise DamagedError(f"heap.db is damaged: too many rows lean on row {how.base}")
    basis = _basis(db, column, how.base, links, mended)
    return coding.decode_delta(stored, basis, how.size)


def _basis(db: SqlSession, column: Column, seq: int, links: int, mended: Mended) -> bytes:
    """The value that another leans on."""
    known = mended.rows.get(seq)
    if known is not None:
        return known[0 if column == "v" else 1]
    found: tuple[object, ...] | None = db.execute(
        f"SELECT {column}, flags, base, size FROM obj WHERE seq = ?", (seq,)
    ).fetchone()
    if found is None:
        raise DamagedError(f"heap.db is damaged: row {seq} is gone; run keygrove fsck")
    return _plain(db, column, found[0], form(found[1:]), links - 1, mended)


def _dictionary(db: SqlSession, number: int, mended: Mended) -> Dictionary:
    known = mended.dictionaries.get(number)
    if known is not None:
        return known
    found: tuple[object, ...] | None = db.execute(
        "SELECT v, h FROM dict WHERE id = ?", (number,)
    ).fetchone()
    if found is None:
        raise DamagedError(f"heap.db is damaged: dictionary {number} is gone; run keygrove fsck")
    octets, name = found
    if not isinstance(octets, bytes) or not isinstance(name, bytes):
        raise DamagedError(f"heap.db is damaged: dictionary {number}; run keygrove fsck")
    return coding.dictionary(octets, name)
