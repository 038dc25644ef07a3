"""A partner that says again what a real one said, on real sockets, and answers hashqueries."""

import socket
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from select import select
from threading import Thread
from typing import Final

from tests.interop.recon.accepting import Accepting

POLY, FULL, ELEMENTS, DONE, FLUSH = 0, 1, 2, 5, 6
SYNC_FAIL: Final = b"\0\0\0\1\4"
HOCKEYPUCK_S: Final = 3.0
"""So long it waits for an answer."""
UNASKED_S: Final = 0.2
PATIENCE_S: Final = 30.0
HANDSHAKE: Final = 2
"""The config and the verdict."""


def frames(octets: bytes) -> list[bytes]:
    """What is said, each with its length; the verdict looks as a message does."""
    found: list[bytes] = []
    at = 0
    while at < len(octets):
        end = at + 4 + int.from_bytes(octets[at : at + 4])
        found.append(octets[at:end])
        at = end
    return found


def kind(frame: bytes) -> int:
    """The type of a message."""
    return frame[4]


class Line:
    """A connection, read frame by frame."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        self._connection = connection
        self._file = connection.makefile("rb")

    def say(self, several: Iterable[bytes]) -> None:
        """In one write."""
        self._connection.sendall(b"".join(several))

    def hear(self) -> bytes:
        """The next frame; nothing: there is none."""
        length = self._file.read(4)
        return length + self._file.read(int.from_bytes(length))

    def has_something(self, within_s: float) -> bool:
        """Whether anything more comes so soon. Nothing may have been read ahead."""
        return bool(select([self._connection], [], [], within_s)[0])

    def glance(self) -> bytes:
        """All that is there at this moment."""
        return self._connection.recv(1 << 24, socket.MSG_DONTWAIT)

    def close(self) -> None:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._file.close()
        self._connection.close()


def as_initiator(said: bytes, port: int) -> None:
    """Begin a session there, and answer each request with what was answered then."""
    line = Line(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
    try:
        answers = frames(said)
        line.say(answers[:HANDSHAKE])
        del answers[:HANDSHAKE]
        for _ in range(HANDSHAKE):
            assert line.hear()
        asked = 0
        while (frame := line.hear()) and kind(frame) != DONE:
            asked += kind(frame) in {POLY, FULL}
            if kind(frame) == FLUSH:
                line.say(answers[:asked])
                del answers[:asked]
                asked = 0
        assert not answers
    finally:
        line.close()


Script = Callable[[Line], None]


def as_acceptor(said: bytes) -> Script:
    """Ask what was asked then, each batch when the one before is answered."""

    def script(line: Line) -> None:
        asked = 0
        for at, frame in enumerate(frames(said)):
            line.say([frame])
            if at < HANDSHAKE:
                assert line.hear()
                continue
            asked += kind(frame) in {POLY, FULL}
            if kind(frame) == FLUSH:
                for _ in range(asked):
                    assert line.hear()
                asked = 0
        assert line.hear() == b""

    return script


def as_hockeypuck(said: bytes) -> Script:
    """The same as impatiently as Hockeypuck: what is there in parts is lost to it (T3).

    It awaits an answer for so long only, and then looks just once. Nothing may come before it says
    Flush, or it would be read as what it is not.
    """

    def script(line: Line) -> None:
        asked = 0
        for at, frame in enumerate(frames(said)):
            if at >= HANDSHAKE and kind(frame) == FLUSH:
                assert not line.has_something(UNASKED_S), "it did not wait for the Flush"
            line.say([frame])
            if at < HANDSHAKE:
                assert line.hear()
                continue
            asked += kind(frame) in {POLY, FULL}
            if kind(frame) == FLUSH:
                assert line.has_something(HOCKEYPUCK_S), "it was too late"
                answers = frames(line.glance())
                assert len(answers) == asked, "not all came in one piece"
                assert all(len(one) == 4 + int.from_bytes(one[:4]) for one in answers)
                asked = 0
        assert line.hear() == b""

    return script


def as_leaf(said: bytes, held: Iterable[bytes], port: int) -> list[bytes]:
    """Begin a session there with few digests, and answer as a leaf of Hockeypuck does.

    That is SyncFail to samples though it has no children (T6), and to any list all that it has
    besides, whatever the prefix (T5).

    Returns:
        The requests.
    """
    mine = set(held)
    line = Line(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
    asked: list[bytes] = []
    try:
        line.say(frames(said)[:HANDSHAKE])
        for _ in range(HANDSHAKE):
            assert line.hear()
        answers: list[bytes] = []
        while (frame := line.hear()) and kind(frame) != DONE:
            if kind(frame) == POLY:
                answers.append(SYNC_FAIL)
            elif kind(frame) == FULL:
                answers.append(_elements(mine - _listed(frame)))
            elif kind(frame) == FLUSH:
                line.say(answers)
                answers.clear()
                continue
            asked.append(frame)
        assert kind(frame) == DONE
    finally:
        line.close()
    return asked


def _listed(frame: bytes) -> set[bytes]:
    """The digests in a ReconRqstFull."""
    start = 5 + 8 + int.from_bytes(frame[9:13]) + 4
    return {frame[at : at + 16] for at in range(start, len(frame), 17)}


def _elements(digests: Iterable[bytes]) -> bytes:
    body = [one + b"\0" for one in digests]
    octets = bytes([ELEMENTS]) + len(body).to_bytes(4) + b"".join(body)
    return len(octets).to_bytes(4) + octets


def bluntly(octets: bytes) -> Script:
    """Say all at once, and close when nothing more comes; without a word, at once."""

    def script(line: Line) -> None:
        line.say([octets])
        while octets and line.hear():
            pass

    return script


class Listening(Accepting):
    """Plays a script to whoever connects."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.errors: list[BaseException] = []
        super().__init__()

    def serve(self, connection: socket.socket) -> None:
        """See `Accepting`."""
        line = Line(connection)
        try:
            self.script(line)
        except ConnectionError:
            pass
        except (AssertionError, OSError) as error:
            self.errors.append(error)
        finally:
            line.close()


class Answering:
    """Answers hashqueries as SKS does, the last one asked for first."""

    def __init__(self, held: Mapping[str, bytes]) -> None:
        self.asked: list[str] = []
        answering = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                digests = [body[at + 4 : at + 20].hex() for at in range(4, len(body), 20)]
                answering.asked += digests
                found = [held[one] for one in reversed(digests) if one in held]
                listed = b"".join(len(one).to_bytes(4) + one for one in found)
                answer = len(found).to_bytes(4) + listed + b"\r\n"
                self.send_response(200)
                self.send_header("Content-Type", "pgp/keys")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_request(self, code: object = "-", size: object = "-") -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
