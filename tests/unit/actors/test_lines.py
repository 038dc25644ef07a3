"""Lines of a worker's output, cut and counted (actors P-14)."""

from keygrove_actors.lines import LINE_BYTES_MAX, LINES_PER_S, LineCutter, Lines


def test_p14_lines_come_whole_however_they_are_cut() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"a\nb", 0.0) == Lines(("a",), 0)
    assert cutter.feed(b"c\n\n", 0.0) == Lines(("bc", ""), 0)
    assert cutter.feed(b"end", 0.0) == Lines((), 0)
    assert cutter.finish() == Lines(("end",), 0)


def test_p14_what_is_not_utf_8_is_escaped() -> None:
    assert LineCutter().feed(b"\xff\xc3\xa4\n", 0.0).texts == ("\\xff\u00e4",)


def test_p14_a_long_line_is_cut_and_its_rest_dropped() -> None:
    cutter = LineCutter()
    assert cutter.feed(b"x" * (LINE_BYTES_MAX + 1), 0.0).texts == ("x" * LINE_BYTES_MAX,)
    assert cutter.feed(b"y" * LINE_BYTES_MAX, 0.0) == Lines((), 0)
    assert cutter.feed(b"z\nnext\n", 0.0).texts == ("next",)
    assert cutter.feed(b"x" * 9000 + b"\n", 0.0).texts == ("x" * LINE_BYTES_MAX,)


def test_p14_a_flood_is_cut_to_so_many_lines_in_a_second_and_counted() -> None:
    cutter = LineCutter()
    assert len(cutter.feed(b"x\n" * 1000, 0.0).texts) == LINES_PER_S
    assert cutter.feed(b"x\n", 0.9) == Lines((), 0)
    assert cutter.feed(b"x\n", 1.0) == Lines(("x",), 1001 - LINES_PER_S)
    cutter.feed(b"x\n" * LINES_PER_S, 1.5)
    assert cutter.finish() == Lines((), 1)
