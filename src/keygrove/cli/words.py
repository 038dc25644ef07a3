"""What commands take as words and as names of files: nothing that was meant otherwise.

A variable of a script that is empty must not select everything, nor name the folder that one is
in; and an option must not be taken for the value of the one before it.
"""

import os
from errno import ENAMETOOLONG
from pathlib import Path
from unicodedata import category

import click

_CONTROLS = frozenset({"Cc", "Cs"})
"""Control characters; and what stands for octets of a command line that are no UTF-8."""


class Word(click.ParamType[str]):
    """One line of text that says something."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text as it was given; whatever else ends the command with 2."""
        if not value.strip():
            self.fail("it is empty: give it a value, or leave it out", param, ctx)
        if value.startswith("--"):
            self.fail(f"{value!r} looks like an option: give a value before it", param, ctx)
        if any(category(one) in _CONTROLS for one in value):
            self.fail(f"{value!r} is no line of UTF-8: write it otherwise", param, ctx)
        return value


class Place(click.Path):
    """A file or a folder; `Path` alone takes an empty name for the folder that one is in."""

    def __init__(
        self,
        *,
        exists: bool = False,
        file_okay: bool = True,
        dir_okay: bool = True,
        allow_dash: bool = False,
    ) -> None:
        super().__init__(
            exists=exists,
            file_okay=file_okay,
            dir_okay=dir_okay,
            allow_dash=allow_dash,
            path_type=Path,
        )

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """The path, if there is one."""
        if not os.fspath(value):
            self.fail("it is empty: name a file or a directory", param, ctx)
        try:
            os.lstat(value)
        except OSError as error:
            if error.errno == ENAMETOOLONG:
                self.fail(f"{value!r} is too long for a name: name another", param, ctx)
        return super().convert(value, param, ctx)
