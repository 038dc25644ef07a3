"""TCP to other hosts."""

import errno
import os
import socket

import anyio
import pytest

from keygrove.asking import HttpRequest
from keygrove.errors import UnreachableError
from keygrove.system.causes import cause_of
from keygrove.system.outbound import HttpcoreClient
from keygrove.system.tcp import TcpStreams


@pytest.mark.parametrize(
    ("host", "shown"), [("::1", "[::1]:1"), ("127.0.0.1", "127.0.0.1:1")], ids=str
)
def test_an_address_where_nobody_is_stands_in_the_error_as_in_settings(
    host: str, shown: str
) -> None:
    """TCP port 1 is nobody's here; without IPv6 there is no way to it, which is as good."""
    with pytest.raises(UnreachableError) as failed:
        anyio.run(TcpStreams().connect, host, 1)
    assert str(failed.value).startswith(f"{shown} cannot be reached: ")


@pytest.mark.parametrize("way", ["TCP", "HTTP"])
def test_why_nobody_can_be_reached_is_told_in_the_words_of_the_system(way: str) -> None:
    async def story(port: int) -> None:
        if way == "TCP":
            await TcpStreams().connect("127.0.0.1", port)
        else:
            url = f"http://127.0.0.1:{port}/"
            await HttpcoreClient().post(HttpRequest(url, b"", "text/plain", bytes_max=1))

    with socket.socket() as silent:  # it has the port, and does not listen
        silent.bind(("127.0.0.1", 0))
        with pytest.raises(UnreachableError) as failed:
            anyio.run(story, silent.getsockname()[1])
    assert str(failed.value).endswith(f" cannot be reached: {os.strerror(errno.ECONNREFUSED)}")


def test_of_several_addresses_each_reason_is_told_once() -> None:
    refused, no_way = OSError(errno.ECONNREFUSED, "x"), OSError(errno.EHOSTUNREACH, "y")
    error = OSError("All connection attempts failed")
    error.__cause__ = ExceptionGroup("several", [refused, no_way, refused])
    words = [os.strerror(one) for one in (errno.ECONNREFUSED, errno.EHOSTUNREACH)]
    assert cause_of(error) == "; ".join(words)
