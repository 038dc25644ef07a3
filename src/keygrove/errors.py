"""What can go wrong in the product itself. Catch KeygroveError to catch it all."""

from collections.abc import Sequence


class KeygroveError(Exception):
    """The root of every error this package raises."""


class SettingsError(KeygroveError):
    """The operator's settings cannot be used as they are. The command exits with 2."""


class UnreadableSettingsError(SettingsError):
    """The file of the settings cannot be read, so that nothing is known of them."""


class ListenError(KeygroveError):
    """An address is taken, or not ours to take."""

    def __init__(self, address: str, key: str, why: str) -> None:
        super().__init__(
            f"cannot listen on {address}: {why}; stop what uses it, or set {key} to another"
        )


class IncapableError(KeygroveError):
    """The libraries of this machine cannot verify all signatures."""

    def __init__(self, lacking: Sequence[str]) -> None:
        super().__init__(
            f"signatures cannot be verified that need {', '.join(lacking)}: install the "
            "`cryptography` of PyPI, and a Python whose OpenSSL has all hash algorithms"
        )


class DataDirError(KeygroveError):
    """The data directory cannot be used, now or at all."""


class InUseError(DataDirError):
    """Another process writes in the data directory."""

    def __init__(self, root: str, holder: str) -> None:
        super().__init__(
            f"the data directory {root} is in use by {holder}: stop it first, "
            "or choose another with --data"
        )


class StoreError(KeygroveError):
    """A shard's files are not what this program can work with."""


class DamagedError(StoreError):
    """What is in a shard's files is not what was written there."""


class UnfitError(StoreError):
    """A file is not damaged, and not for this program, or for who runs it: it says what to do."""


class HistoryError(KeygroveError):
    """How a shard stood at some time is not kept any more, or never was."""

    def __init__(self, change: int) -> None:
        self.change = change
        super().__init__(
            f"how it stood after change {change} is not kept: name a snapshot, or a later time"
        )


class OutOfStepError(KeygroveError):
    """What recon shows cannot be brought up to what is stored: it has to be made anew."""


class TooBroadError(KeygroveError):
    """A search would look at more than it may."""

    def __init__(self) -> None:
        super().__init__("too many certificates have these words: leave common ones out")


class SnapshotError(KeygroveError):
    """What was asked of snapshots cannot be done as it was asked."""


class RollbackError(KeygroveError):
    """A rollback cannot be carried out, or undone, as it was asked for."""


class FencedError(StoreError):
    """Another writes this store now: whoever learns of it must open it anew."""

    def __init__(self) -> None:
        super().__init__(
            "another process has written this shard since it was opened here: see to it that one "
            "server only has this data directory"
        )


class NodeStartError(KeygroveError):
    """An actor could not start, so the server does not."""

    def __init__(self, child: str, why: str) -> None:
        super().__init__(f"{child} could not start: {why}")


class NodeStopError(KeygroveError):
    """Actors did not stop in time, so they were killed."""

    def __init__(self, late: Sequence[str]) -> None:
        super().__init__(
            f"not stopped in order: {', '.join(late)} took too long and was killed; nothing that "
            "was acknowledged is lost, and the next start goes on from there"
        )


class DiskFullError(KeygroveError):
    """The disk has no room for a write. Nothing of that write was kept; reads go on."""

    def __init__(
        self, what: str, advice: str = "free some, nothing of this write was kept"
    ) -> None:
        super().__init__(f"the disk is full, no space left for {what}: {advice}")


class ReadOnlyError(KeygroveError):
    """The file system is read-only. Nothing of a write was kept; reads go on."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} is on a file system that is read-only: see the system's log for why, and "
            "mount it so that it can be written"
        )


class ReportError(KeygroveError):
    """What was to be reported cannot be written."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"cannot write the report {path}: {why}; name another file")


class StartingError(KeygroveError):
    """A store is still being brought up, and cannot answer this yet: ask again later."""

    def __init__(self) -> None:
        super().__init__("the store is still being brought up: try again shortly")


class SecretFileError(KeygroveError):
    """A secret file of the data directory cannot be used as it is, or cannot be made."""


class UnavailableError(KeygroveError):
    """No server answers on the control socket, or it went away while it answered."""


class ExchangeError(KeygroveError):
    """An exchange with another server did not come to its end."""


class UnreachableError(ExchangeError):
    """Nobody answers at an address."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address} cannot be reached: {why}")


class NotComparedError(ExchangeError):
    """There was no session with a server that tells what differs."""

    def __init__(self, address: str, why: str, advice: str) -> None:
        super().__init__(f"{address} was not compared with: {why}: {advice}")


class ConnectionLostError(ExchangeError):
    """A connection broke while it was used."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the connection broke: {why}")


class TooLongError(ExchangeError):
    """An answer is longer than it may be."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the answer is longer than {bytes_max} bytes")
