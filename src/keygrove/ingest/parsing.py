"""Looking into certificates as work for processes of its own: what they are asked, their table.

It imports nothing of the runtime nor of the product's actors, so that a process starts fast.
"""

from keygrove.ingest.steps import Prepared, look_into, look_into_dump, read
from keygrove.ingest.verdicts import Rejected, rejected
from keygrove_actors.work import Work, WorkFailure
from keygrove_actors.worker import Job, Table
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.openpgp.policy import Policy


class ParserApi:
    """The protocol of the workers."""


class Look(Work[ParserApi, Prepared | Rejected], frozen=True, tag=True):
    """Look into what a client sent, which is no revocation."""

    data: bytes
    policy: Policy


class LookIntoDump(Work[ParserApi, Prepared | Rejected], frozen=True, tag=True):
    """Look into certificates of a dump."""

    certificates: tuple[bytes, ...]
    policy: Policy


table = Table()


@table.on(Look)
def look(message: Look, _: Job) -> Prepared | Rejected:
    """See `Look`. A bug of ours is left to the host, which has a log to tell it to."""
    try:
        return look_into(read(message.data), message.policy)
    except ProtocolError as error:
        return rejected(error)
    except Exception as error:
        raise WorkFailure("internal", type(error).__name__).error() from error


@table.on(LookIntoDump)
def look_at_dump(message: LookIntoDump, _: Job) -> Prepared | Rejected:
    """See `LookIntoDump`."""
    try:
        return look_into_dump(message.certificates, message.policy)
    except Exception as error:
        raise WorkFailure("internal", type(error).__name__).error() from error
