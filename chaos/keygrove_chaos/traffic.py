"""What clients ask in a run: the everyday, and what some runs have besides.

What a feature brings is drawn from a stream of its own, so that it changes nothing of the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp, log
from random import Random
from typing import Final, Literal

import msgspec

from keygrove_chaos.plan import Ask, Feature, Preset, Verb
from keygrove_chaos.submissions import ADMIN

KEYS: Final = 8
"""The keys that features ask about are among so many."""
FLOODED: Final = 2_000_000
"""From here on are keys whose certificates are flooded, or slow to verify."""
CERTIFIED: Final = 1_900_000
"""From here on are keys whose user IDs others signed, and nobody else has anything to do with:"""
SHARED: Final = 3
"""so many user IDs, for nodes to come to hold the same in another order."""
ROLLED: Final = 1_800_000
"""From here on are keys of partners, so many of each:"""
OF_PARTNER: Final = 10
WITNESS: Final = "witness.example"
"""A partner from whom nothing is taken back."""
FIRST_S: Final = 0.6
"""When the administrator's certificate is submitted."""
NONCE_BITS: Final = 128
AGAIN_S: Final = 3.0
"""Between two attempts at the same."""


def between(random: Random, low: float, high: float) -> float:
    """A number between two, any order of magnitude as likely as any other."""
    return exp(random.uniform(log(low), log(high)))


def program(
    seed: int, clients: Mapping[str, str], lasts_s: float, features: Mapping[Feature, bool]
) -> tuple[Ask, ...]:
    """All that clients ask, in order of time."""
    asks = _everyday(seed, clients, lasts_s)
    for name, draw in _BESIDES.items():
        if features.get(name, False):
            random = Random(f"{seed}:program:{name}")  # noqa: S311 - to be repeatable is its purpose
            asks += draw(_Draw(random, clients, lasts_s))
    return tuple(sorted(asks, key=lambda ask: (ask.at, ask.client)))


def presets(seed: int, nodes: tuple[str, ...]) -> dict[str, Preset]:
    """A preset for each node."""
    random = Random(f"{seed}:presets")  # noqa: S311
    known: tuple[Preset, ...] = ("verified", "minimal", "sks-compatible")
    return {node: random.choice(known) for node in nodes}


def _everyday(seed: int, clients: Mapping[str, str], lasts_s: float) -> list[Ask]:
    random = Random(f"{seed}:program")  # noqa: S311
    keys, rate = random.randint(3, 20), between(random, 0.3, 4.0)
    asks: list[Ask] = []
    texts: list[str] = []
    for client, node in clients.items():
        at, count = 0.5, 0
        while (at := at + random.expovariate(rate)) < lasts_s:
            count += 1
            verb: Literal["put", "get", "search"] = random.choices(
                ("put", "get", "search"), (0.45, 0.45, 0.1)
            )[0]
            key, text = min(int(random.paretovariate(1.1)) - 1, keys - 1), ""
            if verb == "put":
                text = f"{client}w{count} <{client}w{count}@x.example>"
                texts.append(text)
            elif verb == "search":
                text = random.choice(texts or ["nobody <nobody@x.example>"])
            asks.append(Ask(at=at, client=client, node=node, verb=verb, key=key, text=text))
    return asks


class _Draw:
    """Draws requests of some client."""

    def __init__(self, random: Random, clients: Mapping[str, str], lasts_s: float) -> None:
        self.random = random
        self.lasts_s = lasts_s
        self.clients = clients

    def moment(self, since: float = FIRST_S) -> float:
        """A moment of the run."""
        return self.random.uniform(since, self.lasts_s)

    def ask(self, verb: Verb, key: int, text: str = "", since: float = FIRST_S) -> Ask:
        """A request of any client, some time after `since`."""
        client = self.random.choice(list(self.clients))
        node, at = self.clients[client], self.moment(since)
        return Ask(at=at, client=client, node=node, verb=verb, key=key, text=text)

    def key(self) -> int:
        """One of those that the everyday asks about, too."""
        return self.random.randrange(KEYS)

    def text(self, what: str) -> str:
        """A user ID that nobody else draws."""
        word = f"{what}{self.random.getrandbits(40):x}"
        return f"{word} <{word}@x.example>"


