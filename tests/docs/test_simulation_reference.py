"""`docs/reference/simulation.md` has every fault, invariant, point and field, and no other."""

import inspect
import re
from typing import Any, get_args

import msgspec
import pytest

from keygrove.points import BUGGIFIED, CRASHES, RECON_CRASHES, RECON_SOMETIMES, SOMETIMES
from keygrove_chaos import net_faults, partition
from keygrove_chaos.bundle import Bundle
from keygrove_chaos.campaign import Verdict, judge, scenario_named
from keygrove_chaos.catalogue import DESCRIPTIONS
from keygrove_chaos.clock import ClockFault
from keygrove_chaos.disk_faults import DiskFault
from keygrove_chaos.federation import FEATURES as OF_FEDERATIONS
from keygrove_chaos.federation import Federation
from keygrove_chaos.history import Detail, Event, Function, Phase
from keygrove_chaos.mutants import Mutant
from keygrove_chaos.net_faults import LinkFault, NetFault
from keygrove_chaos.plan import PUTS, Ask, Fault, Plan, ProcessFault, Verb
from keygrove_chaos.swarm import FEATURES, MODES
from keygrove_chaos.topology import SHAPES
from keygrove_chaos.trace import Trace
from keygrove_chaos.world import Options
from tests.docs.tables import page, rows

PAGE = page("simulation")
FAULTS = {
    "tag of the network": NetFault,
    "tag of the disk": DiskFault,
    "tag of the clock": ClockFault,
    "tag of the process": ProcessFault,
    "law": net_faults.Law,
}
STRUCTS: dict[str, type[msgspec.Struct]] = {
    "field of a verdict": Verdict,
    "field of a bundle": Bundle,
    "field of a plan": Plan,
    "field of a federation": Federation,
    "field of a fault": Fault,
    "field of a request": Ask,
    "field of a line": Event,
    "field of x": Detail,
    "field of a mutant": Mutant,
    "option": Options,
}
WHOLE_RUN = range(1 << 40)


def common(kind: type[Any]) -> set[str]:
    """The parameters that all faults of this kind have, which the page describes apart."""
    bases = [one for one in kind.__mro__ if issubclass(one, msgspec.Struct)][1:-1]
    return {field.name for one in bases for field in msgspec.structs.fields(one)}


def parameters(kind: type[Any]) -> str:
    """The cell that lists a fault's own parameters, with their defaults as JSON."""
    found: list[str] = []
    for field in msgspec.structs.fields(kind):
        is_own = field.name in kind.__annotations__
        if field.name in common(kind) and not is_own:
            continue
        default = field.default
        has_default = default is not msgspec.NODEFAULT
        says = f" = {msgspec.json.encode(default).decode()}" if has_default else ""
        found.append(f"`{field.name}{says}`")
    return ", ".join(found) or "none"


@pytest.mark.parametrize(("heading", "union"), FAULTS.items())
def test_every_fault_is_described_with_its_class_and_parameters(heading: str, union: Any) -> None:
    described = {tag: cells[:2] for tag, cells in rows("simulation", heading).items()}
    assert described == {
        kind.__struct_config__.tag: [f"`{kind.__name__}`", parameters(kind)]
        for kind in get_args(union)
    }


@pytest.mark.parametrize("heading", FAULTS)
def test_every_fault_says_what_it_does(heading: str) -> None:
    assert all(cells[-1].strip("| ") for cells in rows("simulation", heading).values())


def test_what_a_disk_fault_demands_is_said() -> None:
    described = {tag: cells[2] for tag, cells in rows("simulation", "tag of the disk").items()}
    assert described == {
        kind.__struct_config__.tag: kind.expectation.value for kind in get_args(DiskFault)
    }


@pytest.mark.parametrize(
    ("heading", "kind"), [("narrows", LinkFault), ("concerns", get_args(DiskFault)[0].__mro__[1])]
)
def test_parameters_of_all_faults_of_a_kind_are_described(heading: str, kind: type[Any]) -> None:
    assert set(rows("simulation", heading)) == {
        field.name for field in msgspec.structs.fields(kind)
    }


@pytest.mark.parametrize(("heading", "kind"), STRUCTS.items())
def test_every_field_is_described(heading: str, kind: type[Any]) -> None:
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    assert list(rows("simulation", heading)) == names


def test_every_verb_of_a_request_is_described() -> None:
    verbs = {*PUTS, *(word for part in get_args(Verb) for word in [part, *get_args(part)])}
    assert set(rows("simulation", "verb of a request")) == {
        word for word in verbs if isinstance(word, str)
    }


@pytest.mark.parametrize(("heading", "kind"), [("word of `f`", Function), ("word of `ph`", Phase)])
def test_every_word_of_a_history_is_described(heading: str, kind: Any) -> None:
    assert set(rows("simulation", heading)) == {one.value for one in kind}


def test_every_invariant_is_described_in_its_own_words() -> None:
    assert rows("simulation", "invariant") == {
        one.id: [one.title, one.statement, one.seen_by, one.checked] for one in DESCRIPTIONS
    }


@pytest.mark.parametrize(
    ("heading", "points"),
    [
        ("buggify point", BUGGIFIED),
        ("crash point", CRASHES),
        ("crash point of partners", RECON_CRASHES),
        ("state", SOMETIMES),
        ("state of partners", RECON_SOMETIMES),
    ],
)
def test_every_point_is_described_in_its_own_words(heading: str, points: dict[str, str]) -> None:
    assert rows("simulation", heading) == {name: [says] for name, says in points.items()}


def test_every_feature_is_described_with_its_share() -> None:
    shares = {name: cells[0] for name, cells in rows("simulation", "feature").items()}
    assert shares == {name: f"{share:g}" for name, share in FEATURES.items()}
    shares = {name: cells[0] for name, cells in rows("simulation", "mode").items()}
    assert shares == {name: f"{share:g}" for name, share in MODES.items()}


def test_every_feature_and_shape_of_a_federation_is_described() -> None:
    shares = {name: cells[0] for name, cells in rows("simulation", "of a federation").items()}
    assert shares == {name: f"{share:g}" for name, share in OF_FEDERATIONS.items()}
    assert rows("simulation", "shape of a federation") == {
        name: [says] for name, says in SHAPES.items()
    }


def test_all_json_of_the_page_is_what_it_says() -> None:
    history, fault = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    lines = history.splitlines()
    events = [msgspec.json.decode(line, type=Event) for line in lines]
    assert [msgspec.json.encode(event).decode() for event in events] == lines
    assert isinstance(msgspec.json.decode(fault, type=Fault).what, net_faults.Partition)


def test_every_shape_of_a_partition_is_described() -> None:
    shapes = {
        f"{name}({', '.join(inspect.signature(one).parameters)})"
        for name, one in vars(partition).items()
        if inspect.isfunction(one) and one.__annotations__["return"] == "Partition"
    }
    assert set(rows("simulation", "shape")) == shapes


def test_every_kind_of_event_of_a_node_is_described() -> None:
    trace = Trace(WHOLE_RUN)
    judge(scenario_named("keygrove_chaos.skeleton:scenario"), 3, trace=trace)
    kinds = {str(event[1]) for event in trace.kept}
    who = {name for name in kinds if re.fullmatch(r"[cn]\d+", name)}
    described = {name for cell in rows("simulation", "event") for name in cell.split("`, `")}
    assert kinds - who <= described
