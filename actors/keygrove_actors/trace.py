"""Tracebacks as text, fast: a crash loop writes thousands.

The standard formatter looks for each source file on the disk again and works out carets,
which takes longer than all the rest of a restart (35 of 60 us). It is left the exceptions
that are more than a list of frames.
"""

from __future__ import annotations

import linecache
import traceback
from typing import Final

_SPECIAL: Final[tuple[type[BaseException], ...]] = (
    BaseExceptionGroup,
    RecursionError,
    SyntaxError,
)


def trace_of(error: BaseException) -> str:
    """What Python would print of `error`, without carets where it has no other error in tow."""
    is_alone = error.__cause__ is None and error.__context__ is None
    if not is_alone or issubclass(type(error), _SPECIAL):
        return "".join(traceback.format_exception(error))
    lines = ["Traceback (most recent call last):\n"]
    for frame, number in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        lines.append(f'  File "{code.co_filename}", line {number}, in {code.co_name}\n')
        source = linecache.getline(code.co_filename, number, frame.f_globals).strip()
        if source:
            lines.append(f"    {source}\n")
    return "".join([*lines, *traceback.format_exception_only(error)])
