"""Each fault's effect on a link, and how faults stack: pure, with time and chance given."""

from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_chaos.link import HOP_S, Delivery, Fate, LinkModel
from keygrove_chaos.net_faults import (
    Bin,
    Burst,
    Clog,
    Const,
    Corrupt,
    Dup,
    Empirical,
    Flap,
    HalfOpen,
    Latency,
    Law,
    LogNormal,
    Loss,
    Mtu,
    NetFault,
    Pareto,
    Partition,
    Rate,
    Refuse,
    Reorder,
    Reset,
    Slice,
    Swizzle,
    Uniform,
    draw,
)

FAULTS: list[NetFault] = [
    Latency(LogNormal(0.05, 0.5), jitter_s=0.01),
    Loss(0.1),
    Burst(0.05, 0.3, 0.01, 0.9),
    Dup(0.1, 0.02),
    Reorder(0.2, 0.05),
    Corrupt(0.1, 0.5),
    Rate(10_000.0, queue_bytes=5_000),
    Partition(groups=(("a",), ("b", "c")), mode="reject", ports=(11370,)),
    HalfOpen(1.0),
    Mtu(800),
    Refuse(0.5),
    Flap(2.0, 0.3),
    Clog(until_s=3.0, since_s=1.0),
    Swizzle(("a", "b"), 2.0, 1.0),
    Reset(3_000),
    Slice(3),
]
LAWS: list[Law] = [
    Const(0.1),
    Uniform(0.1, 0.2),
    LogNormal(0.1, 0.3),
    Pareto(0.1, 2.0, 5.0),
    Empirical((Bin(0.1, 0.2, 1.0), Bin(0.5, 0.6, 3.0))),
]


def link(**faults: NetFault) -> LinkModel:
    model = LinkModel(Random(1), Const(0.01))
    for fault_id, fault in faults.items():
        model.push(fault_id, fault)
    return model


