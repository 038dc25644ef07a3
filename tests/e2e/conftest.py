"""What the tests of the installed command share: servers, gpg, sq, and certificates made here.

The certificates are made by these few lines of their own, with real signatures, so that no
mistake of the product's reader hides behind the same one in its writer.
"""

import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Condition, Thread
from typing import IO, Any, NamedTuple, Self, TypeVar

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import PATIENCE_S

T = TypeVar("T")

COMMAND = Path(sys.executable).parent / "keygrove"
VECTORS = Path(__file__).parent.parent / "vectors"
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-keyring.gpg")
COMMAND_S = 60.0
POLL_S = 0.01


def eventually(
    check: Callable[[], T | None], *, within_s: float = PATIENCE_S, every_s: float = POLL_S
) -> T:
    """Check again and again until there is something true, or fail at the deadline.

    For what another process does and nothing tells: where an end, a line or an answer does,
    wait for that.
    """
    deadline = time.monotonic() + within_s
    while True:
        found = check()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {check}"
        time.sleep(every_s)


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, less what would change the command's settings; metrics take any free port."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KEYGROVE_")}
    return kept | {"KEYGROVE_METRICS__LISTEN": "127.0.0.1:0", "NO_COLOR": "1"} | dict(changes or {})


class Ended(NamedTuple):
    """A program that has ended."""

    status: int
    out: str
    err: str


