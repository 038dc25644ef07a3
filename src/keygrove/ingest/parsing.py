"""The parsing of bulk as work for processes of its own: what they are asked, and their table.

It imports nothing of the runtime nor of the product's actors, so that a process starts fast.
"""

from keygrove.ingest.steps import Draft, prepare
from keygrove.ingest.verdicts import Rejected, rejected
from keygrove.storage.store import Cause
from keygrove_actors.work import Work, WorkFailure
from keygrove_actors.worker import Job, Table
from keygrove_protocols.errors import ProtocolError


class ParserApi:
    """The protocol of the workers."""


class Parse(Work[ParserApi, Draft | Rejected], frozen=True, tag=True):
    """Take a submission through all steps."""

    data: bytes
    cause: Cause


table = Table()


@table.on(Parse)
def parse(message: Parse, _: Job) -> Draft | Rejected:
    """See `Parse`. A bug of ours is left to the host, which has a log to tell it to."""
    try:
        return prepare(message.data, message.cause)
    except ProtocolError as error:
        return rejected(error)
    except Exception as error:
        raise WorkFailure("internal", type(error).__name__).error() from error
