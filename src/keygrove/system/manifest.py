"""`backup.json`: what is in a backup, and that all of it is there.

It is written last, so a folder without one is no backup, or one that was not finished.

    format          1
    made_by, at     the version of keygrove, and seconds UTC
    root            of the tree of all certificates, in hexadecimal, as all hashes here
    certificates
    shards          of each, in order: the uuid of its heap, its last change, the root and the
                    certificates after that, and of shard-N/heap.db the octets and their BLAKE3
    files           the same of what lies beside the shards, by name

All of it is what was read back from the copies, not what a server said.
"""

from pathlib import Path
from typing import Annotated

import msgspec

from keygrove.errors import DamagedError, DataDirError, StoreError

FORMAT = 1
NAME = "backup.json"

Hex32 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_Number = Annotated[int, msgspec.Meta(ge=0)]


class Content(msgspec.Struct, frozen=True):
    """Octets of a file."""

    bytes: _Number
    blake3: Hex32


class ShardCopy(msgspec.Struct, frozen=True):
    """A shard's heap as it was after one of its commits."""

    uuid: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    change: _Number
    root: Hex32
    certificates: _Number
    heap: Content


class Manifest(msgspec.Struct, frozen=True):
    """See above."""

    format: int
    made_by: str
    at: int
    root: Hex32
    certificates: _Number
    shards: Annotated[tuple[ShardCopy, ...], msgspec.Meta(min_length=1)]
    files: dict[Annotated[str, msgspec.Meta(pattern=r"^[a-z]+(\.[a-z]+)*\Z")], Content]


class _Format(msgspec.Struct):
    format: int


def read(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        DataDirError: there is none, or it cannot be read.
        StoreError: it is of a newer program.
        DamagedError: it is not what was written.
    """
    path = folder / NAME
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise DataDirError(
            f"there is no {NAME} in {folder}: it is no backup, or one that was not finished"
        ) from error
    except OSError as error:
        raise DataDirError(f"cannot read {path}: {error.strerror}") from error
    try:
        found = msgspec.json.decode(text, type=_Format).format
        if found > FORMAT:
            raise StoreError(
                f"{path} has format {found}, this program knows {FORMAT}: run a newer keygrove"
            )
        return msgspec.json.decode(text, type=Manifest)
    except msgspec.DecodeError as error:
        raise DamagedError(f"{path} is damaged: {error}; use another backup") from error