def run(
    arguments: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    within_s: float = COMMAND_S,
) -> Ended:
    ended = subprocess.run(
        arguments, input=stdin, capture_output=True, env=env, timeout=within_s, check=False
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def keygrove(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    within_s: float = COMMAND_S,
) -> Ended:
    """Run the installed command to its end."""
    return run([COMMAND, *arguments], env=environment(env), stdin=stdin, within_s=within_s)


class Reply(NamedTuple):
    """An HTTP answer, read without a library that would be lenient."""

    status: int
    headers: dict[str, str]
    body: bytes


def read_reply(connection: socket.socket) -> Reply:
    """Read one answer, as much as it announces: what follows is another's."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        octet = connection.recv(1)
        assert octet, f"the connection ended inside of the answer's head: {data!r}"
        data += octet
    first, *lines = data.decode("latin-1").strip().split("\r\n")
    pairs = [line.partition(":") for line in lines]
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    body, length = b"", int(headers.get("content-length", "0"))
    while len(body) < length:
        part = connection.recv(length - len(body))
        assert part, "the connection ended inside of the answer"
        body += part
    return Reply(int(first.split(" ")[1]), headers, body)


class Lines:
    """What a program prints, read while it runs."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.text = ""
        self._is_over = False
        self._more = Condition()
        Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                with self._more:
                    self.text += line.decode()
                    self._more.notify_all()
        with self._more:
            self._is_over = True
            self._more.notify_all()

    def find(self, pattern: str, within_s: float) -> str:
        """The first group of `pattern`, as soon as it is printed."""
        with self._more:
            self._more.wait_for(lambda: self._is_over or re.search(pattern, self.text), within_s)
            found = re.search(pattern, self.text)
        assert found is not None, f"no {pattern!r} in what it printed: {self.text}"
        return found[1]


class Server:
    """A `keygrove serve` process, on ports that the system chose."""

    def __init__(
        self, data: Path, folder: Path, options: Sequence[str], env: Mapping[str, str] | None
    ) -> None:
        self.data = data
        self._folder = folder
        self._options = options
        self._env = environment(env)
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self.url = self.metrics_url = ""
        self.stderr: int | None = None
        """Where it logs to, if not to a file."""
        self.http = httpx.Client()

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def hkp(self) -> str:
        """The keyserver as gpg and sq write it."""
        return self.url.replace("http:", "hkp:")

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def _log(self) -> Path:
        return self._folder / f"log-{self._starts}"

    def start(self) -> Self:
        """Start it, the first time or again, and wait until it serves."""
        self._starts += 1
        arguments: list[str | Path] = [COMMAND, "serve", "--data", self.data]
        arguments += ["--log-format", "json"]
        if "--listen" not in self._options and "KEYGROVE_HTTP__LISTEN" not in self._env:
            arguments += ["--listen", "127.0.0.1:0"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*arguments, *self._options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log if self.stderr is None else self.stderr,
                env=self._env,
            )
        assert self._process.stdout is not None
        said = Lines(self._process.stdout)
        try:
            self.url = said.find(r"serving HKP on (\S+)\n", PATIENCE_S)
            self.metrics_url = said.find(r"serving metrics on (\S+)\n", PATIENCE_S)
        except AssertionError as error:
            error.add_note(self.log())
            raise
        self.http.close()
        self.http = httpx.Client(base_url=self.url, timeout=30.0)
        return self

    def log(self) -> str:
        """What it logged since its last start."""
        return self._log.read_text()

    def events(self) -> list[dict[str, Any]]:
        """The log's lines; what it said to people there is passed over."""
        lines = self.log().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def send_signal(self, number: signal.Signals) -> None:
        self._running.send_signal(number)

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Its exit status."""
        return self._running.wait(within_s)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop it in order, and return its exit status."""
        self.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        self._running.kill()
        self._running.wait(COMMAND_S)

    def close(self) -> None:
        self.http.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def get(self, **query: str) -> httpx.Response:
        """A look-up."""
        return self.http.get("/pks/lookup", params=query)

    def certificate(self, fingerprint: str) -> bytes:
        """The packets held under a fingerprint, by an exact look-up; nothing if there is none."""
        answer = self.get(op="get", search=f"0x{fingerprint}")
        if answer.status_code == 404:
            return b""
        assert answer.status_code == 200, answer.text
        return dearmor(answer.text)

    def add(self, certificate: bytes | str) -> httpx.Response:
        """A submission, of armor or of packets."""
        text = certificate if isinstance(certificate, str) else armor(certificate)
        return self.http.post("/pks/add", data={"keytext": text})

    def total(self) -> int:
        """How many certificates it says it holds."""
        answer = self.http.get("/pks/stats", params={"options": "json"})
        total: int = answer.json()["total"]
        return total

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels."""
        families = text_string_to_metric_families(
            httpx.get(self.metrics_url, timeout=PATIENCE_S).text
        )
        samples = [sample for family in families for sample in family.samples]
        return sum(
            sample.value
            for sample in samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def rss_bytes(self) -> int:
        """The memory that the process has in use."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    @contextmanager
    def control(self) -> Generator[httpx.Client, None, None]:
        """A client of its control socket."""
        folder = os.open(self.data, os.O_PATH)
        try:
            transport = httpx.HTTPTransport(uds=f"/proc/self/fd/{folder}/control.sock")
            with httpx.Client(
                transport=transport, base_url="http://keygrove", timeout=30.0
            ) as client:
                yield client
        finally:
            os.close(folder)

    def connect(self) -> socket.socket:
        """A bare connection, for what no proper client sends."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def exchange(self, request: bytes) -> Reply:
        """Send these octets and read the answer to its end."""
        with self.connect() as connection:
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(request)
            return read_reply(connection)


class Servers:
    """Starts servers, and ends them with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers = ExitStack()
        self._number = 0

    def start(
        self,
        *options: str,
        data: Path | None = None,
        env: Mapping[str, str] | None = None,
        stderr: int | None = None,
    ) -> Server:
        """A new server, on a data directory of its own if none is given."""
        self._number += 1
        folder = self._folder / f"server-{self._number}"
        folder.mkdir()
        server = Server(data or folder / "data", folder, options, env)
        server.stderr = stderr
        self._servers.callback(server.close)
        return server.start()

    def close(self) -> None:
        self._servers.close()


class Gpg:
    """GnuPG with a home directory of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(mode=0o700, exist_ok=True)
        # The resolver of the system, for the default one wants a name server to be there.
        (home / "dirmngr.conf").write_text("standard-resolver\n")
        self._env = environment({"GNUPGHOME": str(home), "LC_ALL": "C.UTF-8"})

    def run(self, *arguments: str | Path, stdin: bytes = b"", within_s: float = COMMAND_S) -> Ended:
        """Run `gpg --batch` with these arguments."""
        start = ("gpg", "--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "")
        return run([*start, *arguments], env=self._env, stdin=stdin, within_s=within_s)

    def do(self, *arguments: str | Path, stdin: bytes = b"") -> str:
        """Run it, insist on success, and return what it printed."""
        ended = self.run(*arguments, stdin=stdin)
        assert ended.status == 0, ended
        return ended.out

    def make(self, user_id: str, *, subkey: bool = False) -> str:
        """Make a key; its fingerprint."""
        known = set(self.fingerprints())
        self.do("--quick-generate-key", user_id, "ed25519", "sign,cert", "never")
        (made,) = set(self.fingerprints()) - known
        if subkey:
            self.do("--quick-add-key", made, "cv25519", "encr", "never")
        return made

    def fingerprints(self, *, of: str = "pub") -> list[str]:
        """The fingerprints of its keyring: those of `pub` or of `sub` keys."""
        found: list[str] = []
        kind = ""
        for line in self.do("--with-colons", "--list-keys").splitlines():
            fields = line.split(":")
            if fields[0] == "fpr" and kind == of:
                found.append(fields[9])
            kind = fields[0]
        return found

    def user_ids(self) -> list[str]:
        """The user IDs of its keyring."""
        lines = self.do("--with-colons", "--list-keys").splitlines()
        return [line.split(":")[9] for line in lines if line.startswith("uid:")]

    def export(self, *names: str) -> bytes:
        """Certificates in binary form, by a command that prints nothing else."""
        env = self._env
        arguments = ["gpg", "--batch", "--export", *names]
        return subprocess.run(
            arguments, capture_output=True, env=env, timeout=COMMAND_S, check=True
        ).stdout

    def close(self) -> None:
        """End the daemons that it started, and wait for them: they leave with their socket."""
        run(["gpgconf", "--kill", "all"], env=self._env)
        with suppress(OSError):
            shutil.rmtree(self.home)


class Sq:
    """Sequoia's sq, its files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = environment({"HOME": str(folder)})

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> Ended:
        """Run it with these arguments."""
        return run(["sq", *arguments], env=self._env, stdin=stdin)

    def keyserver(self, server: Server, *arguments: str | Path) -> Ended:
        """Run its keyserver command against a server."""
        return self.run("keyserver", "-p", "insecure", "-s", server.hkp, *arguments)

    def make(self, user_id: str) -> Path:
        """Make a key with subkeys; the file of its armored certificate."""
        secret = self.folder / f"{len(list(self.folder.iterdir()))}.key"
        made = self.run("key", "generate", "--userid", user_id, "--export", secret)
        assert made.status == 0, made
        public = secret.with_suffix(".asc")
        taken = self.run("key", "extract-cert", "--output", public, secret)
        assert taken.status == 0, taken
        return public

    def fingerprints(self, certificate: bytes) -> list[str]:
        """The fingerprints of the primary key and the subkeys of a certificate, in order."""
        shown = self.run("inspect", stdin=certificate)
        assert shown.status == 0, shown
        return re.findall(r"(?:Fingerprint|Subkey): ([0-9A-F]{40})", shown.out)

    def dearmor(self, certificate: bytes) -> bytes:
        """The packets of an armored certificate."""
        return subprocess.run(
            ["sq", "dearmor"],
            input=certificate,
            capture_output=True,
            timeout=COMMAND_S,
            check=True,
        ).stdout


class Made(NamedTuple):
    """A certificate made here."""

    fingerprint: str
    packets: bytes
    created: int


MADE_AT = 1_700_000_000


def make_certificate(
    seed: str, user_ids: Sequence[str | bytes], *, version: int = 4, at: int = MADE_AT
) -> Made:
    """An Ed25519 key that follows from `seed`, with self-signed user IDs."""
    key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())
    point = key.public_key().public_bytes_raw()
    if version == 4:
        # EdDSALegacy: the curve's object identifier, then the prefixed point as an MPI.
        oid = bytes.fromhex("092B06010401DA470F01")
        material = bytes([22]) + oid + (263).to_bytes(2) + b"\x40" + point
        body = b"\x04" + at.to_bytes(4) + material
        hashed_key = b"\x99" + len(body).to_bytes(2) + body
        fingerprint = hashlib.sha1(hashed_key, usedforsecurity=False).digest()
    else:
        body = b"\x06" + at.to_bytes(4) + bytes([27]) + len(point).to_bytes(4) + point
        hashed_key = b"\x9b" + len(body).to_bytes(4) + body
        fingerprint = hashlib.sha256(hashed_key).digest()
    packets = _packet(6, body)
    for user_id in user_ids:
        text = user_id.encode() if isinstance(user_id, str) else user_id
        hashed = hashed_key + b"\xb4" + len(text).to_bytes(4) + text
        packets += _packet(13, text) + _self_signature(key, fingerprint, hashed, version, at)
    return Made(fingerprint.hex().upper(), packets, at)


