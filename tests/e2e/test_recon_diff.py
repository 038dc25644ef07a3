"""`keygrove recon diff`, by scripted servers on real sockets."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

from keygrove.ports import ByteStream, Endpoint
from keygrove.system.sockets import listen
from keygrove.system.tcp import TcpStreams
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.openpgp.packets import split
from tests.e2e.conftest import COMMAND, Ended, environment, keygrove, make_certificate
from tests.simulation.recon.scripted import Line, Script, claiming

CERTS = [make_certificate(f"diff {n}", [f"User {n} <u{n}@diff.example>"]) for n in range(3)]
DIGESTS = [sks_digest(split(one.packets, BULK)) for one in CERTS]
ABSENT = [Digest(number.to_bytes(16)) for number in range(1 << 64, (1 << 64) + 20_001)]


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "dump.pgp"
    path.write_bytes(b"".join(one.packets for one in CERTS))
    return path


@pytest.fixture
def data(tmp_path: Path, dump: Path) -> Path:
    """Of no server."""
    data = tmp_path / "data"
    ended = keygrove("load", "--data", data, dump)
    assert ended.status == 0, ended.err
    return data


def diff(script: Script, *words: str | Path, settings: Path | None = None) -> Ended:
    """Against this server; with settings, they name it `scripted`."""
    endpoint = listen("127.0.0.1:0", "recon.listen")
    partner = endpoint.address
    try:
        if settings is not None:
            lines = ["[[recon.partner]]", 'name = "scripted"', f'recon = "{partner}"']
            settings.write_text("\n".join([*lines, 'filters = "pinned"', ""]))
            words = ("--config", settings, *words)
            partner = "scripted"
        command = [COMMAND, "recon", "diff", partner, *words]
        return anyio.run(_beside, endpoint, script, command)
    finally:
        endpoint.close()


async def _beside(endpoint: Endpoint, script: Script, command: Sequence[str | Path]) -> Ended:
    async def converse(stream: ByteStream, _: str) -> None:
        await script(Line(stream))

    async with TcpStreams().listening(converse, endpoint):
        ended = await anyio.run_process(command, check=False, env=environment())
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


async def closes(_: Line) -> None:
    pass


def test_a_store_and_a_dump_are_compared_alike(data: Path, dump: Path) -> None:
    script = claiming([DIGESTS[0], ABSENT[0]])
    ours = sorted(zip(DIGESTS[1:], CERTS[1:], strict=True))
    expected = [f"theirs\t{ABSENT[0].hex()}"]
    expected += [f"ours\t{digest.hex()}\t{one.fingerprint}" for digest, one in ours]
    for side in (("--data", data), ("--dump", dump)):
        ended = diff(script, *side)
        assert ended.status == 0, ended.err
        assert ended.out.splitlines() == expected
        assert "1 certificate lacking here, as it claims, 2 lacking there" in ended.err


def test_json_for_programs(dump: Path) -> None:
    report = json.loads(diff(claiming([*DIGESTS, ABSENT[0]]), "--dump", dump, "--json").out)
    assert report["theirs"] == [{"digest": ABSENT[0].hex(), "fingerprint": None}]
    assert (report["ours"], report["compared"], report["program"]) == ([], 3, "sks")
    assert report["has_all_of_theirs"] is report["has_all_of_ours"] is True


def test_a_partner_of_the_settings_sees_the_filters_they_have(dump: Path, tmp_path: Path) -> None:
    seen: list[bytes] = []

    async def script(line: Line) -> None:
        config = await line.shake_hands(b"pinned")
        seen.append(dict(config.pairs)[b"filters"])

    ended = diff(script, "--dump", dump, settings=tmp_path / "settings.toml")
    assert seen == [b"pinned"]
    assert ended.status == 1
    assert "it closed before the end: compare again" in ended.err


def test_who_has_more_than_a_session_tells_is_told_so(dump: Path) -> None:
    ended = diff(claiming(ABSENT), "--dump", dump)
    assert ended.status == 1
    assert len([line for line in ended.out.splitlines() if line.startswith("theirs")]) == 20_000
    assert "at least 20,000 certificates lacking here" in ended.err
    assert "take those in first" in ended.err


def test_what_lies_beside_a_dump_is_named(dump: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(dump, folder / "one.pgp")
    (folder / "readme.txt").touch()
    ended = diff(claiming(()), "--dump", folder)
    assert ended.status == 0, ended.err
    assert "left out: 1 file beside a dump: readme.txt\n" in ended.err


def test_a_server_that_knows_partners_only_closes_without_a_word(dump: Path) -> None:
    ended = diff(closes, "--dump", dump)
    assert (ended.status, ended.out) == (3, "")
    assert "have its operator enter the address that we come from" in ended.err


@pytest.mark.parametrize(
    ("partner", "status", "says"),
    [
        ("nobody", 2, "'nobody' is no partner of the settings: name one, or HOST:PORT"),
        ("", 2, "it is empty"),
        ("127.0.0.1:0", 2, "127.0.0.1:0 will not do: no server has the TCP port 0"),
        ("999.1.1.1:11370", 2, "999.1.1.1 is no IP address"),
        ("127.0.0.1:1", 3, "see whether its address is right"),
        ("nowhere.invalid:11370", 3, "see whether its address is right"),
    ],
)
def test_a_partner_that_is_not_there(partner: str, status: int, says: str, dump: Path) -> None:
    ended = keygrove("recon", "diff", partner, "--dump", dump)
    assert (ended.status, ended.out) == (status, "")
    assert says in ended.err


def test_a_dump_that_is_cut_off_is_not_compared(dump: Path) -> None:
    dump.write_bytes(dump.read_bytes()[:-10])
    ended = diff(claiming(DIGESTS), "--dump", dump)
    assert (ended.status, ended.out) == (3, "")
    assert str(dump) in ended.err


def test_one_side_only(data: Path, dump: Path) -> None:
    ended = keygrove("recon", "diff", "127.0.0.1:1", "--data", data, "--dump", dump)
    assert ended.status == 2
    assert "give --data or --dump" in ended.err
