"""`keygrove dump`."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import anyio
import click
import msgspec

from keygrove.cli.console import byte_progress, counted, out
from keygrove.cli.options import common, configure, errors_worded
from keygrove.cli.stores import stores, versions
from keygrove.errors import DataDirError

PER_FILE = 15_000
"""As SKS writes them, and as its and Hockeypuck's loaders like them."""


class Dumped(msgspec.Struct):
    """What was written."""

    certificates: int = 0
    files: int = 0
    bytes: int = 0


@click.command("dump", short_help="Write all certificates into a directory.")
@common
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Sum up in one JSON object, for programs.")
def dump(
    *, config: Path | None, data: Path | None, debug: bool, folder: Path, as_json: bool
) -> None:
    """Write all certificates into DIR, binary and concatenated, in files of 15,000."""
    with errors_worded(debug=debug):
        root = Path(configure(config, data).settings.data_dir)
        dumped = anyio.run(_dump, root, folder)
        if as_json:
            click.echo(msgspec.json.encode(dumped))
        else:
            certificates = counted(dumped.certificates, "certificate")
            text = f"dumped {certificates} into {counted(dumped.files, 'file')}"
            out().print(f"{text}, {dumped.bytes / (1 << 20):,.1f} MiB")


async def _dump(root: Path, folder: Path) -> Dumped:
    dumped = Dumped()
    async with stores(root) as opened:
        _ensure_empty(folder)
        total = sum(store.counts().packet_bytes for store in opened)
        with byte_progress() as progress, ExitStack() as open_file:
            task = progress.add_task("dumping", total=total, done="")
            file: BinaryIO | None = None
            for store in opened:
                async for version in versions(store):
                    if file is None or dumped.certificates % PER_FILE == 0:
                        open_file.close()
                        name = f"dump-{dumped.files:04}.pgp"
                        file = open_file.enter_context(_written(folder / name))
                        dumped.files += 1
                    file.write(version.packets)
                    dumped.certificates += 1
                    dumped.bytes += len(version.packets)
                    done = counted(dumped.certificates, "certificate")
                    progress.update(task, completed=dumped.bytes, done=done)
    return dumped


def _ensure_empty(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise DataDirError(f"cannot write to {folder}: {error.strerror}") from error
    if not is_empty:
        raise DataDirError(f"{folder} is not empty: name an empty or a new directory")


@contextmanager
def _written(path: Path) -> Generator[BinaryIO, None, None]:
    """A file that gets its name when it is complete."""
    part = path.with_suffix(".part")
    try:
        with part.open("wb") as file:
            yield file
        part.rename(path)
    except OSError as error:
        raise DataDirError(f"cannot write {path}: {error.strerror}") from error
