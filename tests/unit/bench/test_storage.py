"""What the storage bench makes of figures: whether one is worse than it was."""

from keygrove_bench.report import Row, report, row
from keygrove_bench.storage.measure import Ratio, compared, has_regressed

RECORDED = {"put": Ratio(peer="sqlite", ratio=2.0)}


def figure(value: float | str, peer: float | str = 10.0) -> Row:
    what = ("put", "what a put takes")
    return row(what, value if isinstance(value, str) else [value], "us", {"sqlite": peer})


def ended(*rows: Row) -> bool:
    return has_regressed(report("storage", [*rows, *compared(rows, RECORDED)], {}, 0.0))


def test_a_figure_may_be_worse_by_its_slack() -> None:
    assert not ended(figure(22.9))


def test_a_figure_that_is_worse_by_more_fails() -> None:
    assert ended(figure(23.1))


def test_figures_are_held_against_the_peer_of_the_same_run() -> None:
    assert not ended(figure(230.0, peer=100.0))


def test_what_has_no_recorded_ratio_or_could_not_run_does_not_fail() -> None:
    assert not ended(figure("no disk"))
    assert not ended(figure(99.0, peer="not installed"))
    assert not ended(row(("get", "what a get takes"), [99.0], "us", {"sqlite": 1.0}))
