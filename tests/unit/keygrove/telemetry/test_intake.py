"""A submission in the log and in the metrics."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from keygrove.telemetry.intake import Intake
from keygrove.telemetry.log import NodeLog
from keygrove.telemetry.metrics import Metrics
from keygrove_chaos.node import MemoryLog

UPLOAD = Intake(
    route="upload",
    outcome="taken",
    octets=700,
    place="thread",
    verify_s=0.25,
    results={"inserted": 2, "invalid": 1},
    refused={"TooCostly": 1},
    dropped={"BadSelfSig": 3, "Unbound": 1},
)
KNOWN = Intake(route="load", outcome="taken", octets=9, known=5, results={"ignored": 5})
PREFIX = "keygrove_ingest_"
REJECTED = Intake(route="upload", outcome="rejected", octets=5, refused={"Truncated": 1})


def samples(*intakes: Intake) -> dict[tuple[str, ...], float]:
    """What is scraped of these, by name, route and further labels."""
    metrics = Metrics()
    for one in intakes:
        metrics.intake(one)
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(metrics.render([], []).decode()):
        for sample in family.samples:
            if sample.name.startswith(PREFIX):
                labels = dict(sample.labels)
                key = (sample.name.removeprefix(PREFIX), labels.pop("route"), *labels.values())
                found[key] = sample.value
    return found


def test_submissions_are_counted_by_what_they_came_to() -> None:
    found = samples(UPLOAD, UPLOAD, KNOWN, REJECTED)
    assert found["submissions_total", "upload", "taken"] == 2
    assert found["submissions_total", "upload", "rejected"] == 1
    assert found["certificates_total", "upload", "inserted"] == 4
    assert found["certificates_total", "load", "ignored"] == 5
    assert found["known_total", "load"] == 5
    assert found["refused_total", "upload", "TooCostly"] == 2
    assert found["refused_total", "upload", "Truncated"] == 1
    assert found["dropped_packets_total", "upload", "BadSelfSig"] == 6
    assert found["dropped_packets_total", "upload", "Unbound"] == 2


def test_the_time_is_counted_where_it_was_spent_and_only_there() -> None:
    found = samples(UPLOAD, KNOWN, REJECTED)
    assert found["verify_seconds_count", "upload", "thread"] == 1
    assert found["verify_seconds_sum", "upload", "thread"] == 0.25
    assert {key[1:] for key in found if key[0] == "verify_seconds_count"} == {("upload", "thread")}


@pytest.mark.parametrize(("intake", "level"), [(UPLOAD, "info"), (KNOWN, "debug")])
def test_each_submission_has_a_line_and_those_of_a_load_are_for_debugging(
    intake: Intake, level: str
) -> None:
    log = MemoryLog()
    NodeLog(log, bytes(32)).intake(intake)
    (line,) = log.lines
    assert (line.level, line.event) == (level, "submission looked into")
    for name in ("route", "outcome", "octets", "place", "known", "results", "refused", "dropped"):
        assert line.facts[name] == getattr(intake, name)
    assert line.facts["verify_ms"] == intake.verify_s * 1000
