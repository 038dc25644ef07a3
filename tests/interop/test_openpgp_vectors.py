"""What `vectors/openpgp/index.json` expects, as far as no signature has to be verified.

Fingerprints, key IDs, errors and unfiltered digests are checked for every file, those of
merges too. Left for the ingest that verifies: `filtered_digest`, `dropped`, the numbers of
signatures, valid user IDs and subkeys, stand-alone revocations (here no certificates), the
error `NoValidSelfSig`, and which of two variants of one signature stays.
"""

from functools import reduce
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Refused,
    canonical,
    fingerprint,
    group,
    key,
    packets,
    to_bytes,
)
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.openpgp.summary import summary

VECTORS = Path(__file__).parents[1] / "vectors" / "openpgp"


class ExpectedCertificate(msgspec.Struct):
    """What is expected of one certificate."""

    version: int
    fingerprint: str = ""
    keyid: str = ""
    sks_digest: str = ""
    error: str | None = None
    revoked: str | None = None
    valid_uids: list[str] = []
    revoked_uids: list[str] = []
    dropped: list[str] | None = None


class Expected(msgspec.Struct):
    """What is expected of one input."""

    outcome: str
    error: str | None
    certificates: list[ExpectedCertificate]


class Vector(msgspec.Struct):
    """One input."""

    file: str
    expected: Expected


class Merge(msgspec.Struct):
    """Inputs whose first certificates are merged."""

    inputs: list[str]
    merged_sks_digest: str | None = None
    valid_uids: list[str] = []
    revoked: str | None = None


class Index(msgspec.Struct):
    """The list of vectors."""

    files: list[Vector]
    merges: list[Merge]


INDEX = msgspec.json.decode((VECTORS / "index.json").read_bytes(), type=Index)
CERTIFICATES = [vector for vector in INDEX.files if vector.expected.outcome == "ok"]
OTHERS = [vector for vector in INDEX.files if vector.expected.outcome != "ok"]
VERIFIED_ONLY = {None, "NoValidSelfSig"}  # errors that take a verified signature to tell


def read(file: str) -> list[Certificate | Refused]:
    data = dearmor((VECTORS / file).read_bytes(), SUBMISSION).data
    return group(split(data, SUBMISSION), SUBMISSION)


def read_one(file: str) -> Certificate:
    (found,) = read(file)
    assert isinstance(found, Certificate)
    return found


def facts(found: Certificate | Refused) -> dict[str, Any]:
    if isinstance(found, Refused):
        name = found.fingerprint
        return {"error": found.error, "fingerprint": name.hex() if name else ""}
    return {
        "error": None,
        "version": key(found).version,
        "fingerprint": fingerprint(found).hex(),
        "keyid": key(found).key_id.hex(),
        "sks_digest": sks_digest(packets(canonical(found))).hex(),
    }


def expected_facts(expected: ExpectedCertificate) -> dict[str, Any]:
    if expected.error not in VERIFIED_ONLY:
        return {"error": expected.error, "fingerprint": expected.fingerprint}
    return {
        "error": None,
        "version": expected.version,
        "fingerprint": expected.fingerprint,
        "keyid": expected.keyid,
        "sks_digest": expected.sks_digest,
    }


def test_the_vectors_are_all_there() -> None:
    assert len(INDEX.files) == 115
    assert {one.name for one in VECTORS.iterdir()} == {one.file for one in INDEX.files} | {
        "index.json"
    }


@pytest.mark.parametrize("vector", CERTIFICATES, ids=[vector.file for vector in CERTIFICATES])
def test_p095_a_vector_has_its_names_and_its_digest(vector: Vector) -> None:
    assert [facts(one) for one in read(vector.file)] == [
        expected_facts(one) for one in vector.expected.certificates
    ]


@pytest.mark.parametrize("vector", OTHERS, ids=[vector.file for vector in OTHERS])
def test_a_vector_that_is_no_certificate_has_its_error(vector: Vector) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(vector.file)
    assert caught.value.code == (vector.expected.error or "NotACertificate")


@pytest.mark.parametrize("vector", CERTIFICATES, ids=[vector.file for vector in CERTIFICATES])
def test_p087_a_vector_keeps_its_canonical_form(vector: Vector) -> None:
    for one in read(vector.file):
        if isinstance(one, Certificate):
            form = canonical(one)
            assert group(split(to_bytes(form), SUBMISSION), SUBMISSION) == [form]


MERGES = [one for one in INDEX.merges if one.merged_sks_digest is not None]


@pytest.mark.parametrize("these", MERGES, ids=["+".join(one.inputs) for one in MERGES])
def test_p095_a_merge_has_its_digest_in_either_order(these: Merge) -> None:
    parts = [read_one(file) for file in these.inputs]
    for order in (parts, parts[::-1]):
        merged = reduce(merge, order)
        assert sks_digest(packets(merged)).hex() == these.merged_sks_digest
        assert summary(merged).is_revoked is (these.revoked is not None)


SOUND = [
    vector.file
    for vector in CERTIFICATES
    if all(one.dropped == [] and one.error is None for one in vector.expected.certificates)
]


@pytest.mark.parametrize("file", SOUND)
def test_a_summary_of_a_sound_vector_tells_what_is_revoked(file: str) -> None:
    """Where all signatures are valid, what a certificate claims is what it is."""
    (vector,) = (one for one in CERTIFICATES if one.file == file)
    for found, expected in zip(read(file), vector.expected.certificates, strict=True):
        assert isinstance(found, Certificate)
        shown = summary(canonical(found))
        assert shown.is_revoked is (expected.revoked is not None)
        if expected.revoked is None:  # else they were dropped
            revoked = [
                one.text.decode(errors="replace") for one in shown.user_ids if one.is_revoked
            ]
            assert sorted(revoked) == sorted(expected.revoked_uids)
            assert len(shown.user_ids) == len(expected.valid_uids)
