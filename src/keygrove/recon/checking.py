"""The dumped prefix tree of a stopped server, held against its stores: node by node."""

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import anyio.lowlevel
import msgspec

from keygrove.cluster.router import shard_name
from keygrove.errors import HistoryError, StoreError
from keygrove.ports import Databases
from keygrove.recon.listing import Gathered, built
from keygrove.recon.members import Members, shown
from keygrove.recon.treefile import Dumped, Place, TreeFile
from keygrove.storage.fsck.tell import Tell
from keygrove.storage.reading import open_reader
from keygrove.storage.store import CertificateStore
from keygrove_protocols.errors import BadTreeDumpError, TreeMismatchError
from keygrove_protocols.recon.prefix import ROOT, Prefix
from keygrove_protocols.recon.tree import Tree

PAGE: Final = 1_000
STEPS: Final = 1_000
ANOTHER_PAST: Final = "the prefix tree is of another past: the next start makes it anew"


class TreeChecked(msgspec.Struct, frozen=True):
    """What came of it. At most one of these says something."""

    problem: str = ""
    skipped: str = ""
    """Why it could not be looked at."""


async def check_tree(databases: Databases, shards: int, tell: Tell) -> TreeChecked:
    """Look whether the tree, brought up to today, is that of all that the stores hold.

    Only reads. Nobody may write meanwhile.
    """
    try:
        dumped = await TreeFile(databases).read(shards)
    except (BadTreeDumpError, StoreError) as error:
        return TreeChecked(problem=str(error))
    if dumped is None:
        return TreeChecked()
    tell("prefix tree", 0, 0)
    try:
        async with AsyncExitStack() as opened:
            stores = [
                await opened.enter_async_context(
                    open_reader(databases, shard_name(number), f"{number}/{shards}")
                )
                for number in range(shards)
            ]
            return await _compare(dumped, stores, tell)
    except StoreError as error:
        return TreeChecked(skipped=f"the prefix tree: {error}")


async def _compare(dumped: Dumped, stores: Sequence[CertificateStore], tell: Tell) -> TreeChecked:
    members = Members(dumped.tree, dict(dumped.standing.shared))
    try:
        for store, place in zip(stores, dumped.standing.places, strict=True):
            await _bring_up(members, store, place)
    except HistoryError:
        return TreeChecked(skipped=ANOTHER_PAST)
    except TreeMismatchError as error:
        return TreeChecked(problem=f"what changed since it was written does not fit: {error}")
    due = await built(await _listed(stores, tell))
    wrong = sum(1 for _ in different(members.tree, due.tree))
    if wrong:
        return TreeChecked(problem=f"{wrong} of its nodes are not those of what is stored")
    return TreeChecked()


async def _bring_up(members: Members, store: CertificateStore, place: Place) -> None:
    while True:
        found = await store.history.steps(place.change, place.root, STEPS)
        members.follow(found.steps, is_lenient=False)
        place = Place(found.head.change, found.head.root)
        if found.head.change == found.newest:
            return


async def _listed(stores: Sequence[CertificateStore], tell: Tell) -> Gathered:
    gathered = Gathered()
    total = sum(store.counts().certificates for store in stores)
    for store in stores:
        read = partial(store.digests, limit=PAGE)
        page = await read(None)
        while True:
            for one in page.digests:
                digest = None if one.is_denied else shown(one.fingerprint, one.stored)
                if digest is not None:
                    gathered.add(digest)
            tell("prefix tree", gathered.count, total)
            if page.cursor is None:
                break
            page = await read(page.cursor)
            await anyio.lowlevel.checkpoint()
    return gathered


def different(tree: Tree, other: Tree) -> Iterator[Prefix]:
    """The nodes of a tree that have other digests, or other values, than the other tree there."""
    todo = [ROOT]
    while todo:
        prefix = todo.pop()
        node, due = tree.node(prefix), other.node(prefix)
        is_same = (node.size, node.samples) == (due.size, due.samples)
        if node.is_leaf:
            is_same = is_same and tree.digests(prefix) == other.digests(prefix)
        else:
            todo += prefix.children()
        if not is_same:
            yield prefix
