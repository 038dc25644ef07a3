"""Bundles and plans that people edited: what cannot be played is named, and is no finding."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from keygrove.cli.main import main
from keygrove_chaos.bundle import Bundle, make_bundle
from keygrove_chaos.clock import Drift
from keygrove_chaos.disk_faults import Rot, Slow
from keygrove_chaos.net_faults import Empirical, Latency, LogNormal, Loss, Slice
from keygrove_chaos.plan import CrashAt
from keygrove_chaos.swarm import plan_for

HERE = "tests.unit.chaos.scenarios"
SKELETON = "keygrove_chaos.skeleton:scenario"
PLANNED = make_bundle(f"{HERE}:planned", 1)


@pytest.fixture(autouse=True)
def hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given, so that the command does not start itself again."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")


def replayed(tmp_path: Path, data: object, *words: str) -> Result:
    path = tmp_path / "edited.json"
    path.write_bytes(msgspec.json.encode(data))
    return CliRunner().invoke(main, ["chaos", "replay", str(path), *words])


def with_plan(place: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """A bundle of the nodes in whose plan somebody put `value` at this place."""
    plan: Any = json.loads(msgspec.json.encode(plan_for(4)))
    *way, last = place
    at = plan
    for step in way:
        at = at[step]
    at[last] = value
    bundle: dict[str, Any] = json.loads(msgspec.json.encode(PLANNED))
    return bundle | {"scenario": SKELETON, "plan": plan}


CRASH = {"kind": "proc.crash_at", "point": "x"}
SWIZZLE = {"kind": "net.swizzle", "hosts": ["c0"], "spread_s": 1}


@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        (("shards",), 0, "$.shards"),
        (("nodes",), [], "$.nodes"),
        (("cores",), 1, "unknown field `cores`"),
        (("core",), ["n7"], "core: there is no 'n7', only n0, n1, n2"),
        (("nodes",), ["n0", "n1", "n2", "n0"], "a name is there twice"),
        (("nodes",), ["n0", "n1", "n2", "c0"], "a name is there twice"),
        (("clients", "c0"), "n7", "clients.c0: there is no 'n7'"),
        (("program", 2, "client"), "c9", "program[2].client: there is no"),
        (("program", 2, "key"), -1, "$.program[2].key"),
        (("program", 2, "verb"), "block", "is no nonce: write 32 hexadecimal digits"),
        (("presets",), {"n7": "minimal"}, "presets: there is no 'n7'"),
        (("features", "net.sad"), True, "$.features"),
        (("faults", 1, "node"), "n7", "faults[1].node: there is no 'n7'"),
        (("faults", 1, "links"), [["c0", "n7"]], "faults[1].links: there is no 'n7'"),
        (("faults", 1, "id"), plan_for(4).faults[0].id, "is there twice"),
        (("faults", 0, "what", "kind"), "net.los", "$.faults[0].what.kind"),
        (("faults", 0, "what"), CRASH, "'x' is no crash point: there are "),
        (("faults", 0, "what"), SWIZZLE, "faults[0].what.hosts: there is no 'c0'"),
    ],
)
def test_a_plan_that_refers_to_what_is_not_there_is_wrong_use(
    place: tuple[str | int, ...], value: object, says: str, tmp_path: Path
) -> None:
    ran = replayed(tmp_path, with_plan(place, value))
    assert (ran.exit_code, says in ran.stderr) == (2, True), ran.stderr
    assert "the plan cannot be played" in ran.stderr


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": "x"}, "$.seed"),
        ({"events": "many"}, "$.events"),
        ({"engine": "bare"}, "$.engine"),
        ({"sead": 1}, "unknown field `sead`"),
        ({"scenario": "nowhere:main"}, "name one as package.module:function"),
        ({"plan": {"minutes": 1}}, "the plan cannot be played"),
        ({"schema": 2, "seed": ["what that is, a later program knows"]}, "this program reads 1"),
    ],
)
def test_a_bundle_that_is_none_is_wrong_use(
    changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    ran = replayed(tmp_path, json.loads(msgspec.json.encode(PLANNED)) | changes)
    assert (ran.exit_code, says in ran.stderr) == (2, True), ran.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--engine", "trio"), "this bundle is of --engine aio"),
        (("--scenario", f"{HERE}:sound"), f"this bundle is of --scenario {HERE}:planned"),
    ],
)
def test_options_that_contradict_a_bundle_are_refused(
    words: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    ran = replayed(tmp_path, PLANNED, *words)
    assert ran.exit_code == 2
    assert says in ran.stderr


def test_options_that_agree_with_a_bundle_are_taken(tmp_path: Path) -> None:
    bundle: Bundle = PLANNED
    words = ("--engine", bundle.engine, "--scenario", bundle.scenario)
    assert replayed(tmp_path, bundle, *words).exit_code == 0


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        (Loss, {"probability": 2}, "net.loss: probability is 2"),
        (Loss, {"probability": "often"}, "net.loss: probability is 'often'"),
        (Loss, {"probability": 0.1, "flows": "old"}, "net.loss: flows is 'old'"),
        (Loss, {"probability": 0.1, "ports": ("http",)}, "net.loss: ports is"),
        (LogNormal, {"median_s": 0.0, "sigma": 1.0}, "lognormal: median_s is 0.0"),
        (Latency, {"law": 3.0}, "net.latency: law is 3.0"),
        (Empirical, {"bins": ()}, "empirical: bins is"),
        (Slice, {"bytes_max": 0}, "net.slice: bytes_max is 0"),
        (Slow, {"delay_s": -1}, "disk.slow: delay_s is -1"),
        (Slow, {"chance": 1.5}, "disk.slow: chance is 1.5"),
        (Rot, {"bits": 0}, "disk.rot: bits is 0"),
        (Drift, {"wall": -2}, "clock.drift: wall is -2"),
        (CrashAt, {"point": "store.open", "visit": 0}, "proc.crash_at: visit is 0"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_where_it_is_made(
    kind: Callable[..., object], fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        kind(**fields)
