"""Lines of a worker's output, cut into pieces that a log can bear (actors P-14)."""

from keygrove_actors.lines import (
    FIELD_CHARS_MAX,
    FIELDS_MAX,
    LINE_BYTES_MAX,
    LineCutter,
    cut_fields,
    text_of,
)


def test_p14_lines_come_whole_however_they_are_cut() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"a\nb") == [b"a"]
    assert cutter.feed(b"c\n\n") == [b"bc", b""]
    assert cutter.feed(b"end") == []
    assert cutter.finish() == [b"end"]
    assert cutter.finish() == []


def test_p14_what_is_not_utf_8_is_escaped() -> None:
    assert text_of(b"\xff\xc3\xa4") == "\\xff\u00e4"


def test_p14_a_long_line_is_cut_and_its_rest_dropped() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"x" * (LINE_BYTES_MAX + 1)) == [b"x" * LINE_BYTES_MAX]
    assert cutter.feed(b"y" * LINE_BYTES_MAX) == []
    assert cutter.feed(b"z\nnext\n") == [b"next"]
    assert cutter.feed(b"x" * 9000 + b"\n") == [b"x" * LINE_BYTES_MAX]


def test_p14_the_fields_of_a_log_frame_are_cut() -> None:
    cut = cut_fields({"long": "x" * 10_000, "n": 3, **{str(n): None for n in range(1000)}})
    assert len(cut) == FIELDS_MAX
    assert (cut["long"], cut["n"]) == ("x" * FIELD_CHARS_MAX, 3)
