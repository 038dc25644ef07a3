"""TCP to other hosts."""

import anyio
import pytest

from keygrove.errors import UnreachableError
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
