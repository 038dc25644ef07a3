"""The running tree for people: a line for each actor, indented, at most a hundred columns."""

from collections.abc import Iterator

from keygrove_actors.census import Snapshot

COLUMNS_MAX = 100
ACTOR_COLUMNS_MAX = 40
"""Deeper or longer is cut off: the end of a line says more than the end of a name."""
_HEADINGS = ("state", "mailbox", "restarts", "msg/s", "memory")


def tree_lines(root: Snapshot) -> list[str]:
    """A heading, then every actor: state, mailbox now/at most, restarts, rate, memory, work."""
    rows = [("actor", *_HEADINGS, "doing"), *_rows(root, 0)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) + 1)]
    return [_line(row, widths) for row in rows]


def _rows(node: Snapshot, depth: int) -> Iterator[tuple[str, ...]]:
    yield (
        _cut("  " * depth + _who(node), ACTOR_COLUMNS_MAX),
        "suspended" if node.is_suspended else node.state.value,
        f"{node.mailbox:,}/{node.high_water:,}",
        f"{node.restarts:,}",
        f"{node.rate:,.1f}",
        f"{node.memory / 1024:,.1f} KiB",
        _work(node),
    )
    for child in node.children:
        yield from _rows(child, depth + 1)


def _who(node: Snapshot) -> str:
    name = f" ({node.name})" if node.name and node.name != node.id else ""
    about = f" [{node.about}]" if node.about else ""
    return f"{node.id}{name}{about}"


def _work(node: Snapshot) -> str:
    busy = "" if node.busy is None else f"busy {node.busy:.0%}"
    doing = "" if node.doing is None else f"{node.doing} for {node.doing_s:.1f} s"
    return ", ".join(part for part in (doing, busy) if part)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    actor, state, *figures, work = row
    cells = [actor.ljust(widths[0]), state.ljust(widths[1])]
    cells += [figure.rjust(width) for figure, width in zip(figures, widths[2:], strict=True)]
    return _cut("  ".join([*cells, work]).rstrip(), COLUMNS_MAX)


def _cut(text: str, columns: int) -> str:
    return text if len(text) <= columns else f"{text[: columns - 1]}…"
