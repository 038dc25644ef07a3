"""The running tree for people: a line for each actor, indented."""

from collections.abc import Iterator

from keygrove_actors.census import Snapshot

COLUMNS = 80
"""What every terminal has."""
ACTOR_COLUMNS_MAX = 30
"""Deeper or longer is cut off: the end of a line says more than the end of a name."""
_HEADINGS = ("state", "mailbox", "restarts", "msg/s", "KiB")


def tree_lines(root: Snapshot, columns: int | None = COLUMNS) -> list[str]:
    """A heading, then every actor: state, mailbox now/at most, restarts, rate, memory, work.

    Args:
        columns: what a line is cut to; None: nothing is cut.
    """
    rows = [("actor", *_HEADINGS, "doing"), *_rows(root, "", 0)]
    if columns is not None:
        rows = [(_cut(actor, ACTOR_COLUMNS_MAX), *cells) for actor, *cells in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS) + 1)]
    return [_line(row, widths, columns) for row in rows]


def _rows(node: Snapshot, parent: str, depth: int) -> Iterator[tuple[str, ...]]:
    yield (
        "  " * depth + _who(node, parent),
        "suspended" if node.is_suspended else node.state.value,
        f"{node.mailbox:,}/{node.high_water:,}",
        f"{node.restarts:,}",
        f"{node.rate:,.1f}",
        f"{node.memory / 1024:,.1f}",
        _work(node),
    )
    for child in node.children:
        yield from _rows(child, node.id, depth + 1)


def _who(node: Snapshot, parent: str) -> str:
    """Its id, and its name where that says more: a pool's dispatcher has the name of the pool."""
    name = f" ({node.name})" if node.name and node.name not in {node.id, parent} else ""
    about = f" [{node.about}]" if node.about else ""
    return f"{node.id}{name}{about}"


def _work(node: Snapshot) -> str:
    busy = "" if node.busy is None else f"busy {node.busy:.0%}"
    return ", ".join(part for part in (node.work(), busy) if part)


def _line(row: tuple[str, ...], widths: list[int], columns: int | None) -> str:
    actor, state, *figures, work = row
    cells = [actor.ljust(widths[0]), state.ljust(widths[1])]
    cells += [figure.rjust(width) for figure, width in zip(figures, widths[2:], strict=True)]
    line = "  ".join([*cells, work]).rstrip()
    return line if columns is None else _cut(line, columns)


def _cut(text: str, columns: int) -> str:
    return text if len(text) <= columns else f"{text[: columns - 1]}…"