def _loads(draw: _Draw) -> list[Ask]:
    """Certificates of a dump, each as often as not for a second time."""
    asks: list[Ask] = []
    for _ in range(draw.random.randint(2, 8)):
        one = draw.ask("load", draw.key(), draw.text("l"))
        asks.append(one)
        if draw.random.random() < 0.5:
            asks.append(draw.ask("load", one.key, one.text, one.at))
    return asks


def _signatures(draw: _Draw) -> list[Ask]:
    """Others' signatures, and revocations that come alone."""
    asks: list[Ask] = []
    for _ in range(draw.random.randint(6, 18)):
        number, key = draw.random.randrange(SHARED), CERTIFIED + draw.random.randrange(2)
        text = f"shared{number} <shared{number}@x.example>"
        asks.append(draw.ask("certify", key, text))
    for _ in range(draw.random.randint(1, 4)):
        asks.append(draw.ask("revoke", draw.key()))
    return asks


def _attacks(draw: _Draw) -> list[Ask]:
    """What bears a name that did not sign it; floods; what takes long, or too long, to verify."""
    asks: list[Ask] = []
    for _ in range(draw.random.randint(2, 8)):
        one = draw.ask("forge", draw.key(), draw.text("f"))
        asks += [one, draw.ask("get", one.key, since=one.at)]
    burdens: tuple[tuple[Verb, int], ...] = (("flood", FLOODED), ("tire", FLOODED + 1))
    for verb, key in burdens:
        if draw.random.random() < 0.5:
            one = draw.ask(verb, key)
            asks += [one, draw.ask("get", key, since=one.at)]
    asks.append(draw.ask("overtax", FLOODED + 2))
    return asks


def _orders(draw: _Draw) -> list[Ask]:
    """Blocks by an administrator: some are sent again, and some lifted; others try meanwhile."""
    asks = [
        Ask(at=FIRST_S, client=client, node=node, verb="put", key=ADMIN, text=_ADMINISTRATOR)
        for client, node in draw.clients.items()
    ]
    for _ in range(draw.random.randint(1, 4)):
        block = draw.ask("block", draw.key(), _nonce(draw))
        asks.append(block)
        end = draw.lasts_s
        if draw.random.random() < 0.5:
            end = draw.moment(block.at)
            asks.append(_then(block, end, "unblock", _nonce(draw)))
        if draw.random.random() < 0.5:
            asks.append(_then(block, draw.moment(end), "block", block.text))  # played again
        for _ in range(2):
            verb = draw.random.choice(_TRIES)
            at = draw.random.uniform(block.at, end)
            asks += [_then(block, at, verb, draw.text("b")), _then(block, at, "get", "")]
    return asks


def _pasts(draw: _Draw) -> list[Ask]:
    """Snapshots, and what they show of some keys, then and later."""
    asks: list[Ask] = []
    for _ in range(draw.random.randint(1, 3)):
        taken = draw.ask("snapshot", 0, f"s{draw.random.getrandbits(40):x}")
        asks.append(taken)
        for _ in range(draw.random.randint(3, 9)):
            key = draw.random.choice((draw.key(), ROLLED + draw.random.randrange(OF_PARTNER)))
            when = draw.moment(taken.at)
            asks.append(msgspec.structs.replace(taken, at=when, verb="past", key=key))
    return asks


def _rollbacks(draw: _Draw) -> list[Ask]:
    """Partners bring what somebody takes back; they bring it again, and it may be restored."""
    asks: list[Ask] = []
    for number in range(draw.random.randint(1, 2)):
        asks += _Story(draw, number).asks()
    return asks


