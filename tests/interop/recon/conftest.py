"""A Keygrove beside real servers."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from keygrove_protocols.openpgp.keys import Digest
from tests.e2e.conftest import Server, Servers, keygrove
from tests.interop.recon.peers import OURS, free_port, held

POSTGRESQL = Path("/usr/lib/postgresql")
HOCKEYPUCK = Path(__file__).parents[3].parent / "shared/peers/hockeypuck/peer"


class Grove:
    """A Keygrove: made first, for the others need its ports, and started when they are known."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self._folder = folder
        self._servers = servers
        self.recon, self.http = free_port(OURS), free_port(OURS)
        self.url = f"http://{OURS}:{self.http}"
        self.data = folder / "data"
        self._file = folder / "keygrove.toml"

    def start(
        self,
        partners: Sequence[str],
        certificates: Sequence[bytes] = (),
        *,
        preset: str = "sks-compatible",
        interval_s: float = 3.0,
    ) -> Server:
        """With partners as tables in one line, and certificates that are loaded before."""
        listed = ", ".join(f"{{{one}}}" for one in partners)
        self._file.write_text(
            f'[http]\nlisten = ["{OURS}:{self.http}"]\n'
            f'[policy]\npreset = "{preset}"\n'
            f'[recon]\nlisten = ["{OURS}:{self.recon}"]\ngossip_interval = {interval_s}\n'
            f"partner = [{listed}]\n"
        )
        if certificates:
            dump = self._folder / "load.pgp"
            dump.write_bytes(b"".join(certificates))
            ended = keygrove("load", "--config", self._file, "--data", self.data, dump)
            assert ended.status == 0, ended.err
        env = {"KEYGROVE_HTTP__LISTEN": f"{OURS}:{self.http}"}
        return self._servers.start("--config", str(self._file), data=self.data, env=env)

    def held(self, digests: Sequence[Digest]) -> set[Digest]:
        return held(self.url, digests)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    started = Servers(tmp_path)
    with ExitStack() as ending:
        ending.callback(started.close)
        yield started


@pytest.fixture
def grove(tmp_path: Path, servers: Servers) -> Grove:
    folder = tmp_path / "grove"
    folder.mkdir()
    return Grove(folder, servers)


@pytest.fixture
def hockeypuck_peer() -> Path:
    found = Path(os.environ.get("HOCKEYPUCK_PEER", HOCKEYPUCK))
    if not found.is_file():
        pytest.skip(f"there is no Hockeypuck: set HOCKEYPUCK_PEER, or have one at {found}")
    if not POSTGRESQL.is_dir():
        pytest.skip(f"no {POSTGRESQL}, which Hockeypuck needs (apt install postgresql)")
    return found
