"""What partners see, followed step by step, against plain counting."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from keygrove.recon.members import Members
from keygrove.storage.steps import Step
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.recon.prefix import ROOT

NAMES = [Fingerprint(bytes([number]) * size) for number in range(6) for size in (16, 20, 32)]
DIGESTS = [Digest(bytes([first]) + bytes(14) + b"\1") for first in range(5)]
POINT = Digest(bytes(16))
"""One that equals a sample point."""
CHANGES = st.tuples(st.sampled_from(NAMES), st.sampled_from([None, POINT, *DIGESTS]))


def is_seen(name: Fingerprint, digest: Digest | None) -> bool:
    return digest is not None and digest != POINT and len(name) < 32


def own_digest(name: Fingerprint, digest: Digest) -> Digest:
    """One that no other certificate has."""
    return Digest(digest[:1] + name[:1] + bytes([len(name)]) + bytes(13))


@given(st.lists(CHANGES, max_size=60), st.integers(1, 7), st.data())
def test_it_is_what_is_held_by_those_that_are_seen(
    changes: list[tuple[Fingerprint, Digest | None]], slice_: int, data: st.DataObject
) -> None:
    """Whatever was listed before, and however many certificates have one digest."""
    held: dict[Fingerprint, Digest | None] = {}
    steps: list[Step] = []
    for number, (name, digest) in enumerate(changes):
        steps.append(Step(number, name, held.get(name), digest))
        held[name] = digest
    listed = data.draw(st.integers(0, len(steps)))
    then = {step.fingerprint: step.after for step in steps[:listed]}
    members = Members()
    seen = [one for name, one in then.items() if one is not None and is_seen(name, one)]
    for start in range(0, len(seen), slice_):
        members.add(sorted(seen[start : start + slice_]))
    for start in range(listed, len(steps), slice_):
        members.follow(steps[start : start + slice_], is_lenient=False)
    due = Counter(one for name, one in held.items() if is_seen(name, one))
    assert members.tree.digests(ROOT) == set(due)
    assert members.shared == {digest: count - 1 for digest, count in due.items() if count > 1}


@given(st.lists(CHANGES, max_size=60), st.integers(1, 7), st.data())
def test_what_was_listed_while_it_changed_is_right_after_all_steps(
    changes: list[tuple[Fingerprint, Digest | None]], slice_: int, data: st.DataObject
) -> None:
    """Each certificate was seen at a moment of its own; each digest is of one certificate."""
    held: dict[Fingerprint, Digest | None] = {}
    steps: list[Step] = []
    pasts: dict[Fingerprint, list[Digest | None]] = {name: [None] for name in NAMES}
    for number, (name, digest) in enumerate(changes):
        own = None if digest is None else own_digest(name, digest)
        steps.append(Step(number, name, held.get(name), own))
        held[name] = own
        pasts[name].append(own)
    members = Members()
    listed = [data.draw(st.sampled_from(past)) for past in pasts.values()]
    pairs = zip(pasts, listed, strict=True)
    members.add(sorted(one for name, one in pairs if one is not None and is_seen(name, one)))
    for start in range(0, len(steps), slice_):
        members.follow(steps[start : start + slice_], is_lenient=True)
    due = {one for name, one in held.items() if one is not None and is_seen(name, one)}
    assert members.tree.digests(ROOT) == due
    assert members.shared == {}
