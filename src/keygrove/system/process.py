"""What this process may use."""

import os
import resource

CONNECTIONS_MAX = 2_000
"""Of each listener: a slow client costs little, but not nothing."""
OTHER_FILES = 250
"""Beside connections: databases with their logs, sockets, libraries."""


def cores() -> int:
    """How many processors we may run on."""
    return len(os.sched_getaffinity(0))


def connections_max() -> int:
    """How many connections there are files for, with the limit raised as far as we may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS_MAX + OTHER_FILES
    limit = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        soft = limit
    return max(1, min(CONNECTIONS_MAX, (soft - OTHER_FILES) // 2))
