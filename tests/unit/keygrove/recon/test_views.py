"""What a partner is shown of a set, with what is known of its own."""

import random
from collections.abc import Iterable

import pytest
import trio

from keygrove.recon import views
from keygrove.recon.knownfile import NOTHING, Recalled
from keygrove.recon.members import Members
from keygrove.recon.views import BARE_EVERY_S, SLICE, VIEWS_MAX, Shows, Views
from keygrove.storage.steps import Step
from keygrove_chaos.entropy import SeededEntropy
from keygrove_protocols.openpgp.keys import Digest, Fingerprint
from keygrove_protocols.recon.frames import Decoder
from keygrove_protocols.recon.initiator import Initiator
from keygrove_protocols.recon.messages import Done, Flush, FullRequest, encode, in_order
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.sketch import Sketch
from keygrove_protocols.recon.tree import Tree

pytestmark = pytest.mark.trio

DRAWN = random.Random(1)
HELD = [Digest(DRAWN.randbytes(16)) for _ in range(400)]
THEIRS = [Digest(DRAWN.randbytes(16)) for _ in range(40)]
MORE = [Digest(DRAWN.randbytes(16)) for _ in range(40)]
POINT = Digest(bytes(16))
ENTROPY = SeededEntropy(random.Random(3))


class Site:
    """A set, and what partners are shown of it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.members = Members()
        self.members.add(sorted(HELD))
        self.views = Views(lambda: self.now, ENTROPY)

    def change(self, *, removed: Iterable[Digest] = (), added: Iterable[Digest] = ()) -> None:
        name = Fingerprint(bytes(20))
        steps = [Step(1, name, one, None) for one in removed]
        steps += [Step(1, name, None, one) for one in added]
        self.members.follow(steps, is_lenient=False)

    async def shows(
        self, recalled: Recalled, partner: str = "ann", *, is_keygrove: bool = False
    ) -> Shows:
        return await self.views.shown_to(partner, recalled, self.members, is_keygrove=is_keygrove)


def digests(shows: Shows) -> set[Digest]:
    """Those of the view, in both of its forms, whose shape is as right as if it were made anew."""
    found = set(shows.shown.view.digests(ROOT))
    assert shows.shown.sketch.is_like(Sketch(found))
    root, due = shows.shown.view.node(ROOT), Tree(found).node(ROOT)
    assert (root.size, root.samples) == (due.size, due.samples)
    return found


def aliases(*at: int, is_settled: bool = True) -> Recalled:
    """Some of ours, each with what the partner has instead."""
    ours = {HELD[one]: THEIRS[one] for one in at}
    return Recalled(aliases=ours, settled=frozenset(ours if is_settled else ()))


async def test_a_partner_is_shown_its_shadows_and_others_are_not() -> None:
    site = Site()
    shadows = Recalled(shadows=frozenset([*THEIRS, HELD[3], POINT]))
    assert digests(await site.shows(shadows)) == {*HELD, *THEIRS}
    assert digests(await site.shows(NOTHING, "bob")) == set(HELD)
    assert site.members.tree.digests(ROOT) == set(HELD)


async def test_an_alias_stands_in_place_of_ours_once_it_is_settled() -> None:
    site = Site()
    assert digests(await site.shows(aliases(0, 1, is_settled=False))) == set(HELD)
    shows = await site.shows(aliases(0, 1))
    assert digests(shows) == {*HELD[2:], *THEIRS[:2]}
    assert shows.replaced == {HELD[0]: THEIRS[0], HELD[1]: THEIRS[1]}


async def test_a_keygrove_is_shown_its_alias_and_ours() -> None:
    site = Site()
    shows = await site.shows(aliases(0, is_settled=False), is_keygrove=True)
    assert digests(shows) == {*HELD, THEIRS[0]}
    assert digests(await site.shows(aliases(0))) == {*HELD[1:], THEIRS[0]}


async def test_an_alias_ends_when_ours_changes() -> None:
    site = Site()
    await site.shows(aliases(0, 1))
    site.change(removed=[HELD[0]], added=[MORE[0]])
    shows = await site.shows(aliases(0, 1))
    assert digests(shows) == {*HELD[2:], MORE[0], THEIRS[1]}
    assert shows.stale == {THEIRS[0]}


@pytest.mark.parametrize("most", [0, 60, 10_000], ids=["made anew", "both", "followed"])
async def test_a_view_follows_the_set_and_what_is_known(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "FOLLOWED_MAX", most)
    site, drawn = Site(), random.Random(2)
    for _ in range(40):
        held = site.members.tree.digests(ROOT)
        gone = set(drawn.sample(HELD, drawn.randrange(40))) & held
        new = set(drawn.sample([*HELD, *THEIRS, *MORE], drawn.randrange(40))) - held
        site.change(removed=gone, added=new)
        shadows = frozenset(drawn.sample([*THEIRS, *MORE, *HELD[30:]], drawn.randrange(60)))
        ours = {HELD[at]: THEIRS[at] for at in drawn.sample(range(40), drawn.randrange(30))}
        settled = frozenset(one for one in ours if drawn.random() < 0.5)
        recalled = Recalled(shadows=shadows, aliases=ours, settled=settled)
        is_keygrove = drawn.random() < 0.3
        held = site.members.tree.digests(ROOT)
        live = {one: ours[one] for one in ours if one in held and (is_keygrove or one in settled)}
        due = (held - (set() if is_keygrove else live.keys())) | shadows | set(live.values())
        shows = await site.shows(recalled, is_keygrove=is_keygrove)
        assert digests(shows) == due
        assert shows.stale == {ours[one] for one in ours.keys() - held}


async def test_a_set_that_was_made_anew_has_views_made_anew() -> None:
    site = Site()
    await site.shows(aliases(0))
    site.members = Members()
    site.members.add(sorted(HELD[:5]))
    assert digests(await site.shows(aliases(0))) == {*HELD[1:5], THEIRS[0]}


async def test_what_a_session_has_does_not_change_with_the_next() -> None:
    site = Site()
    first = await site.shows(Recalled(shadows=frozenset(THEIRS[:5])))
    await site.shows(Recalled(shadows=frozenset(THEIRS[5:9])))
    assert digests(first) == {*HELD, *THEIRS[:5]}


async def test_others_have_their_turn_while_a_large_view_is_made() -> None:
    site, turns = Site(), 0
    many = [Digest(DRAWN.randbytes(16)) for _ in range(10 * SLICE)]

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take_turns)
        aliased = dict(zip(many, reversed(many), strict=True))
        shows = await site.shows(Recalled(shadows=frozenset(many), aliases=aliased))
        nursery.cancel_scope.cancel()
    assert digests(shows) == {*HELD, *many}
    assert turns >= 20, "ten while it is seen which are held, ten while they are put in"


async def test_of_more_partners_views_are_made_anew() -> None:
    site = Site()
    for _ in range(2):
        for number in range(VIEWS_MAX + 3):
            shadow = Recalled(shadows=frozenset([THEIRS[number % 40]]))
            shows = await site.shows(shadow, f"partner {number}")
            assert set(shows.shown.view.digests(ROOT)) == {*HELD, THEIRS[number % 40]}


def told(shows: Shows, listed: Iterable[Digest], *, is_done: bool = True) -> set[Digest]:
    """What a partner has no more that lists these."""
    decoder = Decoder()
    decoder.admit_all()
    session = Initiator(shows.shown.view, decoder)
    session.receive(encode(FullRequest(ROOT, in_order(set(listed)))) + encode(Flush()))
    if is_done:
        session.receive(encode(Done()))
    while session.advance():
        pass
    return shows.gone(session)


async def test_what_a_partner_does_not_list_any_more_is_gone() -> None:
    site = Site()
    shows = await site.shows(Recalled(shadows=frozenset(THEIRS[:3])))
    assert told(shows, [*HELD, *THEIRS[:3]]) == set()
    assert told(shows, [*HELD, THEIRS[1]]) == {THEIRS[0], THEIRS[2]}


async def test_an_alias_of_a_partner_that_lists_ours_is_gone() -> None:
    site = Site()
    shows = await site.shows(aliases(0, 1))
    assert told(shows, [*HELD[2:], *THEIRS[:2]]) == set()
    assert told(shows, [*HELD[1:], *THEIRS[:2]]) == {THEIRS[1]}


async def test_once_a_day_a_partner_is_shown_what_is_held_alone() -> None:
    site = Site()
    known = Recalled(shadows=frozenset(THEIRS[3:6]), aliases={HELD[0]: THEIRS[0]})
    await site.shows(known)
    site.now = BARE_EVERY_S
    shows = await site.shows(known)
    assert digests(shows) == set(HELD)
    assert told(shows, [*HELD, THEIRS[0], *THEIRS[3:6]]) == set()
    assert told(shows, [*HELD, THEIRS[4]]) == {THEIRS[0], THEIRS[3], THEIRS[5]}
    assert told(shows, [*HELD, THEIRS[4]], is_done=False) == set()
    assert digests(await site.shows(known)) == {*HELD, *THEIRS[3:6]}


async def test_a_node_that_is_started_again_and_again_shows_it_as_often() -> None:
    known = Recalled(shadows=frozenset(THEIRS[:1]))
    lives, bare = 400, 0
    for _ in range(lives):
        site = Site()
        for site.now in (0.0, BARE_EVERY_S / 4):
            bare += THEIRS[0] not in digests(await site.shows(known))
    assert lives / 6 < bare < lives / 3
