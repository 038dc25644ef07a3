"""Commands that messages suggest work when they are pasted."""

import re
import shlex
from pathlib import Path

from tests.e2e.conftest import Servers, keygrove, make_certificate

SOME = [make_certificate(f"hint {number}", ["Hint"]) for number in range(3)]


def suggested(text: str) -> list[str]:
    """The arguments of the first command that a text suggests."""
    found = re.search(r"keygrove ([^`;\n]+)", text)
    assert found is not None, text
    return shlex.split(found[1])


def test_a_load_and_a_rollback_say_how_each_is_taken_back(servers: Servers, tmp_path: Path) -> None:
    server = servers.start(data=tmp_path / "the data")
    dump = tmp_path / "dump.pgp"
    dump.write_bytes(b"".join(one.packets for one in SOME))
    loaded = keygrove("load", "--data", server.data, dump)
    taken = keygrove(*suggested(loaded.err))
    assert taken.status == 0, taken.err
    assert server.total() == 0
    again = keygrove(*suggested(taken.err.splitlines()[-1]))
    assert again.status == 0, again.err
    assert server.total() == len(SOME)


def test_an_error_suggests_commands_with_the_settings_that_were_given(
    servers: Servers, tmp_path: Path
) -> None:
    server = servers.start()
    settings = tmp_path / "settings.toml"
    settings.write_text("")
    given = ("--config", str(settings), "--data", str(server.data))
    unknown = keygrove("snapshot", "diff", *given, "never")
    assert suggested(unknown.err) == ["snapshot", "list", *given]
    assert keygrove(*suggested(unknown.err)).status == 0
    unknown = keygrove("rollback", "--undo", "never", env={"KEYGROVE_DATA_DIR": str(server.data)})
    assert suggested(unknown.err) == ["rollback", "--status"]
    in_use = keygrove("reshard", *given, "--shards", "3")
    assert "is in use by keygrove serve (process" in in_use.err
