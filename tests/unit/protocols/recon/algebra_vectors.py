"""The arithmetic and the trees of `tests/vectors/recon.json`. Large numbers are decimal there."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.view import Node, View

FOLDER = Path(__file__).parents[3] / "vectors"


class Encoding(msgspec.Struct):
    zp: str
    bytes17: str


class DigestAs(msgspec.Struct):
    digest: str
    zp: str
    bytes17: str


class Refused(msgspec.Struct):
    digest: str


class Arithmetic(msgspec.Struct):
    a: str
    b: str
    sum: str = msgspec.field(name="a+b")
    difference: str = msgspec.field(name="a-b")
    product: str = msgspec.field(name="a*b")
    quotient: str = msgspec.field(name="a/b")


class Field(msgspec.Struct):
    P: str
    encodings: list[Encoding]
    digest_to_zp: list[DigestAs]
    refused_elements: list[Refused]
    sample_points: dict[str, list[str | int]]
    arith: list[Arithmetic]


class Known(msgspec.Struct):
    key: str
    size: int
    leaf: bool
    svalues: list[str]


class Ends(msgspec.Struct):
    key: str
    size: int
    leaf: bool
    svalue_at_point_0: str
    svalue_at_last_point: str


class Debian(msgspec.Struct):
    nodes: list[Ends]


class Step(msgspec.Struct):
    count: int
    root_is_leaf: bool
    root_svalues: list[str]
    children: dict[str, tuple[int, bool]] | None = None


class Growth(msgspec.Struct):
    insert_order: list[str]
    trace: list[Step]
    remove_in_reverse_trace: list[Step]


class OneSidedStep(msgspec.Struct):
    count: int
    nodes: list[tuple[str, int, bool]]


class OneSided(msgspec.Struct):
    insert_order: list[str]
    trace: list[OneSidedStep]


class Trees(msgspec.Struct):
    initial: list[str]
    nodes_initial: list[Known]
    remove_1: list[str]
    nodes_after_remove_1: list[Known]
    remove_2: list[str]
    nodes_after_remove_2: list[Known]
    debian_keyring_905: Debian
    growth: Growth
    one_sided_split: OneSided


class Case(msgspec.Struct):
    case: str
    remote_only: list[str]
    local_only: list[str]
    remote_size: int
    local_size: int
    remote_samples: list[str]
    outcome: str


class Group(msgspec.Struct):
    answered_by: str
    local_set: list[str]
    cases: list[Case]


class AlgebraCase(msgspec.Struct):
    remote_only: list[str]
    local_only: list[str]
    d: int
    values: list[str]
    outcome: str
    numerator: list[str] | None = None
    denominator: list[str] | None = None


class Algebra(msgspec.Struct):
    cases: list[AlgebraCase]


class Interpolation(msgspec.Struct):
    groups: list[Group]
    algebra: Algebra


class Factored(msgspec.Struct):
    coefficients: list[str]
    splits: bool
    roots: list[str] | None = None


class Vectors(msgspec.Struct):
    zp: Field
    ptree: Trees
    interpolation: Interpolation
    root_finding: list[Factored]


VECTORS = msgspec.json.decode((FOLDER / "recon.json").read_bytes(), type=Vectors)


def debian() -> list[Digest]:
    """The digests of Debian's keyring."""
    found = msgspec.json.decode((FOLDER / "digests.json").read_bytes(), type=dict[str, str])
    return read(found.values())


def read(digests: Iterable[str]) -> list[Digest]:
    """Digests from hex."""
    return [Digest(bytes.fromhex(digest)) for digest in digests]


def numbers(decimal: Iterable[str]) -> tuple[int, ...]:
    return tuple(int(one) for one in decimal)


def nodes(view: View) -> Iterator[Node]:
    """All of them, each before its children, these in order."""
    waiting = [ROOT]
    while waiting:
        node = view.node(waiting.pop())
        yield node
        if not node.is_leaf:
            waiting.extend(reversed(node.prefix.children()))