def sent(model: LinkModel, count: int = 1000, size: int = 100) -> list[list[Delivery]]:
    """What becomes of packets sent every 10 ms, the first of each ten of a new stream."""
    return [
        model.decide(n / 100, size, n % 10 == 0, flow=n // 10, port=11371) for n in range(count)
    ]


def at(*outcomes: list[Delivery]) -> list[float]:
    """When the packets arrive."""
    return [delivery.at for outcome in outcomes for delivery in outcome]


def test_a_link_without_faults_takes_its_base_latency() -> None:
    assert link().decide(5.0, 100, True) == [Delivery(5.01)]


def test_nothing_takes_no_time() -> None:
    assert LinkModel(Random(1), Const(0.0)).decide(5.0, 1, True) == [Delivery(5.0 + HOP_S)]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_a_law_draws_from_its_range(law: Law) -> None:
    drawn = [draw(law, Random(n)) for n in range(500)]
    assert 0 < min(drawn) <= max(drawn) <= 5
    assert msgspec.json.decode(msgspec.json.encode(law), type=Law) == law


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_a_fault_is_data(fault: NetFault) -> None:
    assert msgspec.json.decode(msgspec.json.encode(fault), type=NetFault) == fault


@pytest.mark.parametrize(
    "fault",
    [f for f in FAULTS if not isinstance(f, Slice | Swizzle | Partition)],
    ids=lambda fault: type(fault).__name__,
)
def test_a_fault_that_does_something_counts_it(fault: NetFault) -> None:
    model = link(f=fault)
    sizes = [100, 900]
    plain, found = link(), list[bool]()
    for n in range(2000):
        packet = (n / 100 + 1.5 * ((n + 5) // 10), sizes[n % 2], n % 10 == 0)
        outcome = model.decide(*packet, flow=n // 10, port=11370)
        found.append(outcome != plain.decide(*packet, flow=n // 10, port=11370))
    assert any(found)
    assert model.effect("f") == sum(found)


def test_an_inert_fault_has_no_effect() -> None:
    model = link(f=Loss(0.5, ports=(11370,)), g=Mtu(1500))
    assert all(sent(model))
    assert (model.effect("f"), model.effect("g")) == (0, 0)


def test_loss_loses_its_share() -> None:
    model = link(f=Loss(0.2))
    lost = sent(model).count([])
    assert 150 < lost < 250
    assert model.effect("f") == lost


def test_a_burst_loses_packets_in_a_row() -> None:
    fates = [not outcome for outcome in sent(link(f=Burst(0.02, 0.2)))]
    after_loss = [later for earlier, later in pairwise(fates) if earlier]
    assert sum(fates) / len(fates) < 0.2
    assert sum(after_loss) / len(after_loss) > 0.6


def test_a_duplicate_arrives_too() -> None:
    model = link(f=Dup(1.0))
    assert model.decide(0.0, 10, True) == [Delivery(0.01), Delivery(0.01)]


def test_a_packet_held_back_is_overtaken() -> None:
    arrivals = [outcome[0].at for outcome in sent(link(f=Reorder(0.2, 0.05)))]
    assert arrivals != sorted(arrivals)


def test_a_checksum_misses_few_changes() -> None:
    outcomes = sent(link(f=Corrupt(1.0, 0.1)), size=50)
    flips = [outcome[0].flip for outcome in outcomes if outcome]
    assert 50 < len(flips) < 150
    assert all(flip is not None and 0 <= flip < 50 for flip in flips)


def test_a_bottleneck_delays_and_drops_what_its_queue_does_not_hold() -> None:
    model = link(f=Rate(1000.0, burst_bytes=100, queue_bytes=200))
    outcomes = [model.decide(0.0, 100, True) for _ in range(5)]
    assert at(*outcomes[:3]) == pytest.approx([0.01, 0.11, 0.21])
    assert outcomes[3:] == [[], []]
    assert at(model.decide(0.2, 100, True)) == pytest.approx([0.31])


def test_a_cut_drops_or_rejects() -> None:
    assert link(f=Partition()).decide(0.0, 10, True) == []
    rejected = link(f=Partition(mode="reject")).decide(0.0, 10, True)
    assert rejected == [Delivery(HOP_S, Fate.REFUSED)]


def test_a_cut_by_port_spares_other_ports() -> None:
    model = link(f=Partition(ports=(11371,)))
    assert model.decide(0.0, 10, True, port=11371) == []
    assert model.decide(0.0, 10, True, port=11370)


def test_a_cut_by_size_spares_small_packets() -> None:
    model = link(f=Partition(size_min=500))
    assert model.decide(0.0, 499, False)
    assert model.decide(0.0, 500, False) == []


def test_a_cut_for_new_streams_spares_old_ones() -> None:
    model = link(f=Partition(flows="new"))
    assert model.decide(0.0, 10, False)
    assert model.decide(0.0, 10, True) == []


def test_half_open_swallows_the_streams_of_before() -> None:
    model = link(f=HalfOpen())
    assert model.decide(0.0, 10, False, flow=1) == []
    assert model.decide(0.1, 10, True, flow=2)
    assert model.decide(0.2, 10, False, flow=2)
    assert model.decide(0.3, 10, False, flow=1) == []


def test_a_nat_forgets_a_stream_that_was_silent() -> None:
    model = link(f=HalfOpen(10.0))
    assert model.decide(0.0, 10, False, flow=1)
    assert model.decide(9.0, 10, False, flow=1)
    assert model.decide(19.5, 10, False, flow=1) == []
    assert model.decide(19.6, 10, False, flow=1) == []


def test_a_black_hole_swallows_large_packets() -> None:
    model = link(f=Mtu(1400))
    assert model.decide(0.0, 1400, False)
    assert model.decide(0.0, 1401, False) == []


def test_refusing_is_for_new_streams() -> None:
    model = link(f=Refuse())
    assert model.decide(0.0, 10, True)[0].fate is Fate.REFUSED
    assert model.decide(0.0, 10, False)[0].fate is Fate.ARRIVES


def test_a_flapping_link_is_down_at_the_start_of_each_period() -> None:
    model = link(f=Flap(1.0, 0.5, since_s=10.0))
    up = [bool(model.decide(at, 10, False)) for at in (9.9, 10.1, 10.6, 11.1, 11.6)]
    assert up == [True, False, True, False, True]


def test_a_clog_holds_packets_until_its_end() -> None:
    model = link(f=Clog(until_s=5.0, since_s=1.0))
    assert model.decide(0.5, 10, False) == [Delivery(0.51)]
    assert model.decide(2.0, 10, False) == [Delivery(5.01)]
    assert model.decide(5.0, 10, False) == [Delivery(5.01)]


def test_a_stream_is_reset_beyond_its_budget() -> None:
    model = link(f=Reset(250))
    fates = [model.decide(0.0, 100, False, flow=1)[0].fate for _ in range(3)]
    assert fates == [Fate.ARRIVES, Fate.ARRIVES, Fate.RESET]
    assert model.decide(0.0, 100, False, flow=2)[0].fate is Fate.ARRIVES


def test_a_slicer_cuts_streams_into_pieces() -> None:
    model = link(f=Slice(3))
    pieces = [model.piece(1000) for _ in range(100)]
    assert {1, 2, 3} == {*pieces}
    assert model.effect("f") == 100
    assert link().piece(1000) == 1000


def test_delays_add_up() -> None:
    model = link(a=Latency(Const(0.1)), b=Latency(Const(0.2)))
    assert at(model.decide(0.0, 10, False)) == pytest.approx([0.31])
    model.pop("a")
    assert at(model.decide(0.0, 10, False)) == pytest.approx([0.21])


def test_a_link_cut_twice_heals_with_the_second_cut() -> None:
    model = link(a=Partition(), b=Partition())
    model.pop("a")
    assert model.decide(0.0, 10, False) == []
    model.pop("b")
    assert model.decide(0.0, 10, False)
    assert (model.effect("a"), model.effect("b")) == (0, 1)


@given(
    st.lists(st.sampled_from(range(len(FAULTS))), unique=True, min_size=1),
    st.integers(0, 2**32),
)
def test_removing_a_fault_leaves_what_the_others_do(chosen: list[int], seed: int) -> None:
    *others, removed = chosen
    with_it, without = LinkModel(Random(seed)), LinkModel(Random(seed))
    for place in others:
        with_it.push(str(place), FAULTS[place])
        without.push(str(place), FAULTS[place])
    with_it.push("removed", FAULTS[removed])
    sent(with_it, 50)
    sent(without, 50)
    with_it.pop("removed")
    assert sent(with_it, 50) == sent(without, 50)
    assert [with_it.effect(str(n)) for n in others] == [without.effect(str(n)) for n in others]


@given(st.lists(st.sampled_from(range(len(FAULTS))), unique=True), st.integers(0, 2**32))
def test_the_same_seed_decides_the_same(chosen: list[int], seed: int) -> None:
    def outcomes() -> list[list[Delivery]]:
        model = LinkModel(Random(seed), LogNormal(0.02, 0.4))
        for place in chosen:
            model.push(str(place), FAULTS[place])
        return sent(model, 100, 900)

    assert outcomes() == outcomes()
