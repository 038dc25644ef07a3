"""Histories as short stories, for tests: one event a second, each a few words.

    "a puts x y | a ok | b gets | b ok x y | c@n2 gets/K2 | c info | n1 drain"

Who, perhaps at which node; what, perhaps of which key; which packets, those forged with a `!`, or
which nonce, snapshot or keys; by which partner, as `by=p`; which events, as `#0`. Names of nodes
begin with an n, those of clients do not.
"""

from __future__ import annotations

from keygrove_chaos.history import About, Detail, Event, Function, History, Phase
from keygrove_chaos.operations import Operation, operations

VERBS = {
    "puts": Function.PUT,
    "gets": Function.GET,
    "deletes": Function.DELETE,
    "denies": Function.DENY,
    "allows": Function.ALLOW,
    "condemns": Function.CONDEMN,
    "snaps": Function.SNAPSHOT,
    "recalls": Function.PAST,
    "rolls": Function.ROLLBACK,
    "undoes": Function.UNDO,
}
ANSWERS = {"ok": Phase.OK, "fail": Phase.FAIL, "info": Phase.INFO}


def told(story: str) -> list[Event]:
    """The events of a story; of key K and on node n1 where it does not say."""
    history = History()
    waiting: dict[str, Event] = {}
    lines = [line.split() for line in story.split("|")]
    for number, (who, what, *rest) in enumerate(line for line in lines if line):
        now = float(number)
        client, _, where = who.partition("@")
        verb, _, key = what.partition("/")
        if who.startswith("n"):
            values, detail = _answer(rest)
            history.befall(About(who, Function(verb), key, tuple(values)), detail, now=now)
        elif verb in ANSWERS:
            found, detail = _answer(rest)
            history.close(waiting.pop(client), ANSWERS[verb], found, detail, now=now)
        else:
            origin = "".join(word[3:] for word in rest if word.startswith("by="))
            honest = tuple(word for word in rest if not word.startswith(("!", "by=")))
            forged = tuple(word[1:] for word in rest if word.startswith("!"))
            about = About(where or "n1", VERBS[verb], key or "K", honest)
            waiting[client] = history.invoke(
                client, about, Detail(forged=forged, origin=origin), now=now
            )
    return list(history.events)


def _answer(rest: list[str]) -> tuple[list[str], Detail]:
    """Packets, and among them facts: `503`, `retry`, `exit=0`, `errno=EIO`, `wal=9`, `shard=s`."""
    facts: dict[str, object] = {}
    packets: list[str] = []
    for word in rest:
        name, has_value, value = word.partition("=")
        if word.isdigit():
            facts["status"] = int(word)
        elif word == "retry":
            facts["has_retry_after"] = True
        elif has_value:
            names = {"exit": "code", "wal": "wal_bytes", "left": "leftovers"}
            facts[names.get(name, name)] = int(value) if value.isdigit() else value
        else:
            packets.append(word.removeprefix("#"))
    return packets, Detail(**facts)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - a test's own words


def done(story: str) -> list[Operation]:
    """The operations of a story."""
    return operations(told(story))
