"""What runs first in every worker process: a script of its own, standard library only.

    python launch.py PARENT TRANSPORT CWD NICE LIMITS -- PROGRAM ARGUMENT…
    python launch.py PARENT TRANSPORT CWD NICE LIMITS -- @MODULE:FUNCTION

The runtime starts it with `posix_spawn`, which runs no Python between fork and exec, so
threads and event loops of the runtime do no harm (P-19); what must be done *inside* the
child before any code of the worker is done here (P-02, P-03, P-13). Then it becomes the
worker: by exec, or, for Python, by importing the module and calling the function.

The zygote does the same in each process it forks: `prepare` is shared.

Trap: the parent death signal belongs to the *thread* that forked. A child forked in a
secondary thread is killed when that thread ends, so `port_process` forks in the main
thread only. An exec of a set-uid program clears the signal; the end of the stream on fd 3
is the second line.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import sys
from importlib.util import spec_from_file_location
from types import ModuleType
from typing import Any, Final

PORT_FD: Final = 3
UMASK: Final = 0o077
PR_SET_PDEATHSIG: Final = 1
PR_SET_NO_NEW_PRIVS: Final = 38
IOPRIO_SET: Final = {"x86_64": 251, "aarch64": 30}
"""The number of the system call, for which C has no function."""
IOPRIO_WHO_PROCESS: Final = 1
ORPHANED: Final = 70
"""Exit code of a worker whose parent was gone before it could ask for the signal."""
NOT_STARTED: Final = 127
FDS_MAX: Final = 2**20
PACKAGE: Final = "keygrove_actors"


def prepare(parent: int, cwd: str, nice: int, limits: str) -> None:
    """Make this process one that cannot outlive or outgrow what its port allows.

    `limits` is a list like `NOFILE=64:64,AS=-1:-1`; `IOCLASS=3:0` in it is no limit but the
    class of the disk's scheduler. No new privileges can be gained after it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = libc.prctl
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(ORPHANED)
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.umask(UMASK)
    os.chdir(cwd)
    if nice:
        os.nice(nice)
    for limit in filter(None, limits.split(",")):
        name, _, values = limit.partition("=")
        soft, _, hard = values.partition(":")
        if name == "IOCLASS":
            libc.syscall(IOPRIO_SET[os.uname().machine], IOPRIO_WHO_PROCESS, 0, int(soft) << 13)
            continue
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (int(soft), int(hard)))


def place(transport: str) -> None:
    """Leave open fds 0 to 3 only; with `stdio`, the port's socket is both 0 and 1."""
    if transport == "stdio":
        os.dup2(PORT_FD, 0)
        os.dup2(PORT_FD, 1)
        os.close(PORT_FD)
    os.closerange(PORT_FD + 1, FDS_MAX)


def bare_package() -> None:
    """Let the package's modules be imported without its root, which imports the runtime.

    That takes a tenth of a second, and a worker needs none of it. Whoever does ask the
    root for a name gets it: the root is then executed.
    """
    folder = os.path.dirname(os.path.abspath(__file__))
    root = os.path.join(folder, "__init__.py")
    package = ModuleType(PACKAGE)
    package.__path__ = [folder]
    package.__file__ = root

    def find(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if os.path.exists(os.path.join(folder, f"{name}.py")):
            return importlib.import_module(f"{PACKAGE}.{name}")
        del package.__dict__["__getattr__"]
        spec = spec_from_file_location(PACKAGE, root, submodule_search_locations=[folder])
        assert spec is not None
        assert spec.loader is not None
        package.__spec__ = spec
        spec.loader.exec_module(package)
        return getattr(package, name)

    package.__dict__["__getattr__"] = find
    sys.modules[PACKAGE] = package


def entry_point(name: str) -> Any:
    """What `module:attribute` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def main(arguments: list[str]) -> None:
    """Become the worker."""
    parent, transport, cwd, nice, limits, _, program, *rest = arguments
    place(transport)
    prepare(int(parent), cwd, int(nice), limits)
    if program.startswith("@"):
        bare_package()
        sys.argv = [program]
        entry_point(program[1:])()
        return
    try:
        os.execvpe(program, [program, *rest], os.environ)  # noqa: S606 - the spec's own program, no shell
    except OSError as error:
        sys.stderr.write(f"{program} cannot be started: {error.strerror}\n")
        sys.exit(NOT_STARTED)


if __name__ == "__main__":
    main(sys.argv[1:])
