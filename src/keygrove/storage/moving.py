"""Moves the log of a shard's file into it, and keeps it from growing without end.

A log begins anew only when nobody reads any more what stands in it. A reader that is stuck, be it
another program's, keeps all that is written meanwhile in the log. So what is written waits when
that has become long, and clients are told that the shard is busy; the disk does not fill up.
"""

import anyio

from keygrove.ports import SqlDatabase
from keygrove.storage import heap

LOG_BYTES_MAX = 128 << 20
"""Beyond that nothing is written: so much again is left for what one commit or flush may add."""
HELD_S = 1.0
"""Between two looks whether the reader is gone."""


async def move_log(db: SqlDatabase) -> None:
    """Move a file's log into it; returns when the log may grow again."""
    size = await db.run(heap.checkpoint)
    while size > LOG_BYTES_MAX:
        size = await db.run(heap.empty_log)
        if size > LOG_BYTES_MAX:
            await anyio.sleep(HELD_S)
