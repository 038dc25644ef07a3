"""Keygrove with partners of recon."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.e2e.conftest import Ended, Server, Servers, eventually, keygrove
from tests.interop.recon.corpus import Cert, written
from tests.interop.recon.ports import free_ports

INTERVAL_S = 0.2


class Partner(NamedTuple):
    """A partner in the settings."""

    name: str
    recon_port: int
    http_port: int | None = None
    begins: bool = False
    """Whether we begin sessions by ourselves."""


class Node:
    """One `keygrove serve`."""

    def __init__(self, servers: Servers, folder: Path, *, preset: str = "sks-compatible") -> None:
        folder.mkdir()
        self.http_port, self.recon_port = free_ports(2)
        self.data = folder / "data"
        self._folder = folder
        self._servers = servers
        self._preset = preset
        self.env = {
            "KEYGROVE_STORAGE__SHARDS": "2",
            "KEYGROVE_POLICY__PRESET": preset,
            "KEYGROVE_HTTP__LISTEN": f'["127.0.0.1:{self.http_port}"]',
        }
        self._server: Server | None = None

    @property
    def server(self) -> Server:
        """Where it runs."""
        assert self._server is not None, "not started"
        return self._server

    def load(self, several: Iterable[Cert]) -> None:
        """Hold these, before it is started."""
        file = written(several, self._folder / "keys.pgp")
        ended = keygrove("load", "--data", self.data, file, env=self.env)
        assert ended.status == 0, ended.err

    def start(self, *partners: Partner, told_http_port: int = 0) -> None:
        """Start it with these partners, which are told to fetch at that port, if not at ours.

        Then it is ready for sessions.
        """
        lines = [
            "[recon]",
            f'listen = ["127.0.0.1:{self.recon_port}"]',
            f"gossip_interval = {INTERVAL_S}",
            f"http_port = {told_http_port}",
        ]
        for one in partners:
            lines += ["[[recon.partner]]", f'name = "{one.name}"']
            lines += [f'recon = "127.0.0.1:{one.recon_port}"']
            lines += [f"weight = {100 if one.begins else 0}"]
            if one.http_port is not None:
                lines += [f'http = "127.0.0.1:{one.http_port}"']
        settings = self._folder / "keygrove.toml"
        settings.write_text("\n".join(lines) + "\n")
        self._server = self._servers.start("--config", str(settings), data=self.data, env=self.env)
        eventually(lambda: self.status()["tree"]["waiting_for"] == "")

    def stop(self) -> None:
        """Stop it in order."""
        assert self.server.stop() == 0, self.server.log()

    def command(self, *words: str) -> Ended:
        """Run a command with the settings that it was started with, beside it or without it."""
        settings = ("--config", self._folder / "keygrove.toml", "--data", self.data)
        return keygrove(*words, *settings, env=self.env)

    def now(self, partner: str) -> dict[str, Any]:
        """Begin a session, and tell how it ended."""
        with self.server.control() as control:
            answer = control.post("/recon/now", params={"partner": partner}, timeout=100.0)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def status(self) -> dict[str, Any]:
        """How recon stands."""
        with self.server.control() as control:
            found: dict[str, Any] = control.get("/recon").json()
        return found

    def partner(self, name: str) -> dict[str, Any]:
        """How recon with a partner stands."""
        (found,) = (one for one in self.status()["partners"] if one["name"] == name)
        peer: dict[str, Any] = found["peer"]
        return peer

    def results(self, name: str) -> Mapping[str, int]:
        """What became of the certificates that were fetched from a partner."""
        found: dict[str, int] = self.partner(name)["recovery"]["results"]
        return found

    def digests(self) -> set[str]:
        """Of what it holds now."""
        ended = keygrove("digests", "--data", self.data, env=self.env)
        assert ended.status == 0, ended.err
        return set(ended.out.split())
