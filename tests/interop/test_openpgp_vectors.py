"""What `vectors/openpgp/index.json` expects of every file, and of merges."""

from functools import reduce
from itertools import permutations
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import pytest

from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Refused,
    canonical,
    group,
    packets,
    to_bytes,
)
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.inspection import inspect
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.summary import summary
from keygrove_protocols.openpgp.verification import verify

VECTORS = Path(__file__).parents[1] / "vectors" / "openpgp"


Fields: TypeAlias = dict[str, Any]
"""A JSON object whose fields are compared one by one."""


class Expected(msgspec.Struct):
    """What is expected of one input."""

    outcome: str
    error: str | None
    certificates: list[Fields]
    bare_revocation: Fields | None = None


class Vector(msgspec.Struct):
    """One input."""

    file: str
    expected: Expected


class Merge(msgspec.Struct):
    """Inputs whose first certificates are merged."""

    inputs: list[str]
    merged_filtered_digest: str
    merged_sks_digest: str | None = None
    valid_uids: list[str] | None = None
    valid_subkeys: list[str] | None = None
    revoked: str | None = None


class Index(msgspec.Struct):
    """The list of vectors."""

    files: list[Vector]
    merges: list[Merge]


INDEX = msgspec.json.decode((VECTORS / "index.json").read_bytes(), type=Index)
CERTIFICATES = [vector for vector in INDEX.files if vector.expected.outcome == "ok"]


def as_json(value: msgspec.Struct) -> Fields:
    shown: Fields = msgspec.json.decode(msgspec.json.encode(value))
    return shown


def octets(file: str) -> bytes:
    return (VECTORS / file).read_bytes()


def read(file: str) -> list[Certificate | Refused]:
    return group(split(dearmor(octets(file), BULK).data, BULK), BULK)


def read_one(file: str) -> Certificate:
    (found,) = read(file)
    assert isinstance(found, Certificate)
    return found


def test_the_vectors_are_all_there() -> None:
    assert len(INDEX.files) == 115
    assert {one.name for one in VECTORS.iterdir()} == {one.file for one in INDEX.files} | {
        "index.json"
    }


@pytest.mark.parametrize("vector", INDEX.files, ids=[vector.file for vector in INDEX.files])
def test_an_inspection_says_what_is_expected(vector: Vector) -> None:
    """All of P-001 to P-098 that a file can show: see `what` in the index."""
    expected = vector.expected
    bare = expected.bare_revocation
    targets = [read_one(bare["target_file"])] if bare else []
    found = inspect(octets(vector.file), BULK, VERIFIED, targets)
    assert (found.outcome, found.error) == (expected.outcome, expected.error)
    for one, wanted in zip(found.certificates, expected.certificates, strict=True):
        shown = as_json(one)
        assert {name: shown[name] for name in wanted} == wanted
    if bare:
        assert found.bare_revocation is not None
        shown = as_json(found.bare_revocation)
        assert shown | {"target_file": bare["target_file"]} | bare == shown | bare


def test_a_revocation_of_nobody_at_hand_is_told_as_such() -> None:
    found = inspect(octets("bare-revocation.asc"), BULK, VERIFIED).bare_revocation
    assert found is not None
    assert (found.target_fingerprint, found.verifies) == (None, None)


@pytest.mark.parametrize("vector", CERTIFICATES, ids=[vector.file for vector in CERTIFICATES])
def test_p087_a_vector_keeps_its_canonical_form(vector: Vector) -> None:
    for one in read(vector.file):
        if isinstance(one, Certificate):
            form = canonical(one)
            assert group(split(to_bytes(form), BULK), BULK) == [form]


@pytest.mark.parametrize("these", INDEX.merges, ids=["+".join(one.inputs) for one in INDEX.merges])
def test_p095_a_merge_has_its_digests_in_every_order(these: Merge) -> None:
    for order in permutations(read_one(file) for file in these.inputs):
        merged = reduce(merge, order)
        if these.merged_sks_digest is not None:
            assert sks_digest(packets(merged)).hex() == these.merged_sks_digest
        (shown,) = inspect(to_bytes(merged), BULK, VERIFIED).certificates
        assert shown.filtered_digest == these.merged_filtered_digest
        assert shown.revoked == these.revoked
        for wanted, names in (
            (these.valid_uids, shown.valid_uids),
            (these.valid_subkeys, shown.valid_subkeys),
        ):
            assert wanted is None or wanted == list(names)


@pytest.mark.parametrize("these", INDEX.merges, ids=["+".join(one.inputs) for one in INDEX.merges])
def test_p083_what_is_kept_of_a_merge_is_kept_of_what_was_kept(these: Merge) -> None:
    whole = reduce(merge, [read_one(file) for file in these.inputs])
    kept = [keep(verify(read_one(file)), VERIFIED).findings for file in these.inputs]
    again = reduce(merge, [one.certificate() for one in kept])
    assert (
        keep(verify(again), VERIFIED).findings.certificate()
        == keep(verify(whole), VERIFIED).findings.certificate()
    )


SOUND = [
    vector.file
    for vector in CERTIFICATES
    if all(one.get("dropped") == [] and not one["error"] for one in vector.expected.certificates)
]


@pytest.mark.parametrize("file", SOUND)
def test_a_summary_of_a_sound_vector_tells_what_is_revoked(file: str) -> None:
    """Where all signatures are valid, what a certificate claims is what it is."""
    (vector,) = (one for one in CERTIFICATES if one.file == file)
    for found, expected in zip(read(file), vector.expected.certificates, strict=True):
        assert isinstance(found, Certificate)
        shown = summary(canonical(found))
        assert shown.is_revoked is (expected["revoked"] is not None)
        if expected["revoked"] is None:  # else they were dropped
            revoked = [
                one.text.decode(errors="replace") for one in shown.user_ids if one.is_revoked
            ]
            assert sorted(revoked) == sorted(expected["revoked_uids"])
            assert len(shown.user_ids) == len(expected["valid_uids"])
