"""The checks for an order that explains what clients saw: histories, and each other."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import permutations
from random import Random

import pytest
from hypothesis import settings

from keygrove_chaos.history import About, Event, Function, History, Phase
from keygrove_chaos.linear import check_chain, linearizable
from keygrove_chaos.observation import Undecided, Violation
from keygrove_chaos.operations import NEVER, Operation, operations
from keygrove_chaos.search import Verdict, search
from tests.unit.chaos.stories import done

GOOD = {
    "nothing happened": "",
    "a put is read": "a puts x | a ok | b gets | b ok x",
    "a read overlaps a put and has it": "a puts x | b gets | b ok x | a ok",
    "a read overlaps a put and lacks it": "a puts x | b gets | b ok | a ok",
    "overlapping reads disagree": "a puts x | b gets | c gets | b ok x | c ok | a ok",
    "an unknown put appears late": "a puts x | a info | b gets | b ok | b gets | b ok x",
    "an unknown put never appears": "a puts x | a info | b gets | b ok | b gets | b ok",
    "a refused put is not seen": "a puts x | a fail | b gets | b ok",
    "overlapping puts, in either order": (
        "a puts x | b puts y | c gets | c ok y | a ok | b ok | c gets | c ok x y"
    ),
    "a put brings what is there": "a puts x y | a ok | b puts x | b ok | c gets | c ok x y",
    "two puts share a packet": "a puts k x | b puts k y | c gets | c ok k y | c gets | c ok k x y",
    "a put of nothing": "a puts | a ok | b gets | b ok",
    "an unknown read says nothing": "a puts x | a ok | b gets | b info",
}

BAD = {
    "a": "a puts x | a ok | b gets | b ok",
    "b: never put": "b gets | b ok x",
    "b: put later": "b gets | b ok x | a puts x | a ok",
    "b: a refused put": "a puts x | a fail | b gets | b ok x",
    "b: two refused puts": "a puts x | b puts x | a fail | b fail | c gets | c ok x",
    "c": "a puts x | b puts y | c gets | d gets | c ok x | d ok y | a ok | b ok",
    "d": "a puts x | b gets | b ok x | b gets | b ok | a ok",
    "e": "c gets | a puts x | a ok | b puts y | b ok | c ok y",
    "e: of an unknown put": "c gets | a puts x | a ok | b puts y | b info | c ok y",
    "f": "a puts x y | b gets | b ok x | a ok",
    "f: of an unknown put": "a puts x y | a info | b gets | b ok x",
}

REMOVING_GOOD = {
    "a deleted key is empty": "a puts x | a ok | b deletes | b ok | c gets | c ok",
    "a put after a delete": "b deletes | b ok | a puts x | a ok | c gets | c ok x",
    "a delete and a put at once": "a puts x | b deletes | a ok | b ok | c gets | c ok",
    "the same, the other way": "a puts x | b deletes | a ok | b ok | c gets | c ok x",
    "a denied key takes nothing": "b denies | b ok | a puts x | a ok | c gets | c ok",
    "an unknown delete": "a puts x | a ok | b deletes | b info | c gets | c ok x | c gets | c ok",
    "a refused delete": "a puts x | a ok | b deletes | b fail | c gets | c ok x",
}

REMOVING_BAD = {
    "a deleted key is back": "a puts x | a ok | b deletes | b ok | c gets | c ok x",
    "a delete that takes one of two": "a puts x y | a ok | b deletes | b ok | c gets | c ok y",
    "a put before a delete wins": (
        "a puts x | a ok | b deletes | c gets | c ok | c gets | c ok x | b ok"
    ),
    "a denied key is put": "b denies | b ok | a puts x | a ok | c gets | c ok x",
    "a refused delete took effect": "a puts x | a ok | b deletes | b fail | c gets | c ok",
    "nothing was deleted yet": "a puts x | a ok | c gets | c ok | b deletes | b ok",
}


@pytest.mark.parametrize("story", GOOD.values(), ids=GOOD)
def test_there_is_an_order_if(story: str) -> None:
    assert check_chain(done(story)).verdict is Verdict.LINEARIZABLE
    assert search(done(story)).verdict is Verdict.LINEARIZABLE
    assert linearizable(done(story)) == []


@pytest.mark.parametrize(("rule", "story"), BAD.items(), ids=BAD)
def test_there_is_no_order_by_rule(rule: str, story: str) -> None:
    judged = check_chain(done(story))
    assert judged.verdict is Verdict.NOT_LINEARIZABLE
    assert f"(rule {rule[0]})" in judged.says
    assert judged.ops
    assert search(done(story)).verdict is Verdict.NOT_LINEARIZABLE


@pytest.mark.parametrize("story", REMOVING_GOOD.values(), ids=REMOVING_GOOD)
def test_with_removals_there_is_an_order_if(story: str) -> None:
    assert linearizable(done(story)) == []


@pytest.mark.parametrize("story", REMOVING_BAD.values(), ids=REMOVING_BAD)
def test_with_removals_there_is_no_order_if(story: str) -> None:
    (found,) = linearizable(done(story))
    assert isinstance(found, Violation)
    assert found.invariant == "I-13"


def test_what_is_told_is_in_plain_words() -> None:
    story = BAD["a"]
    (found,) = linearizable(done(story))
    assert found.says == (
        "on n1, key K: the read at 2 s lacks x, whose put was acknowledged at 1 s (rule a)"
    )
    (found,) = linearizable(done(REMOVING_BAD["a deleted key is back"]))
    assert found.says == (
        "on n1, key K: no order explains the get that ended at 5 s and found x, "
        "with 0 others at the same time"
    )


def test_keys_and_nodes_are_judged_apart() -> None:
    story = "a puts/L x | a ok | b gets/K | b ok | c@n2 gets/L | c ok | d gets/L | d ok"
    (found,) = linearizable(done(story))
    assert isinstance(found, Violation)
    assert (found.node, found.keys) == ("n1", ("L",))


def test_what_another_node_took_may_arrive_at_any_time_or_never() -> None:
    read = "b@n2 gets | b ok"
    assert linearizable(done(f"a puts x | a ok | {read} | {read} x | {read} x")) == []
    assert linearizable(done(f"a puts x | a ok | {read} x | {read}")) != []
    assert linearizable(done(f"{read} x | a puts x | a ok")) != []


# ---- unknown


def crowd(size: int, first: str = "", key: str = "K") -> str:
    """Puts that may take effect at any time; a read shows the `first`, another shows all."""
    puts = [f"a{number} puts/{key} x{number} | a{number} info" for number in range(size)]
    shown = " ".join(f"x{number}" for number in range(size))
    reads = [f"c gets/{key} | c ok {packets}" for packets in (first, shown)]
    return " | ".join(puts + reads)


def test_more_operations_at_once_than_the_window_holds_are_unknown_never_fine() -> None:
    (found,) = linearizable(done(f"b deletes | b ok | {crowd(21)}"))
    assert isinstance(found, Undecided)
    assert "more than 20 operations at once" in found.says


def test_a_search_that_takes_too_many_steps_is_unknown_never_fine() -> None:
    ops = done(crowd(12, "x0 x3 x11"))
    assert search(ops, steps_max=1000).verdict is Verdict.UNKNOWN
    assert search(ops).verdict is Verdict.LINEARIZABLE


def test_all_searches_together_take_no_more_steps_than_they_may() -> None:
    story = " | ".join(f"d deletes/{key} | d ok | {crowd(12, 'x0 x3', key)}" for key in "KLM")
    assert linearizable(done(story)) == []
    first, second, third = linearizable(done(story), steps_max=1000)
    assert "no order found in 1000 steps" in first.says
    assert "no order found in 0 steps" in third.says
    assert all(isinstance(one, Undecided) for one in (first, second, third))


def test_puts_that_nobody_ever_saw_do_not_crowd_the_search() -> None:
    unseen = " | ".join(f"a{number} puts x{number} | a{number} info" for number in range(50))
    assert linearizable(done(f"b deletes | b ok | {unseen} | c gets | c ok")) == []


def test_a_crowd_on_a_key_that_only_grows_is_decided_all_the_same() -> None:
    many = " | ".join(f"a{number} puts x{number} | a{number} info" for number in range(50))
    assert linearizable(done(f"{many} | c gets | c ok x7 x8 | c gets | c ok")) != []
    assert linearizable(done(f"{many} | c gets | c ok x7 x8 | c gets | c ok x7 x8 x9")) == []


# ---- the checks against each other

FULL, QUICK = 10_000, 600


def rounds() -> int:
    is_quick = settings.default is not None and settings.default.max_examples < 50
    return QUICK if is_quick else FULL


def scramble(
    random: Random, functions: Mapping[Function, int], packets: Callable[[], list[str]]
) -> list[Operation]:
    """A small history of one key, whose reads are now and then what they could be."""
    history = History()
    waiting: list[Event] = []
    put: list[str] = []
    clients = random.randint(2, 4)
    for number in range(random.randint(4, 14)):
        free = sorted({f"c{one}" for one in range(clients)} - {one.client for one in waiting})
        if free and (not waiting or random.random() < 0.55):
            (function,) = random.choices(list(functions), list(functions.values()))
            values = tuple(packets()) if function is Function.PUT else ()
            put += values
            about = About("n1", function, "K", values)
            waiting.append(history.invoke(random.choice(free), about, now=float(number)))
        else:
            begun = waiting.pop(random.randrange(len(waiting)))
            phase = random.choices([Phase.OK, Phase.INFO, Phase.FAIL], [8, 1, 1])[0]
            some = dict.fromkeys(one for one in put if random.random() < 0.75)
            found = some if begun.function is Function.GET and phase is Phase.OK else ()
            history.close(begun, phase, found, now=float(number))
    return operations(history.events)


def single(random: Random) -> Callable[[], list[str]]:
    """Each put brings one packet of its own."""
    numbers = iter(range(1000))
    return lambda: [f"x{next(numbers)}"]


def shared(random: Random) -> Callable[[], list[str]]:
    """Puts bring some of few packets, together."""
    return lambda: random.sample(["k", "x", "y", "z"], random.choice([0, 1, 1, 2, 2, 3]))


@pytest.mark.parametrize("packets", [single, shared])
def test_c082_the_chain_check_agrees_with_the_search(
    packets: Callable[[Random], Callable[[], list[str]]],
) -> None:
    verdicts: list[Verdict] = []
    for seed in range(rounds()):
        random = Random(seed)
        ops = scramble(random, {Function.PUT: 2, Function.GET: 3}, packets(random))
        chain, found = check_chain(ops), search(ops)
        assert chain.verdict is found.verdict, (seed, chain, found)
        verdicts.append(chain.verdict)
    assert min(verdicts.count(one) for one in (Verdict.LINEARIZABLE, Verdict.NOT_LINEARIZABLE)) > (
        rounds() // 10
    )


def test_the_search_agrees_with_trying_all_orders() -> None:
    functions = {Function.PUT: 4, Function.GET: 4, Function.DELETE: 2, Function.DENY: 1}
    verdicts: list[Verdict] = []
    for seed in range(rounds() // 10):
        random = Random(seed)
        ops = scramble(random, functions, shared(random))
        if len(ops) > 6:
            continue
        expected = Verdict.LINEARIZABLE if any(tries(ops)) else Verdict.NOT_LINEARIZABLE
        assert search(ops).verdict is expected, seed
        verdicts.append(expected)
    assert min(verdicts.count(one) for one in (Verdict.LINEARIZABLE, Verdict.NOT_LINEARIZABLE)) > 5


def tries(ops: Iterable[Operation]) -> Iterator[bool]:
    """Each order of what was done, with some of what may have been: whether it explains all."""
    certain = [op for op in ops if op.is_done]
    perhaps = [
        op for op in ops if op.may_apply and not op.is_done and op.function is not Function.GET
    ]
    for chosen in range(2 ** len(perhaps)):
        some = [op for number, op in enumerate(perhaps) if chosen >> number & 1]
        for order in permutations(certain + some):
            yield keeps_time(order) and makes_sense(order)


def keeps_time(order: tuple[Operation, ...]) -> bool:
    return not any(
        later.end < earlier.start
        for number, later in enumerate(order)
        for earlier in order[:number]
        if later.end != NEVER
    )


def makes_sense(order: tuple[Operation, ...]) -> bool:
    held: set[str] = set()
    is_denied = False
    for op in order:
        if op.function is Function.GET and held != set(op.found):
            return False
        if op.function is Function.PUT and not is_denied:
            held.update(op.put)
        if op.function in {Function.DELETE, Function.DENY}:
            held.clear()
            is_denied |= op.function is Function.DENY
    return True
