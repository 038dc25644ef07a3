"""Commands that could not do what they were asked for leave nothing behind."""

import socket
from pathlib import Path

from click.testing import CliRunner

from keygrove.cli.main import main


def test_a_reshard_of_nothing_leaves_no_directory(tmp_path: Path) -> None:
    new = tmp_path / "new"
    ended = CliRunner().invoke(main, ("reshard", "--data", str(new), "--shards", "2"))
    assert (ended.exit_code, new.exists()) == (3, False), ended.output


def test_a_server_whose_address_is_taken_leaves_no_directory(tmp_path: Path) -> None:
    new = tmp_path / "new"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = CliRunner().invoke(main, ("serve", "--data", str(new), "--listen", address))
    assert (ended.exit_code, new.exists()) == (3, False), ended.output
