"""The dumped tree held against the stores of a stopped server."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from keygrove.recon.checking import ANOTHER_PAST, TreeChecked, check_tree, different
from keygrove.recon.listing import Gathered, built
from keygrove.recon.members import shown
from keygrove.recon.treefile import TREE_FILE, VIEW, Dumped, Place, Standing, TreeFile
from keygrove.storage.fsck.tell import untold
from keygrove.storage.write import Denial
from keygrove.system.sqlite import SqliteFiles
from keygrove_chaos.certificates import CREATED, digest_of, made, put_of
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.samples import pack
from keygrove_protocols.recon.tree import Inner, Leaf, Tree
from tests.shards import opened

pytestmark = pytest.mark.anyio

SHARDS = 2
ONES = [put_of(made(number, "user")) for number in range(80)]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def fill(root: Path, numbers: range) -> None:
    async with opened(root, SHARDS) as stores:
        for number in numbers:
            await stores[number % SHARDS].commit([ONES[number]])


async def dump(root: Path, change: Callable[[Dumped], Dumped] = lambda one: one) -> None:
    """Write down the tree of what is stored, changed like this."""
    gathered = Gathered()
    places: list[Place] = []
    async with opened(root, SHARDS) as stores:
        for store in stores:
            places.append(Place(store.head().change, store.head().root))
            for one in (await store.digests(None, 1_000)).digests:
                if not one.is_denied and shown(one.fingerprint, one.stored):
                    gathered.add(one.stored)
    tree = (await built(gathered)).tree
    dumped = Dumped(tree, Standing(VIEW, tuple(places), {}))
    await TreeFile(SqliteFiles(root)).save(change(dumped))


async def checked(root: Path) -> TreeChecked:
    return await check_tree(SqliteFiles(root), SHARDS, untold)


async def test_without_a_dump_there_is_nothing_to_say(tmp_path: Path) -> None:
    await fill(tmp_path, range(3))
    assert await checked(tmp_path) == TreeChecked()


async def test_a_tree_that_is_that_of_the_stores_is_fine(tmp_path: Path) -> None:
    await fill(tmp_path, range(80))
    await dump(tmp_path)
    assert await checked(tmp_path) == TreeChecked()


async def test_a_tree_that_can_be_brought_up_to_the_stores_is_fine(tmp_path: Path) -> None:
    await fill(tmp_path, range(40))
    await dump(tmp_path)
    await fill(tmp_path, range(30, 80))
    async with opened(tmp_path, SHARDS) as (store, _):
        await store.commit([Denial(ONES[4].fingerprint, "spam", CREATED, held=put_of(made(4)))])
    assert await checked(tmp_path) == TreeChecked()


@pytest.mark.parametrize("lacks", [True, False])
async def test_a_digest_too_few_or_too_many_is_found(tmp_path: Path, *, lacks: bool) -> None:
    await fill(tmp_path, range(80))

    def change(dumped: Dumped) -> Dumped:
        if lacks:
            dumped.tree.apply(removed=[ONES[7].digest])
        else:
            dumped.tree.apply(added=[digest_of(made(99))])
        return dumped

    await dump(tmp_path, change)
    assert "of its nodes are not those of what is stored" in (await checked(tmp_path)).problem


async def test_values_that_are_not_those_of_the_digests_are_found(tmp_path: Path) -> None:
    await fill(tmp_path, range(80))

    def change(dumped: Dumped) -> Dumped:
        root = dumped.tree.root
        assert isinstance(root, Inner)
        leaf = root.children[2]
        assert isinstance(leaf, Leaf)
        wrong = msgspec.structs.replace(leaf, values=pack((2,) * 6))
        children = (*root.children[:2], wrong, *root.children[3:])
        return Dumped(Tree(root=msgspec.structs.replace(root, children=children)), dumped.standing)

    await dump(tmp_path, change)
    assert (await checked(tmp_path)).problem.startswith("1 of its nodes")


async def test_changes_that_do_not_fit_are_found(tmp_path: Path) -> None:
    await fill(tmp_path, range(10))

    def change(dumped: Dumped) -> Dumped:
        dumped.tree.apply(removed=[ONES[2].digest])
        return dumped

    await dump(tmp_path, change)
    async with opened(tmp_path, SHARDS) as stores:
        await stores[0].commit([put_of(made(2, "user", "changed"))])
    assert "does not fit" in (await checked(tmp_path)).problem


async def test_a_dump_of_another_past_is_no_fault(tmp_path: Path) -> None:
    await fill(tmp_path, range(10))

    def change(dumped: Dumped) -> Dumped:
        places = (Place(3, bytes(32)), *dumped.standing.places[1:])
        return Dumped(dumped.tree, msgspec.structs.replace(dumped.standing, places=places))

    await dump(tmp_path, change)
    assert await checked(tmp_path) == TreeChecked(skipped=ANOTHER_PAST)


async def test_a_damaged_dump_is_found(tmp_path: Path) -> None:
    await fill(tmp_path, range(10))
    await dump(tmp_path)
    file = tmp_path / TREE_FILE
    octets = bytearray(file.read_bytes())
    octets[octets.index(b"KGPT") + 100] ^= 1
    file.write_bytes(octets)
    assert (await checked(tmp_path)).problem


async def test_where_a_store_cannot_be_read_the_tree_is_passed_over(tmp_path: Path) -> None:
    await fill(tmp_path, range(10))
    await dump(tmp_path)
    (tmp_path / "shard-1/index.db").unlink()
    assert (await checked(tmp_path)).skipped.startswith("the prefix tree: ")


def test_trees_of_other_shapes_and_the_same_digests_are_the_same() -> None:
    digests = [one.digest for one in ONES]
    grown, shrunk = Tree(digests[:40]), Tree(digests)
    for digest in digests[40:]:
        shrunk.apply(removed=[digest])
    assert grown.node(ROOT).is_leaf is not shrunk.node(ROOT).is_leaf
    assert list(different(grown, shrunk)) == list(different(shrunk, grown)) == []
    other = Tree([*digests[:39], Digest(b"x" * 16)])
    assert list(different(grown, other)) == [ROOT]