def _self_signature(
    key: Ed25519PrivateKey, fingerprint: bytes, hashed: bytes, version: int, at: int
) -> bytes:
    algorithm, width = (22, 2) if version == 4 else (27, 4)
    flags_and_features = _subpacket(27, b"\x03") + _subpacket(30, b"\x01")
    issuer = _subpacket(33, bytes([version]) + fingerprint)
    area = _subpacket(0x82, at.to_bytes(4)) + flags_and_features + issuer
    start = bytes([version, 0x13, algorithm, 8]) + len(area).to_bytes(width) + area
    salt = hashlib.sha256(hashed).digest()[:16] if version == 6 else b""
    trailer = start + bytes([version, 0xFF]) + len(start).to_bytes(4)
    digest = hashlib.sha256(salt + hashed + trailer).digest()
    raw = key.sign(digest)
    signature = _mpi(raw[:32]) + _mpi(raw[32:]) if version == 4 else raw
    unhashed = b"" if version == 6 else _subpacket(16, fingerprint[-8:])
    end = len(unhashed).to_bytes(width) + unhashed + digest[:2]
    return _packet(2, start + end + (bytes([len(salt)]) + salt if salt else b"") + signature)


def _packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 0xFF]) + len(body).to_bytes(4) + body


def _subpacket(kind: int, body: bytes) -> bytes:
    return bytes([len(body) + 1, kind]) + body


