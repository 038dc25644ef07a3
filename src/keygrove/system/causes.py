"""Why a connection could not be had, or broke: in the system's words.

What tries several addresses of a host says only that all failed; the reasons are behind that.
"""

import os
import socket
import ssl
from collections.abc import Iterator


def cause_of(error: BaseException) -> str:
    """The reasons, each once; what the error says itself where there are none."""
    return "; ".join(dict.fromkeys(_reasons(error))) or str(error)


def _reasons(error: BaseException | None) -> Iterator[str]:
    match error:
        case None:
            return
        case BaseExceptionGroup():
            for one in error.exceptions:
                yield from _reasons(one)
        case UnicodeError():
            yield "no host has such a name"
        case socket.gaierror():
            yield f"no such host ({error.strerror})"
        case ssl.SSLError():  # its number is none of the system's
            yield str(error)
        case OSError(errno=int(number)):
            yield os.strerror(number)
        case _:
            yield from _reasons(error.__cause__ or error.__context__)
