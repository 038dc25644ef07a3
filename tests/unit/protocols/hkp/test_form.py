"""Percent-encoding, wherever an escape stands."""

import tracemalloc
from urllib.parse import unquote_to_bytes

import pytest

from keygrove_protocols.hkp.form import decode


@pytest.mark.parametrize("escape", [b"%41", b"%4a", b"%4A", b"%4", b"%", b"%%41", b"%g1", b"%4%41"])
@pytest.mark.parametrize("before", [0, 1, *range(65_530, 65_540), 131_071])
def test_an_escape_is_undone_wherever_it_stands(escape: bytes, before: int) -> None:
    raw = b"a" * before + escape
    assert decode(raw) == unquote_to_bytes(raw)
    assert decode(raw + b"b") == unquote_to_bytes(raw + b"b")


@pytest.mark.parametrize("raw", [b"%0a", b"%"], ids=["escapes", "none"])
def test_a_form_of_escapes_takes_little_more_memory_than_itself(raw: bytes) -> None:
    raw *= (1 << 20) // len(raw)
    tracemalloc.start()
    decode(raw)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * len(raw)
