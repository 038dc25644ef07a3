"""`python kill_points.py OUT TEMPLATE VERB…`: kill a command at each of its steps with files.

It is run on a copy of TEMPLATE again and again, each in a process of its own: killed before its
first step, then before its second, and so on until it comes to its end. `{}` in its arguments is
the copy, OUT/1, OUT/2 and so on, which stays for whoever looks what became of it.
"""

import itertools
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from keygrove.cli.main import main

STEPS = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "sqlite3.connect"}


def kill_before(step: int, folder: str) -> None:
    """Die before that step with files in a folder."""
    done = 0

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal done
        # Whoever deletes a tree names what is in it without its folder.
        if event not in STEPS or (folder not in str(arguments[0]) and "remove" not in event):
            return
        done += 1
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def run(step: int, folder: Path, verb: Sequence[str]) -> bool:
    """Whether it was killed."""
    pid = os.fork()
    if pid == 0:
        kill_before(step, str(folder))
        main([one.replace("{}", str(folder)) for one in verb])
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in {0, -signal.SIGKILL}, f"{verb} ended with {code}"
    return code != 0


def try_all(out: Path, template: Path, verb: Sequence[str]) -> None:
    for step in itertools.count(1):
        folder = out / str(step)
        shutil.copytree(template, folder)
        if not run(step, folder, verb):
            return


if __name__ == "__main__":
    try_all(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
