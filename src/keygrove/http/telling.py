"""What stands in the way of who runs the server is said in full, on the control socket only."""

from collections.abc import Awaitable, Callable

from keygrove.errors import (
    DamagedError,
    DiskFullError,
    HistoryError,
    RollbackError,
    SnapshotError,
)
from keygrove.http.asgi import Handler, Request, Response
from keygrove.http.errors import BUG, NO_SPACE, HttpError


def in_full(handler: Callable[[Request], Awaitable[Response]]) -> Handler:
    """The handler, with 409 for what cannot be done as it was asked, and the text of the error."""

    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except (RollbackError, SnapshotError, HistoryError) as error:
            raise HttpError(409, str(error)) from error
        except DamagedError as error:
            raise HttpError(BUG.status, str(error)) from error
        except DiskFullError as error:  # administrators can do something about it
            raise HttpError(NO_SPACE.status, str(error)) from error

    return handle
