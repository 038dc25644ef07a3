"""Fuzzing finds what is broken, keeps it, and starts from what is real."""

from collections import Counter
from contextlib import suppress
from pathlib import Path
from random import Random

import msgspec
import pytest

from keygrove_bench.fuzz import drawn, measure, wire
from keygrove_bench.fuzz.findings import Tally, Watch
from keygrove_bench.fuzz.law import LawError
from keygrove_bench.fuzz.laws import EACH_S, SLACK_S, check
from keygrove_bench.fuzz.mutation import CORPUS, RECON, Mutator, seeds
from keygrove_chaos.certificates import laborious
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, group, to_bytes
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.openpgp.verification import cost_us
from keygrove_protocols.recon.dump import MAGIC, load
from keygrove_protocols.recon.frames import Decoder

ALICE = (CORPUS / "v4-eddsa-cv25519.pgp").read_bytes()


def refuse_zeros(data: bytes) -> None:
    """Broken on purpose: it bears no run of zeros, and breaks elsewhere where there are more."""
    if bytes(100) in data:
        raise LawError("few zeros", "a hundred")
    if bytes(20) in data:
        raise ValueError


def kind(data: bytes) -> str:
    """How far an input gets."""
    try:
        found = group(split(dearmor(data, BULK).data, BULK), BULK)
    except ProtocolError as error:
        return error.code
    return "certificate" if any(isinstance(one, Certificate) for one in found) else "refused"


def test_the_first_input_is_kept_for_each_place(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "found", tmp_path / "tally", refuse_zeros)
    inputs = [bytes(3), bytes(30), bytes(31), bytes(300), bytes(301)]
    for data in inputs:
        watch.try_one(data)
    kept = {file.read_bytes() for file in (tmp_path / "found").iterdir()}
    assert kept == {bytes(30), bytes(300)}
    told = msgspec.json.decode((tmp_path / "tally").read_bytes(), type=Tally)
    assert told.executions == 4, "as of the last finding"
    places = [one.partition(": ")[2] for one in told.findings]
    assert places == ["ValueError in test_fuzz.refuse_zeros", "few zeros"]
    assert all(size > 1 << 20 for size in told.memory_bytes)


def test_of_what_is_drawn_the_shrunk_input_is_kept(tmp_path: Path) -> None:
    def refuse_armor(data: bytes) -> None:
        assert b"BEGIN PGP" not in data

    watch = Watch(tmp_path / "found", tmp_path / "tally", refuse_armor)
    drawn.draw(watch, 0)
    (file,) = (tmp_path / "found").iterdir()
    assert watch.tally.findings == (f"{file.name}: AssertionError in test_fuzz.refuse_armor",)
    with pytest.raises(AssertionError):
        refuse_armor(file.read_bytes())


@pytest.mark.slow
def test_mutations_are_as_their_seed_and_mostly_still_certificates() -> None:
    starts = seeds()
    mutator = Mutator(starts)
    made = [mutator.mutate(ALICE, Random(number)) for number in range(400)]
    assert made == [Mutator(starts).mutate(ALICE, Random(number)) for number in range(400)]
    kinds = Counter(map(kind, made))
    assert kinds["certificate"] > 100, "most of the rest of the way would not be tried"
    assert len(kinds) > 4, "nor would what is to be refused"


def test_what_takes_too_long_each_time_breaks_the_law_and_what_did_once_does_not() -> None:
    limit_s = SLACK_S + EACH_S * len(ALICE)
    once = iter([limit_s * 2, limit_s * 2, limit_s / 2])
    check(ALICE, spend=lambda _: next(once))
    with pytest.raises(LawError, match="linear time"):
        check(ALICE, spend=lambda _: limit_s * 2)


def test_the_arithmetic_that_ingest_expects_is_allowed() -> None:
    """DSA in Python is the slowest for its size: a hundred of these found the law too narrow."""
    certificate = laborious(1, 1_000_000)
    data = to_bytes(certificate)
    limit_s = SLACK_S + EACH_S * len(data)
    expected_s = cost_us(certificate) / 1e6
    check(data, spend=lambda _: limit_s + expected_s)
    with pytest.raises(LawError, match="linear time"):
        check(data, spend=lambda _: limit_s + 10 * expected_s)


def test_mutations_of_what_partners_say_mostly_reach_beyond_the_first_message() -> None:
    starts = wire.seeds_of(RECON.read_bytes())
    mutator = Mutator(starts)
    reached = Counter[str]()
    for number in range(400):
        data = mutator.mutate(starts[number % len(starts)], Random(number))
        wire.check(data)
        decoder = Decoder()
        decoder.feed(data)
        try:
            while (message := decoder.message()) is not None:
                reached[type(message).__name__] += 1
        except ProtocolError as error:
            reached[error.code] += 1
    assert {"Config", "PolyRequest", "FullRequest", "Elements"} <= reached.keys()
    assert {"BadMessage", "TooLarge"} <= reached.keys()


@pytest.mark.slow
def test_a_campaign_tries_inputs_with_each_engine_and_finds_nothing(tmp_path: Path) -> None:
    found = measure.fuzz(4, tmp_path)
    rows = {row.id: row for row in found.results}
    assert [name for name, row in rows.items() if row.holds is False] == []
    assert list(tmp_path.iterdir()) == []
    for engine in ("guided", "drawn"):
        tried = rows[engine].value
        assert tried == measure.NO_ATHERIS or (isinstance(tried, float | int) and tried > 0)


def test_some_mutations_of_a_dumped_tree_are_loaded() -> None:
    (start,) = [one for one in wire.seeds_of(RECON.read_bytes()) if one.startswith(MAGIC)]
    mutator, loaded = Mutator([start]), 0
    for number in range(200):
        data = mutator.mutate(start, Random(number))
        wire.check(data)
        with suppress(ProtocolError):
            load([wire.with_checksum(data)])
            loaded += 1
    assert loaded > 20
