"""The port by which other servers are asked over HTTP; see `ports`."""

from typing import Final, Protocol

import msgspec


class HttpReply(msgspec.Struct, frozen=True):
    """What a server of others answered."""

    status: int
    body: bytes
    headers: dict[str, str] = {}
    """Their names in lower case; of one that is there twice, the last."""


HTTP_CONNECT_S: Final = 15.0
"""So long an `HttpClient` tries to connect: whom four packets of TCP do not reach is not there."""


class HttpRequest(msgspec.Struct, frozen=True):
    """What is posted to a server of others.

    Args:
        bytes_max: of the answer's body.
        bind: the address to ask from; empty: whichever the system takes.
        headers: beside the client's own.
    """

    url: str
    body: bytes
    content_type: str
    bytes_max: int
    bind: str = ""
    headers: dict[str, str] = {}


class HttpClient(Protocol):
    """Requests to servers of others. Their redirections are not followed."""

    async def post(self, request: HttpRequest) -> HttpReply:
        """Post it, and read the answer. The deadline is the caller's.

        No answer of the server's is an error of ours, whatever its status.

        Raises:
            UnreachableError: nobody answers there, within `HTTP_CONNECT_S`.
            ConnectionLostError: the answer was cut off.
            TooLongError: the answer is longer than `bytes_max`; no more of it was read.
        """
        ...
