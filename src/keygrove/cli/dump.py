"""`keygrove dump`: all certificates as SKS dumps them.

A dump is a directory of files of so many certificates each, binary and in a row, and one of
metadata, whose checksums `md5sum --check` verifies, for it passes over lines that begin with #:

    #Metadata-for: the host
    #Dump-started: 2026-01-31 23:59:59        UTC, as that of the end
    #Files-Count: 1
    #Key-Count: 905
    #Digest-algo: md5
    0f343b0931126a20f133d67c2b018a3b  sks-dump-0000.pgp
    #Dump-ended: 2026-01-31 23:59:59

Source: `sks dump` of sks-keyserver 1.1.6+git20210302, as in Debian: what it writes.
"""

import hashlib
import platform
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import anyio
import click
import msgspec
import zstandard

from keygrove.cli.console import byte_progress, counted, out
from keygrove.cli.options import common, configure, errors_worded
from keygrove.cli.stores import all_versions, stores
from keygrove.cli.words import Place
from keygrove.errors import DataDirError
from keygrove.storage.state import stored_packets

PER_FILE = 15_000
"""As SKS's and Hockeypuck's loaders like them."""
METADATA = "metadata-sks-dump.txt"


class Dumped(msgspec.Struct):
    """What was written."""

    certificates: int = 0
    files: int = 0
    bytes: int = 0
    """In files of certificates, compressed if they are."""


class _Part:
    """A file of a dump while it is written, compressed if it is to be, and what it sums up to."""

    def __init__(self, name: str, file: BinaryIO, *, is_packed: bool) -> None:
        self.name = name
        self._file = file
        self._packer = (
            zstandard.ZstdCompressor(write_checksum=True).compressobj() if is_packed else None
        )
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.bytes = 0

    def write(self, data: bytes) -> None:
        self._put(data if self._packer is None else self._packer.compress(data))

    def finish(self) -> None:
        if self._packer is not None:
            self._put(self._packer.flush())

    def line(self) -> str:
        return f"{self._md5.hexdigest()}  {self.name}"

    def _put(self, data: bytes) -> None:
        self._file.write(data)
        self._md5.update(data)
        self.bytes += len(data)


@click.command("dump", short_help="Write all certificates into a directory.")
@common
@click.argument("folder", metavar="DIR", type=Place(file_okay=False))
@click.option(
    "--count",
    type=click.IntRange(min=1),
    default=PER_FILE,
    metavar="N",
    help=f"Certificates in a file; {PER_FILE:,} unless given.",
)
@click.option("--zstd", "is_packed", is_flag=True, help="Compress each file, by zstandard.")
@click.option("--json", "as_json", is_flag=True, help="Sum up in one JSON object, for programs.")
def dump(
    *,
    config: Path | None,
    data: Path | None,
    debug: bool,
    folder: Path,
    count: int,
    is_packed: bool,
    as_json: bool,
) -> None:
    """Write all certificates into DIR as SKS does, binary and concatenated, with metadata.

    Equal certificates make equal files, in whatever order they came.
    """
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        dumped = anyio.run(_dump, root, folder, count, is_packed)
        if as_json:
            click.echo(msgspec.json.encode(dumped))
        else:
            certificates = counted(dumped.certificates, "certificate")
            text = f"dumped {certificates} into {counted(dumped.files, 'file')}"
            out().print(f"{text}, {dumped.bytes / (1 << 20):,.1f} MiB")


async def _dump(root: Path, folder: Path, count: int, is_packed: bool) -> Dumped:
    parts: list[_Part] = []
    certificates = packet_bytes = 0
    async with stores(root) as opened:
        _ensure_empty(folder)
        begun = _now()
        total = sum(store.counts().packet_bytes for store in opened)
        with byte_progress() as progress, ExitStack() as last:
            task = progress.add_task("dumping", total=total, done="")
            async for version in all_versions(opened):
                if certificates % count == 0:
                    last.close()
                    path = folder / f"sks-dump-{len(parts):04}.pgp{'.zst' if is_packed else ''}"
                    parts.append(last.enter_context(_written(path, is_packed=is_packed)))
                parts[-1].write(stored_packets(version.packets, version.aside))
                certificates += 1
                packet_bytes += len(version.packets) + len(version.aside)
                done = counted(certificates, "certificate")
                progress.update(task, completed=packet_bytes, done=done)
    with _written(folder / METADATA, is_packed=False) as file:
        file.write(_metadata(begun, certificates, parts).encode())
    return Dumped(certificates, len(parts), sum(part.bytes for part in parts))


def _metadata(begun: str, certificates: int, parts: Sequence[_Part]) -> str:
    lines = [
        f"#Metadata-for: {platform.node()}",
        f"#Dump-started: {begun}",
        f"#Files-Count: {len(parts)}",
        f"#Key-Count: {certificates}",
        "#Digest-algo: md5",
        *(part.line() for part in parts),
        f"#Dump-ended: {_now()}",
    ]
    return "\n".join(lines) + "\n"


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"


def _ensure_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise DataDirError(f"cannot write to {folder}: {error.strerror}") from error
    if not is_empty:
        raise DataDirError(f"{folder} is not empty: name an empty or a new directory")


@contextmanager
def _written(path: Path, *, is_packed: bool) -> Generator[_Part, None, None]:
    """A file that gets its name when it is complete."""
    unfinished = path.with_name(f"{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            part = _Part(path.name, file, is_packed=is_packed)
            yield part
            part.finish()
        unfinished.rename(path)
    except OSError as error:
        raise DataDirError(f"cannot write {path}: {error.strerror}") from error
