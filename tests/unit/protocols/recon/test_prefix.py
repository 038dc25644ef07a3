"""Names of nodes."""

from hypothesis import given
from hypothesis import strategies as st

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import DIGEST_BITS
from keygrove_protocols.recon.prefix import BITQUANTUM, FANOUT, ROOT

DIGESTS = st.binary(min_size=16, max_size=16).map(Digest)


@given(DIGESTS)
def test_a_digest_is_below_one_child_of_each_node_down_to_itself(digest: Digest) -> None:
    prefix = ROOT
    bits = f"{int.from_bytes(digest, 'big'):0{DIGEST_BITS}b}"
    assert prefix.covers(digest)
    for depth in range(0, DIGEST_BITS, BITQUANTUM):
        (prefix,) = [child for child in prefix.children() if child.covers(digest)]
        assert str(prefix) == bits[: depth + BITQUANTUM]
    assert prefix.octets == digest


def test_children_are_in_order() -> None:
    assert [str(child) for child in ROOT.children()] == ["00", "01", "10", "11"]
    assert [str(child) for child in ROOT.child(2).children()] == ["1000", "1001", "1010", "1011"]
    assert len(ROOT.children()) == FANOUT
    assert str(ROOT) == ""
