"""The loop whose clock jumps: it ends where nothing is left to jump to.

In processes of their own: idle threads of other tests might wake the loop, for all it knows.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

from keygrove_actors.testkit import TASKS_SHOWN

HEAD = """
import asyncio, os, threading, time
from keygrove_actors.testkit import DeadlockError, VirtualLoop

async def lock(lock):
    async with lock:
        await lock.acquire()

def run(main):
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        try:
            print(runner.run(main))
        except DeadlockError as error:
            print(error)
"""


def printed(program: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", HEAD + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.stderr == ""
    return ran.stdout.splitlines()


def test_a_deadlock_is_an_error_that_names_who_waits_and_where() -> None:
    first, *waiting = printed("""
        async def main():
            await asyncio.sleep(1000.0)
            other = asyncio.create_task(lock(asyncio.Lock()), name="other")
            await other

        run(main())
    """)
    assert first.startswith("nothing is left that could happen; give these what they wait for")
    assert [line.split(" at ")[0].strip() for line in waiting] == ["Task-1", "other"]
    assert "main (<string>:" in waiting[0]
    assert "lock (<string>:" in waiting[1]
    assert "Lock.acquire (locks.py:" in waiting[1]


def test_many_who_wait_are_counted() -> None:
    lines = printed("""
        async def main():
            await asyncio.gather(*(lock(asyncio.Lock()) for _ in range(100)))

        run(main())
    """)
    assert len(lines) == 1 + TASKS_SHOWN + 1
    assert lines[-1].strip() == "and 81 more"


def test_what_a_thread_or_a_pipe_may_still_bring_is_waited_for() -> None:
    assert printed("""
        def later():
            time.sleep(0.01)
            return "from a thread"

        async def read():
            loop, got = asyncio.get_running_loop(), asyncio.Event()
            ours, theirs = os.pipe()
            loop.add_reader(ours, got.set)
            os.set_inheritable(theirs, True)
            pid = os.spawnl(os.P_NOWAIT, "/bin/sh", "sh", "-c", f"sleep 0.01; echo >&{theirs}")
            await got.wait()
            os.waitpid(pid, 0)
            return "from a pipe"

        run(asyncio.to_thread(later))
        run(read())
    """) == ["from a thread", "from a pipe"]
