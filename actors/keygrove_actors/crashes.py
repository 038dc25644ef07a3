"""A traceback as text, at a tenth of the cost for the plain case.

`traceback` looks every file up on the disk again and computes columns: 50 µs, more than all
the rest of a restart. Without causes, notes or groups, file, line and function are enough.
"""

from __future__ import annotations

import linecache
import traceback
from typing import Final

FRAMES_MAX: Final = 50
"""Frames written the short way; longer ones (recursion) are left to `traceback`."""


def trace_text(error: BaseException) -> str:
    """What Python would print of `error`, less the column marks."""
    if not _is_plain(error):
        return "".join(traceback.format_exception(error))
    lines = ["Traceback (most recent call last):\n"]
    step = error.__traceback__
    while step is not None:
        if len(lines) > FRAMES_MAX:
            return "".join(traceback.format_exception(error))
        code = step.tb_frame.f_code
        source = linecache.getline(code.co_filename, step.tb_lineno).strip()
        lines.append(
            f'  File "{code.co_filename}", line {step.tb_lineno}, in {code.co_name}\n'
            + (f"    {source}\n" if source else "")
        )
        step = step.tb_next
    return "".join(lines) + "".join(traceback.format_exception_only(error))


def _is_plain(error: BaseException) -> bool:
    return not (
        isinstance(error, BaseExceptionGroup | SyntaxError)
        or error.__cause__ is not None
        or (error.__context__ is not None and not error.__suppress_context__)
    )
