"""What each partner is shown: what is held, with what it has in another way (storage.md §7).

Some of what a partner has will never be held here: it is denied, or refused (*shadows*), or we have
all of it that we want in a certificate with another digest (*aliases*). Each session would find it
lacking here, and ours lacking there. So a partner is shown its own shadows with what is held, and
its aliases in place of our digests. Nobody else is shown them, so nobody asks for them.

To hold nothing back from the partner, our digest is only replaced where the partner was told of it
and kept to its own, again and again. A Keygrove does the same to us, so towards it nothing is
replaced: both show both.

What a partner has are its claims. Where what it lists or lacks in a session tells that it has
something else by now, that is forgotten; once a day a session is shown what is held alone, so that
nothing stays for longer that no session tells.

A view is the tree with some changes applied. It is kept, and follows the tree: ten thousand rows
take half a second to be applied to a tree of a million, which is too much for each session. It is
made anew when much has changed, because then it has little in common with the tree any more.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

import anyio.lowlevel
import msgspec

from keygrove.ports import Entropy
from keygrove.recon.knownfile import NOTHING, Recalled
from keygrove.recon.members import Members
from keygrove.recon.pace import chance
from keygrove.recon.slices import slices
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.field import NO_ELEMENTS
from keygrove_protocols.recon.rateless import Shown
from keygrove_protocols.recon.session import Ending, Session
from keygrove_protocols.recon.sketch import Sketch
from keygrove_protocols.recon.tree import Tree, differences

VIEWS_MAX: Final = 64
"""That are kept; what was used the longest ago goes. Some 35 MB for one with the most rows."""
FOLLOWED_MAX: Final = 10_000
"""Digests that changed in the tree, or as many as the partner has rows, if these are more."""
SLICE: Final = 64
"""Digests at once: some milliseconds."""
BARE_EVERY_S: Final = 86_400.0
"""Between two sessions with one partner that are shown what is held alone."""


class Shows(msgspec.Struct, frozen=True):
    """What a partner is shown in a session.

    Args:
        added: what it has, and is not held here.
        replaced: our digests that it is not shown, and what it has instead.
        due: what it should list, if nothing was added or replaced.
        stale: what it has, and stands for what is not held here any more.
    """

    shown: Shown
    added: AbstractSet[Digest] = frozenset()
    replaced: Mapping[Digest, Digest] = {}
    due: AbstractSet[Digest] = frozenset()
    stale: AbstractSet[Digest] = frozenset()

    def gone(self, session: Session) -> set[Digest]:
        """What the partner has no more, as a session told."""
        learned = session.learned
        gone = session.given & self.added
        gone |= {theirs for ours, theirs in self.replaced.items() if ours in learned}
        if self.due and session.end is not None and session.end.ending is Ending.DONE:
            gone |= self.due - learned
        return gone


class _Plan(msgspec.Struct, frozen=True):
    """What a partner is to be shown of a tree.

    Args:
        held: our digests that have aliases and are in the tree.
    """

    recalled: Recalled = NOTHING
    is_keygrove: bool = False
    held: AbstractSet[Digest] = frozenset()
    added: AbstractSet[Digest] = frozenset()
    replaced: Mapping[Digest, Digest] = {}

    @property
    def stale(self) -> set[Digest]:
        """See `Shows`."""
        aliases = self.recalled.aliases
        return {aliases[ours] for ours in aliases.keys() - self.held}


class _View(msgspec.Struct, frozen=True):
    """What a partner was shown last.

    Args:
        followed: how many digests changed in the tree since the view was made.
    """

    members: Members
    base: Tree
    tree: Tree
    sketch: Sketch
    plan: _Plan = _Plan()
    followed: int = 0


class Views:
    """Those of a node's partners."""

    def __init__(self, now: Callable[[], float], entropy: Entropy) -> None:
        self._now = now
        self._entropy = entropy
        self._views: dict[str, _View] = {}
        self._bare_at: dict[str, float] = {}

    async def shown_to(
        self, partner: str, recalled: Recalled, members: Members, *, is_keygrove: bool
    ) -> Shows:
        """What this partner is shown now; others have their turn in between."""
        if recalled == NOTHING:
            self._views.pop(partner, None)
            self._bare_at.pop(partner, None)
            return Shows(members.show())
        now = self._now()
        if partner not in self._bare_at:
            # At any time of a day: a node that is started each day has one a day, too, on average.
            self._bare_at[partner] = now + BARE_EVERY_S * chance(self._entropy)
        if now >= self._bare_at[partner]:
            self._bare_at[partner] = now + BARE_EVERY_S
            return Shows(members.show(), due=recalled.all)
        return await self._overlaid(partner, recalled, members, is_keygrove=is_keygrove)

    async def _overlaid(
        self, partner: str, recalled: Recalled, members: Members, *, is_keygrove: bool
    ) -> Shows:
        shown = members.show()
        base = Tree(root=members.tree.root)
        last = self._views.pop(partner, None)
        changed = await _changed(last, members, base, max(FOLLOWED_MAX, recalled.size))
        if last is None or changed is None:
            last, changed = _View(members, base, base, shown.sketch), set[Digest]()
        plan = await _planned(last.plan, recalled, base, changed, is_keygrove=is_keygrove)
        view = _View(
            members=members,
            base=base,
            tree=last.tree.snapshot(),
            sketch=last.sketch.snapshot(),
            plan=plan,
            followed=last.followed + len(changed),
        )
        if plan is not last.plan:
            changed |= plan.added ^ last.plan.added
            changed |= plan.replaced.keys() ^ last.plan.replaced.keys()
        await _bring_up(view, changed)
        self._keep(partner, view)
        return Shows(
            Shown(view.tree, view.sketch),
            added=plan.added,
            replaced=plan.replaced,
            stale=plan.stale,
        )

    def _keep(self, partner: str, view: _View) -> None:
        self._views[partner] = view
        if len(self._views) > VIEWS_MAX:
            del self._views[next(iter(self._views))]