def _mpi(number: bytes) -> bytes:
    value = int.from_bytes(number)
    return value.bit_length().to_bytes(2) + value.to_bytes((value.bit_length() + 7) // 8)


def split(packets: bytes) -> list[tuple[int, bytes]]:
    """Type and body of each packet, whichever way it is framed."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(packets):
        first = packets[at]
        if first & 0x40:
            tag, octet = first & 0x3F, packets[at + 1]
            width, bias = (1, 0) if octet < 192 else (2, 0xBF40) if octet < 224 else (5, 255 << 32)
        else:
            tag, width, bias = first >> 2 & 0xF, 1 << (first & 3), 0
        start = at + 1 + width
        at = start + int.from_bytes(packets[at + 1 : start]) - bias
        found.append((tag, packets[start:at]))
    return found


def join(packets: Sequence[tuple[int, bytes]]) -> bytes:
    """The packets in a row."""
    return b"".join(_packet(tag, body) for tag, body in packets)


def armor(packets: bytes) -> str:
    """Armor without a checksum, which a keyserver has to take."""
    text = base64.encodebytes(packets).decode()
    return f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{text}-----END PGP PUBLIC KEY BLOCK-----\n"


def dearmor(text: str) -> bytes:
    """The octets of one armored block, whose checksum has to be there."""
    begin, end = (f"-----{word} PGP PUBLIC KEY BLOCK-----\n" for word in ("BEGIN", "END"))
    assert text.startswith(begin), text[:200]
    assert text.endswith(end), text[-200:]
    assert text.count(begin) == 1
    lines = text.removeprefix(begin).removesuffix(end).strip().splitlines()
    assert re.fullmatch(r"=[A-Za-z0-9+/]{4}", lines[-1]), "armor without its checksum"
    return base64.b64decode("".join(lines[:-1]), validate=True)


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where one of these programs is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    reason = f"not installed: {', '.join(missing)} (apt install gnupg dirmngr sq curl sks)"
    return pytest.mark.skipif(bool(missing), reason=reason)


needs_debian_keyring = pytest.mark.skipif(
    not DEBIAN_KEYRING.exists(), reason=f"no {DEBIAN_KEYRING} (apt install debian-keyring)"
)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """Servers of the test's own."""
    started = Servers(tmp_path)
    yield started
    started.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a module share, where none disturbs the others."""
    started = Servers(tmp_path_factory.mktemp("shared"))
    yield started.start()
    started.close()


@pytest.fixture
def gpg_homes() -> Iterator[Callable[[], Gpg]]:
    """Makes fresh GnuPG homes, in a short folder: a socket's path has 107 octets at most."""
    with ExitStack() as opened, tempfile.TemporaryDirectory(prefix="kg") as folder:
        number = 0

        def make() -> Gpg:
            nonlocal number
            number += 1
            home = Gpg(Path(folder, str(number)))
            opened.callback(home.close)
            return home

        yield make
        opened.close()


@pytest.fixture
def gpg(gpg_homes: Callable[[], Gpg]) -> Gpg:
    """A fresh GnuPG home."""
    return gpg_homes()


@pytest.fixture
def sq(tmp_path: Path) -> Sq:
    """Sequoia's sq."""
    folder = tmp_path / "sq"
    folder.mkdir()
    return Sq(folder)
