"""What the product asks of the world outside: small protocols, one per need.

Everything that touches a clock, randomness, files, sockets, threads or processes stands
behind one of these, so that a whole node can run in simulation. `keygrove.system` has the
real ones. Code above may use anyio for tasks, events and sleeping: those belong to the event
loop, which simulation replaces as a whole.
"""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from keygrove.asking import HttpClient
from keygrove_actors.port_process import Launch

T = TypeVar("T")

SqlValue: TypeAlias = int | float | str | bytes | None
Scope: TypeAlias = MutableMapping[str, Any]
"""The ASGI types are dicts of anything by specification; `http.asgi` gives them shape."""
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


class Clock(Protocol):
    """Wall time, and a stopwatch. For deadlines and pauses use the event loop's own clock."""

    def now(self) -> int:
        """Seconds since 1970, UTC, as OpenPGP counts them."""
        ...

    def elapsed(self) -> float:
        """Seconds since some moment: only differences mean anything."""
        ...


class Entropy(Protocol):
    """Randomness nobody can guess."""

    def token(self, size: int) -> bytes:
        """As many random octets."""
        ...


class SqlRows(Protocol):
    """What a statement returned, to be used up within the same callable."""

    def fetchone(self) -> Any:
        """The next row as a tuple, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All remaining rows as tuples."""
        ...


class SqlSession(Protocol):
    """A connection as seen by a callable that runs on its thread."""

    def execute(self, sql: str, values: Sequence[SqlValue] = (), /) -> SqlRows:
        """Run one statement."""
        ...

    def executemany(self, sql: str, rows: Iterable[Sequence[SqlValue]], /) -> object:
        """Run one statement for each row."""
        ...


class SqlDatabase(Protocol):
    """One connection to one SQLite file, outside any transaction between calls."""

    async def run(self, work: Callable[[SqlSession], T], *, can_stop: bool = False) -> T:
        """Run `work` on the connection's thread, after all that was asked before.

        Args:
            can_stop: if the caller is cancelled, have SQLite break `work` off, which may take
                long; otherwise it is done all the same, and where it only reads it is broken off
                after half a minute, because the log grows for as long as somebody reads.

        Raises:
            DiskFullError: the disk is full.
            StoreError: SQLite cannot go on with this file.
        """
        ...


class Databases(Protocol):
    """SQLite files, named by paths relative to the data directory."""

    @property
    def engine(self) -> str:
        """Which SQLite this is, and what an operator should know of it."""
        ...

    def open(
        self, path: str, *, attached: str | None = None, writable: bool = True
    ) -> AbstractAsyncContextManager[SqlDatabase]:
        """Open the file, made if need be; `attached` is a second one, to be read as `side`.

        Neither file is ever checkpointed unless a callable says so: not on closing, either.

        Raises:
            DiskFullError: the disk is full, and it cannot be opened without room.
            StoreError: it cannot be opened.
        """
        ...

    async def is_read_only(self) -> bool:
        """Whether their file system is: then files are opened to be read, and are as they are.

        No file or folder need be there yet.

        Raises:
            StoreError: it cannot be asked.
        """
        ...

    async def holds(self, path: str) -> bool:
        """Whether there is something in that file: to be asked before it is opened.

        Raises:
            StoreError: it cannot be looked at.
        """
        ...

    async def secure(self, path: str) -> None:
        """Make durable what the log of a file that is not open shows, if there is one.

        On a read-only file system, no longer show what is not, as far as the system lets us.

        Raises:
            DiskFullError: the disk is full, and this one needs room even for that.
            StoreError: it cannot be done.
        """
        ...

    async def remove(self, path: str) -> None:
        """Delete a file that is not open, with what SQLite keeps beside it.

        Raises:
            StoreError: it cannot be deleted.
        """
        ...


class RawFiles(Protocol):
    """Files of databases that nobody has open, as they lie there."""

    async def log(self, path: str) -> bytes:
        """The write-ahead log of that database; empty where there is none.

        Raises:
            StoreError: it cannot be read.
        """
        ...

    async def make(self, path: str, like: str) -> None:
        """Make an empty file, for a database, with the owner and the permissions of another.

        Raises:
            StoreError: it cannot be made, or is there.
        """
        ...

    async def replace(self, path: str, by: str, guard: str) -> str:
        """Put the database `by`, which has no log, in the place of `path`, which is kept aside.

        Whatever ends the program meanwhile, there is a file at `path`, or none, and one at `guard`.

        Returns:
            The path under which the one replaced is kept, with its log.

        Raises:
            StoreError: it cannot be done.
        """
        ...


