"""A crash's traceback as text."""

from __future__ import annotations

import pytest

from keygrove_actors.crashes import trace_text


def raises(depth: int = 0, cause: Exception | None = None) -> None:
    if depth:
        raises(depth - 1, cause)
    else:
        raise ValueError("boom") from cause


def caught(depth: int = 0, cause: Exception | None = None) -> ValueError:
    with pytest.raises(ValueError, match="boom") as error:
        raises(depth, cause)
    return error.value


def test_a_plain_error_shows_file_line_function_and_text() -> None:
    text = trace_text(caught())
    assert text.startswith("Traceback (most recent call last):\n")
    assert 'test_crashes.py", line' in text
    assert 'in raises\n    raise ValueError("boom") from cause\n' in text
    assert text.endswith("ValueError: boom\n")


@pytest.mark.parametrize("error", [caught(200), caught(0, KeyError("why"))])
def test_what_is_not_plain_is_left_to_python(error: ValueError) -> None:
    text = trace_text(error)
    assert "Previous line repeated" in text or "direct cause" in text