async def _changed(
    last: _View | None, members: Members, base: Tree, most: int
) -> set[Digest] | None:
    """What changed in the tree since; None: too much, or it is another tree."""
    if last is None or last.members is not members:
        return None
    changed = set[Digest]()
    for number, some in enumerate(differences(last.base, base), start=1):
        changed |= some
        if last.followed + len(changed) > most:
            return None
        if not number % SLICE:
            await anyio.lowlevel.checkpoint()
    return changed


async def _planned(
    last: _Plan, recalled: Recalled, base: Tree, changed: set[Digest], *, is_keygrove: bool
) -> _Plan:
    """What is to be shown; the plan of last time, if nothing of it is another by now."""
    aliases, before = recalled.aliases.keys(), last.recalled.aliases.keys()
    touched = aliases & changed
    is_known = (last.recalled, last.is_keygrove) == (recalled, is_keygrove)
    if is_known and not touched:
        return last
    unsure = (aliases - before) | touched
    held = ((last.held & aliases) - unsure) | await _present(base, unsure)
    told = held if is_keygrove else held & recalled.settled
    theirs = {ours: recalled.aliases[ours] for ours in told}
    await anyio.lowlevel.checkpoint()  # of tens of thousands each line takes some milliseconds
    added = recalled.shadows.union(theirs.values()) - NO_ELEMENTS
    await anyio.lowlevel.checkpoint()
    return _Plan(
        recalled=recalled,
        is_keygrove=is_keygrove,
        held=held,
        added=added,
        replaced={} if is_keygrove else theirs,
    )


async def _present(tree: Tree, digests: Iterable[Digest]) -> set[Digest]:
    """Those that are in a tree."""
    found = set[Digest]()
    for some in map(set, slices(digests, SLICE)):
        await anyio.lowlevel.checkpoint()
        found |= some - tree.lacks(some)
    return found


async def _bring_up(view: _View, digests: Iterable[Digest]) -> None:
    """Have those in the view that are to be, of all that may have changed."""
    await anyio.lowlevel.checkpoint()
    for some in map(set, slices(digests, SLICE)):
        await anyio.lowlevel.checkpoint()
        held = some - view.base.lacks(some)
        wanted = (held - view.plan.replaced.keys()) | (some & view.plan.added)
        there = some - view.tree.lacks(some)
        view.tree.apply(added=wanted - there, removed=there - wanted)
        view.sketch.apply(added=wanted - there, removed=there - wanted)
