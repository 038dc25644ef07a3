"""What a check finds."""

from enum import IntEnum

import msgspec

from keygrove.errors import KeygroveError, UnfitError

FINDINGS_MAX = 100
"""Of one shard and level: what is behind them is counted only."""

REPAIR = "run `keygrove fsck --repair`"


class Level(IntEnum):
    """What is looked at; each level is of use without the others."""

    STRUCTURE = 1
    INDEX = 2
    CONTENT = 3
    TREE = 4
    SEMANTIC = 5
    HISTORY = 6


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it should be."""

    level: Level
    shard: int
    file: str
    where: str
    """The row, table or certificate; empty for the file as a whole."""
    what: str
    advice: str = REPAIR
    """Empty: `what` says what to do."""

    def __str__(self) -> str:
        place = f"shard {self.shard}, {self.file}" + (f", {self.where}" if self.where else "")
        return f"{place}: {self.what}" + (f"; {self.advice}" if self.advice else "")


def advice_for(error: KeygroveError, advice: str) -> str:
    """The advice for what a file was met with, unless the error has its own."""
    return "" if isinstance(error, UnfitError) else advice


class Findings:
    """Those of one shard, at most so many of each level."""

    def __init__(self, shard: int) -> None:
        self._shard = shard
        self._more = dict.fromkeys(Level, 0)
        self.listed: list[Finding] = []

    def add(self, level: Level, file: str, where: str, what: str, advice: str = REPAIR) -> None:
        """Note one."""
        if sum(one.level is level for one in self.listed) >= FINDINGS_MAX:
            self._more[level] += 1
        else:
            self.listed.append(Finding(level, self._shard, file, where, what, advice))

    def at(self, level: Level) -> list[Finding]:
        """Those of a level, and a last one that tells how many more there were."""
        found = [one for one in self.listed if one.level is level]
        if more := self._more[level]:
            found.append(Finding(level, self._shard, "", "", f"{more:,} more of level {level}"))
        return found

    def all(self) -> list[Finding]:
        """All of them, by level."""
        return [one for level in Level for one in self.at(level)]

    def has(self, *levels: Level) -> bool:
        """Whether there is one of these levels."""
        return any(one.level in levels for one in self.listed)
