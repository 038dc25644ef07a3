"""The report of a load: a line of JSON for each certificate that was not taken as it was."""

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import msgspec

from keygrove.cli.options import WrongUse
from keygrove.errors import ReportError
from keygrove.ingest.loading import Refusal


@contextmanager
def report_to(
    path: Path | None, inputs: Iterable[Path]
) -> Generator[Callable[[Refusal], None], None, None]:
    """Where refusals go: each is in the file, made anew, when it is told; None drops them.

    Raises:
        WrongUse: the file is among the inputs.
        ReportError: it cannot be written; also raised by what is told.
    """
    if path is None:
        yield lambda _: None
        return
    if path.exists() and any(one.exists() and path.samefile(one) for one in inputs):
        raise WrongUse(f"{path} is to be loaded: name another file for the report")
    try:
        file = path.open("wb", buffering=0)
    except OSError as error:
        raise ReportError(str(path), str(error.strerror)) from error

    def write(refusal: Refusal) -> None:
        line = msgspec.json.encode(refusal) + b"\n"
        try:
            if file.write(line) != len(line):
                raise ReportError(str(path), "it takes no more")
        except OSError as error:
            raise ReportError(str(path), str(error.strerror)) from error

    with file:
        yield write