class _Story:
    """What a partner brings to one node, alone and with others, and what becomes of it."""

    def __init__(self, draw: _Draw, number: int) -> None:
        self._draw = draw
        self._operator, self._node = draw.random.choice(list(draw.clients.items()))
        self._clients = [one for one, node in draw.clients.items() if node == self._node]
        self._partner = f"p{number}.example"
        self._first = ROLLED + number * OF_PARTNER
        self._back = draw.random.uniform(0.3, 0.5) * draw.lasts_s
        self._undo = draw.random.uniform(0.65, 0.75) * draw.lasts_s
        self._texts = [draw.text("p") for _ in range(OF_PARTNER)]

    def asks(self) -> list[Ask]:
        """All of it, in no order."""
        asks = [*self._alone(), *self._with_others(), *self._again()]
        asks += self._orders("rollback", self._back, self._undo)
        if self._draw.random.random() < 0.6:
            asks += self._orders("undo", self._undo, self._draw.lasts_s)
        for key in range(OF_PARTNER):
            asks += [self._ask("get", key, since=since) for since in (FIRST_S, self._back)]
            asks.append(self._ask("get", key, since=self._undo))
        return asks

    def _alone(self) -> list[Ask]:
        """Of the first three keys nobody else has anything; the third condemns itself later."""
        return [self._ask("offer", key, until=self._back) for key in (0, 1, 2)]

    def _with_others(self) -> list[Ask]:
        """The next were a client's or another partner's before; the last will be a client's."""
        asks: list[Ask] = []
        early, late = self._back * 0.4, self._back
        for key in (3, 4):
            asks.append(self._ask("put", key, self._texts[0], until=early))
        for key in (5, 6):
            text = self._texts[key if key == 5 else 0]
            asks.append(self._ask("offer", key, text, until=early, origin=WITNESS))
        asks += [self._ask("offer", key, since=early, until=late) for key in (3, 4, 5, 6, 7)]
        asks.append(self._ask("put", 7, self._texts[0], since=early, until=late))
        return asks

    def _again(self) -> list[Ask]:
        """All of it is brought again, by whomever."""
        asks = [self._ask("condemn", 2, since=self._back)]
        for key in range(8):
            asks.append(self._ask("offer", key, since=self._back))
            if self._draw.random.random() < 0.5:
                asks.append(self._ask("offer", key, since=self._back, origin=WITNESS))
            if self._draw.random.random() < 0.5:
                verb: Verb = self._draw.random.choice(_TRIES)
                text = self._draw.random.choice((self._texts[key], self._texts[0]))
                asks.append(self._ask(verb, key, text, since=self._back))
        return asks

    def _orders(self, verb: Verb, since: float, until: float) -> list[Ask]:
        """By one client, in turn: what did not succeed is tried again."""
        first = self._ask(verb, 0, "", since=since, until=since, origin=self._partner)
        first = msgspec.structs.replace(first, client=self._operator)
        times = range(1 + int((until - since) / AGAIN_S))
        return [msgspec.structs.replace(first, at=since + time * AGAIN_S) for time in times]

    def _ask(  # noqa: PLR0913 - a request has that many properties
        self,
        verb: Verb,
        key: int,
        text: str | None = None,
        *,
        since: float = FIRST_S,
        until: float | None = None,
        origin: str = "",
    ) -> Ask:
        at = self._draw.random.uniform(since, self._draw.lasts_s if until is None else until)
        return Ask(
            at=at,
            client=self._draw.random.choice(self._clients),
            node=self._node,
            verb=verb,
            key=self._first + key,
            text=self._texts[key] if text is None else text,
            origin=origin or (self._partner if verb == "offer" else ""),
        )


_ADMINISTRATOR: Final = "Admin <admin@x.example>"
_TRIES: Final[tuple[Verb, ...]] = ("put", "load")
_BESIDES: Final[Mapping[Feature, Callable[[_Draw], list[Ask]]]] = {
    "ask.load": _loads,
    "ask.signatures": _signatures,
    "ask.attack": _attacks,
    "ask.admin": _orders,
    "ask.past": _pasts,
    "ask.rollback": _rollbacks,
}


def _nonce(draw: _Draw) -> str:
    return f"{draw.random.getrandbits(NONCE_BITS):032x}"


def _then(ask: Ask, at: float, verb: Verb, text: str) -> Ask:
    """Another request for the same key, by the same client."""
    return Ask(at=at, client=ask.client, node=ask.node, verb=verb, key=ask.key, text=text)
