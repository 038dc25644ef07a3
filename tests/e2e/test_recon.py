"""Recon of the installed command on real sockets: partners that misbehave, and its commands."""

import json
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

import pytest

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.frames import Decoder, Verdict, encode_verdict
from keygrove_protocols.recon.messages import (
    Config,
    Done,
    Elements,
    Flush,
    FullRequest,
    Message,
    PolyRequest,
    encode,
)
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.terms import DEFAULT_FILTERS, config_of
from tests.e2e.conftest import Server, Servers, eventually, keygrove, make_certificate
from tests.processes import PATIENCE_S

pytestmark = pytest.mark.slow

HOST = "127.0.0.1"


class Line:
    """A connection as a script sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._decoder = Decoder()

    def say(self, *messages: Message) -> None:
        self.connection.sendall(b"".join(map(encode, messages)))

    def hear(self) -> Message:
        while (message := self._decoder.message()) is None:
            self._more()
        return message

    def shake_hands(self) -> Config:
        self.say(config_of(http_port=9, filters=DEFAULT_FILTERS, identity=b"scripted"))
        config = self.hear()
        assert isinstance(config, Config)
        self.connection.sendall(encode_verdict(Verdict()))
        while self._decoder.verdict() is None:
            self._more()
        self._decoder.admit_all()
        return config

    def _more(self) -> None:
        octets = self.connection.recv(65_536)
        if not octets:
            raise EOFError
        self._decoder.feed(octets)


Script: TypeAlias = Callable[[Line], None]


class Partner:
    """A listening socket, behind which a script deals with each connection."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.met = 0
        self._listening = socket.create_server((HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self.met += 1
                threading.Thread(target=self._meet, args=(connection,), daemon=True).start()

    def _meet(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, EOFError):
            connection.settimeout(PATIENCE_S)
            self.script(Line(connection))


@contextmanager
def partner(script: Script) -> Generator[Partner, None, None]:
    found = Partner(script)
    try:
        yield found
    finally:
        found.close()


def well(line: Line) -> None:
    line.shake_hands()
    line.say(FullRequest(ROOT), Flush())
    assert isinstance(line.hear(), Elements)
    line.say(Done())


def ahead(line: Line) -> None:
    """Has a certificate that we lack, where nobody answers for it."""
    line.shake_hands()
    line.say(FullRequest(ROOT, (Digest(b"\1" * 16),)), Flush())
    assert isinstance(line.hear(), Elements)
    line.say(Done())


def garbage(line: Line) -> None:
    line.connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    line.connection.recv(1)


def nothing(line: Line) -> None:
    while line.connection.recv(1000):
        pass


def too_much(line: Line) -> None:
    line.shake_hands()
    line.connection.sendall(b"\x7f\xff\xff\xff\x01")
    line.connection.recv(1)


def half(line: Line) -> None:
    line.shake_hands()
    line.connection.sendall(b"\x00\x00\x00\x09\x01\x00\x00")


def flood(line: Line) -> None:
    line.shake_hands()
    while True:
        line.say(*[PolyRequest(ROOT, 99_999, (1, 2, 3, 4, 5, 6))] * 50)


def free_port() -> int:
    with socket.create_server((HOST, 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def settings(folder: Path, *, allow: str = "", port: int = 0, **partners: int) -> Path:
    file = folder / "keygrove.toml"
    tables = [
        f'[[recon.partner]]\nname = "{name}"\nrecon = "{HOST}:{port}"\n'
        for name, port in partners.items()
    ]
    head = f'[recon]\nlisten = ["{HOST}:{port}"]\ngossip_interval = 0.2\nallow = [{allow}]\n'
    file.write_text(head + "".join(tables))
    return file


def started(servers: Servers, file: Path) -> Server:
    return servers.start("--config", str(file))


def rounds(server: Server, name: str, result: str) -> float:
    return server.metric("keygrove_recon_rounds_total", partner=name, result=result)


@pytest.mark.parametrize("script", [garbage, too_much, half, flood])
def test_a_partner_that_misbehaves_is_counted_and_others_go_on(
    servers: Servers, tmp_path: Path, script: Script
) -> None:
    with partner(script) as bad, partner(well) as good:
        server = started(servers, settings(tmp_path, bad=bad.port, good=good.port))
        eventually(lambda: rounds(server, "bad", "failed") + rounds(server, "bad", "refused") >= 2)
        before = rounds(server, "good", "done")
        eventually(lambda: rounds(server, "good", "done") >= before + 3)
        assert server.http.get("/readyz").status_code == 200
        assert not [one for one in server.events() if one["level"] == "error"]


def test_a_partner_that_says_nothing_holds_up_nobody(servers: Servers, tmp_path: Path) -> None:
    with partner(nothing) as bad, partner(well) as good:
        server = started(servers, settings(tmp_path, bad=bad.port, good=good.port))
        eventually(lambda: bad.met >= 1)
        eventually(lambda: rounds(server, "good", "done") >= 3)
        assert server.stop() == 0


def test_partners_are_read_again_on_a_hangup(servers: Servers, tmp_path: Path) -> None:
    with partner(well) as first, partner(well) as second:
        file = settings(tmp_path, first=first.port)
        server = started(servers, file)
        eventually(lambda: rounds(server, "first", "done") >= 1)
        settings(tmp_path, second=second.port)
        server.send_signal(signal.SIGHUP)
        eventually(lambda: rounds(server, "second", "done") >= 1)
        status = json.loads(keygrove("recon", "status", "--json", "--data", server.data).out)
        assert [one["name"] for one in status["partners"]] == ["second"]

        def refusals() -> list[object]:
            events = server.events()
            return [one["why"] for one in events if one["event"] == "settings not read again"]

        file.write_text(f'{file.read_text()}[[push]]\nto = "hkp://{HOST}:9"\n')
        server.send_signal(signal.SIGHUP)
        late = "heeded at a start only: push; start the server anew"
        eventually(lambda: refusals() == [late])
        file.write_text("nonsense")
        server.send_signal(signal.SIGHUP)
        eventually(lambda: len(refusals()) == 2)
        before = rounds(server, "second", "done")
        eventually(lambda: rounds(server, "second", "done") > before)


def test_the_commands_show_partners_and_begin_sessions(servers: Servers, tmp_path: Path) -> None:
    with partner(well) as good, partner(garbage) as bad:
        server = started(servers, settings(tmp_path, good=good.port, bad=bad.port))
        assert server.add(make_certificate("recon", ["R <r@recon.example>"]).packets).is_success
        eventually(lambda: rounds(server, "good", "done") >= 1)
        shown = keygrove("recon", "status", "--data", server.data)
        assert shown.status == 0
        heading, *rows = (line.split("\t") for line in shown.out.splitlines())
        assert heading[:2] == ["partner", "circuit"]
        assert sorted(row[0] for row in rows) == ["bad", "good"]
        assert all(len(row) == len(heading) for row in rows)
        assert "partners see 1 certificate" in shown.err
        assert "bad: our last session: " in shown.err

        def begun() -> bool:
            return keygrove("recon", "now", "good", "--data", server.data).status == 0

        eventually(begun)
        about = keygrove("status", "--data", server.data)
        assert "recon: 1 of 2 partners work\n" in about.out
        ended = keygrove("recon", "now", "bad", "--data", server.data)
        assert (ended.status, "bad: " in ended.err, ended.out) == (1, True, "")
        unknown = keygrove("recon", "now", "nobody", "--data", server.data)
        assert unknown.status == 1
        assert "there is no partner 'nobody' in the settings, but good, bad" in unknown.err


def closed(line: Line) -> None:
    """As whoever does not know the address, or is busy."""


@pytest.mark.parametrize(
    ("script", "advice"),
    [
        (garbage, "see whether this is its recon port, 11370 as a rule"),
        (closed, "a server closes at once on addresses that are not its partners'"),
    ],
)
def test_of_a_session_that_does_not_come_about_it_is_said_what_to_do(
    servers: Servers, tmp_path: Path, script: Script, advice: str
) -> None:
    with partner(script) as one:
        server = started(servers, settings(tmp_path, one=one.port))
        config = ("--config", tmp_path / "keygrove.toml", "--data", server.data)

        def told() -> bool:
            ended = keygrove("recon", "now", "one", *config)
            assert (ended.status, ended.out) == (1, "")
            return advice in ended.err  # else a session of the server's own was under way

        eventually(told)
        compared = keygrove("recon", "diff", "one", *config)
        assert (compared.status, advice in compared.err) == (3, True)


def test_what_is_lacking_here_is_said_to_be_fetched_and_where_to_see_what_came_of_it(
    servers: Servers, tmp_path: Path
) -> None:
    with partner(ahead) as one:
        server = started(servers, settings(tmp_path, one=one.port))
        data = ("--data", server.data)

        def begun() -> bool:
            ended = keygrove("recon", "now", "one", *data)
            if ended.status:  # another session is under way
                return False
            assert "one: 1 certificate lacking here, 0 there; " in ended.out
            assert f"`keygrove recon status --data {server.data}` shows what" in ended.err
            return True

        def told() -> bool:
            shown = keygrove("recon", "status", *data)
            heading, row = (line.split("\t") for line in shown.out.splitlines())
            cells = dict(zip(heading, row, strict=True))
            assert int(cells["lacking here"]) >= 1
            assert int(cells["waiting"]) + int(cells["given up"]) >= 1
            assert (cells["passed over"], cells["taken"], cells["not taken"]) == ("0", "0", "0")
            return f"fetching from it: http://{HOST}:9/pks/hashquery cannot be reached" in shown.err

        eventually(begun)
        eventually(told)


def test_a_session_that_cannot_begin_now_ends_the_command_with_1(
    servers: Servers, tmp_path: Path
) -> None:
    with partner(nothing) as silent:
        server = started(servers, settings(tmp_path, silent=silent.port))
        eventually(lambda: silent.met >= 1)
        ended = keygrove("recon", "now", "silent", "--data", server.data)
        assert (ended.status, "busy: another session with it" in ended.err) == (1, True)


def test_statistics_show_partners_as_hockeypuck_does(servers: Servers, tmp_path: Path) -> None:
    with partner(well) as good, partner(garbage) as bad:
        server = started(servers, settings(tmp_path, good=good.port, bad=bad.port))
        eventually(lambda: rounds(server, "good", "done") and rounds(server, "bad", "refused"))
        stats = server.http.get("/pks/stats", params={"options": "json"}).json()
        peers = {peer["name"]: peer for peer in stats["peers"]}
        assert peers["good"]["reconStatus"] == "OK"
        assert peers["good"]["httpAddr"] == f"{HOST}:9"
        assert peers["good"]["statsPath"] == "/pks/lookup?op=stats"
        assert peers["good"]["lastOutgoingError"] == "%!q(<nil>)"
        assert json.loads(peers["bad"]["lastOutgoingError"])
        assert peers["good"]["lastOutgoingRecon"].startswith("20")
        assert peers["bad"]["reconStatus"] == "Error"
        assert peers["bad"]["lastIncomingRecon"] == "0001-01-01T00:00:00Z"
        page = server.http.get("/pks/stats").text
        assert "<td>good</td>" in page


def test_without_recon_the_commands_say_so(servers: Servers) -> None:
    server = servers.start()
    ended = keygrove("recon", "status", "--data", server.data)
    assert (ended.status, ended.out) == (1, "")
    assert "there is no recon, since the server was started without" in ended.err


def test_a_stranger_is_closed_without_an_octet(servers: Servers, tmp_path: Path) -> None:
    port = free_port()
    server = started(servers, settings(tmp_path, port=port))
    with socket.create_connection((HOST, port), timeout=PATIENCE_S) as connection:
        assert connection.recv(1) == b""
    eventually(lambda: server.metric("keygrove_recon_turned_away_total", why="stranger") == 1)


def test_who_may_connect_without_being_a_partner_is_asked_as_one(
    servers: Servers, tmp_path: Path
) -> None:
    port = free_port()
    server = started(servers, settings(tmp_path, allow=f'"{HOST}/32"', port=port))

    def asked() -> bool:
        with (
            suppress(EOFError),
            socket.create_connection((HOST, port), timeout=PATIENCE_S) as connection,
        ):
            line = Line(connection)
            line.shake_hands()
            request = line.hear()
            line.say(Elements())
            assert isinstance(line.hear(), Flush)
            assert isinstance(line.hear(), Done)
            return isinstance(request, FullRequest)
        return False

    eventually(asked)  # at first its tree may not be up
    eventually(lambda: rounds(server, "guest", "done") == 1)
    status = json.loads(keygrove("recon", "status", "--json", "--data", server.data).out)
    assert [one["name"] for one in status["partners"]] == [f"guest:{HOST}"]
    begun = keygrove("recon", "now", f"guest:{HOST}", "--data", server.data)
    assert begun.status == 1
    assert f"there is no partner 'guest:{HOST}' in the settings, but none" in begun.err
    assert server.http.get("/pks/stats", params={"options": "json"}).json()["peers"] == []