class Room(msgspec.Struct, frozen=True):
    """How much room there is where the data directory lies, in octets."""

    free_bytes: int
    """That this process may fill."""
    total_bytes: int
    reserved_bytes: int
    """Of the file that keeps some, see `Volume.reserve`; 0 without it."""
    is_read_only: bool = False


class Volume(Protocol):
    """The file system of the data directory."""

    async def measure(self) -> Room:
        """How much room there is.

        Raises:
            StoreError: it cannot be asked.
        """
        ...

    async def reserve(self, size_bytes: int) -> None:
        """Keep so much for later, in a file that has its blocks. It replaces one of another size.

        Raises:
            DiskFullError: there is no room for it, and no such file.
            StoreError: it cannot be made.
        """
        ...

    async def release(self) -> None:
        """Remove the file, if there is one.

        Raises:
            StoreError: it cannot be removed.
        """
        ...

    async def sync_s(self, times: int) -> float:
        """The median time, in seconds, that synchronising a page of that file takes.

        Raises:
            StoreError: there is none, or it cannot be written or synchronised.
        """
        ...


class Files(Protocol):
    """Small secret files, named by paths relative to the data directory."""

    async def read(self, path: str, bytes_max: int) -> bytes | None:
        """What is in the file, or None if there is none; more than `bytes_max` is cut off.

        Raises:
            SecretFileError: it cannot be read, or not by its owner alone.
        """
        ...

    async def create(self, path: str, content: bytes) -> None:
        """Make the file, for its owner alone; durable and whole when this returns.

        Raises:
            DiskFullError: there is no room; nothing of it is there.
            SecretFileError: it cannot be made.
        """
        ...


class Compute(Protocol):
    """Room for work that would hold the event loop for too long."""

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` elsewhere and return what it returns."""
        ...


class Workers(msgspec.Struct, frozen=True):
    """Processes for work that keeps a core busy: how many pay, and how they are started.

    Fewer than two do not: they would take turns with this one.
    """

    count: int = 1
    launch: Launch | None = None
    """None starts real ones."""


class Endpoint(Protocol):
    """A place where clients reach a listener. Open before the listener starts and after."""

    @property
    def address(self) -> str:
        """HOST:PORT as bound, or the path of a Unix socket."""
        ...


class HttpServers(Protocol):
    """ASGI servers."""

    def serving(self, app: AsgiApp, endpoint: Endpoint) -> AbstractAsyncContextManager[None]:
        """Serve while the block runs; at its end finish the requests begun, within seconds."""
        ...


class ByteStream(Protocol):
    """One connection. Only one task at a time may read, and one write."""

    async def receive(self) -> bytes:
        """What comes next, some 64 KiB at most; b"" once the other end has closed.

        Raises:
            ConnectionLostError: it is broken.
        """
        ...

    async def send(self, octets: bytes) -> None:
        """Write all of it, at once if the other end has room; what is written is not held back.

        Raises:
            ConnectionLostError: it is broken.
        """
        ...

    async def aclose(self) -> None:
        """Close it, whatever state it is in. What was written is still sent."""
        ...


Converse: TypeAlias = Callable[[ByteStream, str], Awaitable[None]]
"""What is done with a connection, and the address that it comes from. It is closed at the end."""


class Streams(Protocol):
    """TCP."""

    async def resolve(self, host: str) -> tuple[str, ...]:
        """The addresses of a host; an address is its own.

        Raises:
            UnreachableError: it has none.
        """
        ...

    async def connect(self, host: str, port: int, *, bind: str = "") -> ByteStream:
        """Connect, from the address `bind` if it is given. Its deadline is the caller's.

        Raises:
            UnreachableError: nobody answers there.
        """
        ...

    def listening(
        self, converse: Converse, endpoint: Endpoint
    ) -> AbstractAsyncContextManager[None]:
        """Take connections while the block runs; at its end those under way are broken off."""
        ...


class Ports(msgspec.Struct, frozen=True):
    """The world as one node sees it."""

    clock: Clock
    entropy: Entropy
    databases: Databases
    volume: Volume
    files: Files
    compute: Compute
    """For what comes in."""
    answers: Compute
    """For answers: whoever waits for one is not to wait until what others sent is looked into."""
    servers: HttpServers
    streams: Streams
    client: HttpClient
    workers: Workers = Workers()
