"""The page on proofs has the roots that are computed, and describes the fields that there are."""

import re

from keygrove.storage.proofs import Proof as StoredProof
from keygrove_protocols.proofs.proof import HEAD, Head, Proof
from tests.docs.tables import page, rows
from tests.unit.keygrove.storage import naive_tree
from tests.unit.keygrove.storage.test_merkle import ROOTS, numbered


def published() -> dict[tuple[str, int], str]:
    found = re.findall(r"\| ([\d,]+) \| (sha256|blake3) \| `([0-9a-f]{64})` \|", page("proofs"))
    return {(name, int(size.replace(",", ""))): root for size, name, root in found}


def test_s_c1_the_published_roots_are_those_of_the_tests() -> None:
    assert published() == ROOTS


def test_s_c1_the_published_roots_are_those_of_the_definition() -> None:
    for (name, size), root in published().items():
        assert naive_tree.root(name, numbered(size)).hex() == root


def test_every_field_of_a_proof_is_described_and_no_other() -> None:
    described = list(rows("proofs", "field"))
    assert described == list(Proof.__struct_fields__) == list(StoredProof.__struct_fields__)


def test_the_head_is_described_as_it_is_written() -> None:
    (text,) = re.findall(rf"```\n({HEAD} .*?)\n\n\u2014", page("proofs"), re.DOTALL)
    lines = Head("keys.example.org", "blake3", 6_500_000, bytes(32), 1_800_000_000).lines()
    shown, due = text.splitlines(), lines.splitlines()
    assert [*shown[:3], shown[4]] == [*due[:3], due[4]]
    assert len(shown[3]) == len(due[3])
