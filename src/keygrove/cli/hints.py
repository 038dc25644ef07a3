"""Commands that a message names, completed so that they work when they are pasted."""

import re
import shlex

import click

_COMMAND = re.compile(r"(?<!by )\bkeygrove ([a-z]+)(?: ([a-z]+))?")
"""But for the one that a process is told to be."""
_CARRIED = ("config", "data")


def completed(text: str) -> str:
    """The text, in which commands have the `--config` and `--data` that this one was given."""
    context = click.get_current_context(silent=True)
    if context is None:
        return text
    given = "".join(
        f" --{name} {shlex.quote(str(context.params[name]))}"
        for name in _CARRIED
        if context.params.get(name) is not None
    )
    return _COMMAND.sub(lambda found: _completed(context, found, given), text) if given else text


def _completed(context: click.Context, found: re.Match[str], given: str) -> str:
    """The options stand behind the verb, and in a group behind that of the group."""
    command: click.Command | None = context.find_root().command
    whole, end = found[0], 0
    for group in (1, 2):
        if not isinstance(command, click.Group) or found[group] is None:
            break
        command = command.get_command(context, found[group])
        end = found.end(group) - found.start()
    takes = {param.name for param in command.params} if command is not None else set[str]()
    return whole[:end] + given + whole[end:] if takes.issuperset(_CARRIED) else whole
