"""The commands of operators: load, dump, digests, status, config, and who may write when."""

import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

import httpx
import pytest

from tests.e2e.conftest import (
    COMMAND,
    DEBIAN_KEYRING,
    VECTORS,
    Gpg,
    Servers,
    armor,
    environment,
    eventually,
    join,
    keygrove,
    make_certificate,
    needs,
    needs_debian_keyring,
    run,
    split,
)

CERTIFICATES = 905
SOME = 50


def _made(number: int) -> bytes:
    return make_certificate(f"file {number}", [f"User {number} <f{number}@file.example>"]).packets


def _digests(data: Path) -> list[str]:
    ended = keygrove("digests", "--data", data)
    assert (ended.status, ended.err) == (0, "")
    return ended.out.splitlines()


def _loaded(
    data: Path, *files: Path, status: int = 0, preset: str = "verified"
) -> dict[str, object]:
    env = {"KEYGROVE_POLICY__PRESET": preset}
    ended = keygrove("load", "--data", data, "--json", *files, env=env)
    assert ended.status == status, ended.err
    found: dict[str, object] = json.loads(ended.out)
    return found


def _certificates(packets: bytes) -> dict[bytes, bytes]:
    """By the body of their primary key, each as it stands."""
    found = split(packets)
    starts = [at for at, (tag, _) in enumerate(found) if tag == 6]
    ends = [*starts[1:], len(found)]
    return {found[a][1]: join(found[a:b]) for a, b in zip(starts, ends, strict=True)}


@needs_debian_keyring
def test_debians_keyring_goes_in_and_comes_out_whole(tmp_path: Path) -> None:
    loaded = _loaded(tmp_path / "one", DEBIAN_KEYRING)
    assert (loaded["certificates"], loaded["inserted"]) == (CERTIFICATES, CERTIFICATES)
    digests = _digests(tmp_path / "one")
    assert len(digests) == CERTIFICATES

    again = _loaded(tmp_path / "one", DEBIAN_KEYRING)
    assert again["ignored"] == CERTIFICATES

    dumped = keygrove("dump", "--data", tmp_path / "one", tmp_path / "out", "--json")
    assert json.loads(dumped.out)["certificates"] == CERTIFICATES
    _loaded(tmp_path / "two", tmp_path / "out")
    assert _digests(tmp_path / "two") == digests


@needs_debian_keyring
def test_as_an_sks_server_it_has_the_digests_that_sks_has(tmp_path: Path) -> None:
    known = json.loads((VECTORS / "digests.json").read_text())
    loaded = _loaded(tmp_path / "data", DEBIAN_KEYRING, preset="sks-compatible")
    assert loaded["inserted"] == CERTIFICATES
    assert _digests(tmp_path / "data") == sorted(known.values())
    again = _loaded(tmp_path / "data", DEBIAN_KEYRING, preset="sks-compatible")
    assert again["ignored"] == CERTIFICATES


@pytest.mark.parametrize(
    "number", [SOME, pytest.param(CERTIFICATES, marks=pytest.mark.campaign)], ids=str
)
@needs("gpg")
@needs_debian_keyring
def test_gpg_imports_a_dump_and_says_nothing_that_it_does_not_say_to_the_original(
    tmp_path: Path, gpg_homes: Callable[[], Gpg], number: int
) -> None:
    """Both in one order: how many signers gpg misses depends on whom it has read before."""
    originals = dict(list(_certificates(DEBIAN_KEYRING.read_bytes()).items())[:number])
    original, dumped = tmp_path / "original.pgp", tmp_path / "out" / "sks-dump-0000.pgp"
    original.write_bytes(b"".join(originals.values()))
    assert _loaded(tmp_path / "data", original)["inserted"] == number
    keygrove("dump", "--data", tmp_path / "data", tmp_path / "out")
    order = list(_certificates(dumped.read_bytes()))
    original.write_bytes(b"".join(originals[primary] for primary in order))

    said: list[set[str]] = []
    for file in (dumped, original):
        gpg = gpg_homes()
        ended = gpg.run("--import", file, within_s=1200.0)
        assert ended.status == 0, ended.err
        assert f"Total number processed: {number}" in ended.err
        said.append({line.replace(str(gpg.home), "") for line in ended.err.splitlines()})
    assert said[0] - said[1] == set()


def test_a_load_beside_a_server_is_handed_over(servers: Servers, tmp_path: Path) -> None:
    server = servers.start()
    file = tmp_path / "some.pgp"
    file.write_bytes(b"".join(_made(number) for number in range(30)))
    assert _loaded(server.data, file)["inserted"] == 30
    assert server.total() == 30
    assert len(_digests(server.data)) == 30
    dumped = keygrove("dump", "--data", server.data, tmp_path / "out")
    assert dumped.out.startswith("dumped 30 certificates into 1 file, ")
    mode = (server.data / "control.sock").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600


@pytest.mark.parametrize("number", [SIGKILL, SIGTERM], ids=str)
def test_a_load_whose_server_goes_away_says_so_in_one_line(
    servers: Servers, tmp_path: Path, number: Signals
) -> None:
    file = tmp_path / "large.pgp"
    user_ids = [f"User {n} {'x' * 900}" for n in range(400)]
    large = [make_certificate(f"large {number}", user_ids).packets for number in range(10)]
    file.write_bytes(b"".join(large * 20))
    server = servers.start()
    with subprocess.Popen(
        [COMMAND, "load", "--json", "--data", server.data, file],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as load:
        eventually(lambda: server.total() > 0)
        server.send_signal(number)
        told, complaints = load.communicate(timeout=60.0)
    assert load.returncode == 3
    why = "the server went away: load again once it is back; what was loaded stays"
    assert complaints.decode() == f"Error: {why}\n"
    assert json.loads(told)["stopped"] == why
    server.wait()


def test_a_second_writer_is_refused_by_name(servers: Servers) -> None:
    server = servers.start()
    ended = keygrove("serve", "--data", server.data, "--listen", "127.0.0.1:0")
    assert ended.status == 3
    assert f"in use by keygrove serve (process {server.pid})" in ended.err
    assert "Traceback" not in ended.err


def test_a_load_beside_a_load_is_refused_by_name(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    first = tmp_path / "first.pgp"
    first.write_bytes(_made(1))
    with subprocess.Popen(
        [COMMAND, "load", "--data", tmp_path / "data", "-"],
        stdin=reading,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as holder:
        os.close(reading)
        lock = tmp_path / "data" / "lock"
        eventually(lambda: lock.exists() and lock.read_text().strip())
        ended = keygrove("load", "--data", tmp_path / "data", first)
        os.write(writing, _made(2))
        os.close(writing)
        assert holder.wait(30.0) == 0
    assert ended.status == 3
    assert f"in use by keygrove load (process {holder.pid})" in ended.err
    assert len(_digests(tmp_path / "data")) == 1


def test_status_shows_the_server_and_its_tree(servers: Servers) -> None:
    server = servers.start()
    server.add(_made(1))
    shown = keygrove("status", "--data", server.data, env={"COLUMNS": "20"})
    assert shown.status == 0
    assert f"process {server.pid}" in shown.out
    assert "\n1 certificate in " in shown.out
    assert "shard-3: up" in shown.out
    table = [line.split("\t") for line in shown.out.splitlines() if "\t" in line]
    assert [len(row) for row in table] == [8] * 5
    assert table[0][:2] == ["shard", "certificates"]
    assert table[0][-2:] == ["look-ups", "hits"]
    assert sum(int(row[1]) for row in table[1:]) == 1
    told = json.loads(keygrove("status", "--data", server.data, "--json").out)
    assert told["about"]["pid"] == server.pid
    assert [child["id"] for child in told["tree"]["children"]] == [
        *("metrics", "space", "storage", "parsers", "ingest", "http", "control"),
    ]


def test_status_shows_what_each_actor_does(servers: Servers) -> None:
    server = servers.start()
    server.add(_made(1))
    shown = keygrove("status", "--tree", "--data", server.data)
    assert (shown.status, shown.err) == (0, "")
    heading, *lines = shown.out.splitlines()
    assert heading.split() == [
        *("actor", "state", "mailbox", "restarts", "msg/s", "KiB", "doing"),
    ]
    assert {"root", "storage", "shard-3", "http"} <= {line.split()[0] for line in lines}
    assert {line.split()[1] for line in lines} == {"up"}
    assert "…" not in shown.out
    short, full = (
        json.loads(keygrove("status", *options, "--data", server.data, "--json").out)
        for options in ((), ("--tree",))
    )
    (ingest,) = [child for child in full["tree"]["children"] if child["id"] == "ingest"]
    assert (ingest["kind"], ingest["messages"]) == ("Ingest", 1)
    assert full["about"] == short["about"]
    assert len(full["shards"]) == len(short["shards"]) == 4
    assert short["tree"].keys() < full["tree"].keys(), "the same, and more of each actor"


def test_metrics_do_not_say_when_each_series_began(servers: Servers) -> None:
    server = servers.start()
    server.add(_made(1))
    shown = httpx.get(server.metrics_url).text
    assert "keygrove_http_requests_total{" in shown
    assert "_created" not in shown


def test_status_of_a_tree_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    ended = keygrove("status", "--tree", "--data", tmp_path / "none")
    assert ended.status == 3
    assert f"start one with `keygrove serve --data {tmp_path / 'none'}`" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("name", ["a[old]", "a["])
def test_status_shows_a_path_as_it_is(servers: Servers, tmp_path: Path, name: str) -> None:
    server = servers.start(data=tmp_path / name)
    shown = keygrove("status", "--data", server.data)
    assert shown.status == 0
    assert f"certificates in {server.data}, " in shown.out


def test_a_path_that_looks_like_the_end_of_markup_is_only_a_path(
    servers: Servers, tmp_path: Path
) -> None:
    data = tmp_path / "[" / "old]"
    data.mkdir(parents=True)
    server = servers.start(data=data)
    shown = keygrove("status", "--data", server.data)
    assert (shown.status, shown.err) == (0, "")
    assert f"certificates in {server.data}, " in shown.out


def test_status_without_a_server_says_how_to_start_one(tmp_path: Path) -> None:
    ended = keygrove("status", "--data", tmp_path / "none")
    assert ended.status == 3
    assert f"start one with `keygrove serve --data {tmp_path / 'none'}`" in ended.err


def test_a_data_directory_with_a_long_path_works(servers: Servers, tmp_path: Path) -> None:
    data = tmp_path / ("long-" * 20) / ("path-" * 20)
    data.mkdir(parents=True)
    server = servers.start(data=data)
    assert keygrove("status", "--data", data).status == 0
    assert server.stop() == 0


@pytest.mark.parametrize("suffix", ["asc", "pgp"])
def test_files_are_loaded_armored_or_binary_and_from_a_pipe(tmp_path: Path, suffix: str) -> None:
    packets = _made(1) + _made(2)
    text = armor(packets).encode() if suffix == "asc" else packets
    file = tmp_path / f"two.{suffix}"
    file.write_bytes(text)
    assert _loaded(tmp_path / "file", file)["inserted"] == 2
    piped = keygrove("load", "--data", tmp_path / "pipe", "-", stdin=text)
    assert piped.out.startswith("loaded 2 certificates in ")
    assert _digests(tmp_path / "file") == _digests(tmp_path / "pipe")


def test_one_certificate_is_one_certificate(tmp_path: Path) -> None:
    file = tmp_path / "one.pgp"
    file.write_bytes(_made(1))
    ended = keygrove("load", "--data", tmp_path / "data", file)
    assert ended.out.startswith("loaded 1 certificate in ")
    ended = keygrove("dump", "--data", tmp_path / "data", tmp_path / "out")
    assert ended.out.startswith("dumped 1 certificate into 1 file, ")


def test_a_file_that_is_cut_off_is_loaded_as_far_as_it_goes(tmp_path: Path) -> None:
    file = tmp_path / "cut.pgp"
    file.write_bytes((_made(1) + _made(2) + _made(3))[:-10])
    ended = keygrove("load", "--data", tmp_path / "data", file)
    assert ended.status == 1
    assert f"not read to the end: {file}" in ended.err
    assert len(_digests(tmp_path / "data")) == 2


@pytest.mark.parametrize(
    ("content", "status"), [(b"", 0), (b"no certificate\n", 1), (b"\x99\x00", 1)], ids=repr
)
def test_a_file_with_nothing_in_it_is_told(tmp_path: Path, content: bytes, status: int) -> None:
    file = tmp_path / "nothing"
    file.write_bytes(content)
    ended = keygrove("load", "--data", tmp_path / "data", file)
    assert ended.status == status, ended.err
    assert "Traceback" not in ended.err
    assert ended.out.startswith("loaded 0 certificates")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[http]\nlisen = 1", "http.lisen is not a setting; did you mean http.listen?"),
        ("[storage]\nshards = 'x'", "storage.shards: 'x' will not do; write a number from 1 to 64"),
        ("[http]\nlisten = ['a:99999']", "http.listen[0]: 'a:99999' will not do"),
        ("[[recon.partner]]\nname = 'a'", "recon.partner[0].recon of 'a': is missing; write"),
        ("[recon]\nlisten = ['127.0.0.1:11371']", "already used by http.listen"),
        ("data_dir =", "is not TOML"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_with_what_to_write(
    tmp_path: Path, lines: str, words: str
) -> None:
    file = tmp_path / "keygrove.toml"
    file.write_text(lines)
    checked = keygrove("config", "check", "--config", file)
    assert checked.status == 1
    assert words in checked.err
    served = keygrove("serve", "--config", file, "--data", tmp_path / "data")
    assert served.status == 2
    assert words in served.err
    assert "Traceback" not in checked.err + served.err


def test_a_file_that_cannot_be_read_is_wrong_use_for_all_commands(tmp_path: Path) -> None:
    for command in (("config", "check"), ("config", "show"), ("serve",)):
        ended = keygrove(*command, "--config", tmp_path / "none")
        assert (ended.status, "cannot read" in ended.err) == (2, True)


def test_partners_who_cannot_reach_us_are_told_of_and_no_error(
    servers: Servers, tmp_path: Path
) -> None:
    file = tmp_path / "keygrove.toml"
    file.write_text('[[recon.partner]]\nname = "a"\nrecon = "127.0.0.1:9"\n')
    checked = keygrove("config", "check", "--config", file)
    assert (checked.status, checked.out) == (0, "the settings are fine\n")
    assert checked.err.startswith("warning: recon.listen: is empty, so that no partner can begin")
    server = servers.start("--config", str(file))
    logged = [one for one in server.events() if one["event"] == "settings to look at"]
    assert [str(one["why"])[:12] for one in logged] == ["recon.listen"]


def test_settings_are_shown_with_their_origins(tmp_path: Path) -> None:
    file = tmp_path / "keygrove.toml"
    file.write_text("[storage]\nshards = 2\n")
    shown = keygrove(
        *("config", "show", "--config", file, "--data", tmp_path),
        env={"KEYGROVE_HTTP__LISTEN": "127.0.0.1:0, [::1]:0"},
    )
    assert shown.status == 0
    assert f'data_dir = "{tmp_path}"  # --data' in shown.out
    assert f"storage.shards = 2  # file {file}" in shown.out
    assert (
        'http.listen = ["127.0.0.1:0", "[::1]:0"]  # environment KEYGROVE_HTTP__LISTEN' in shown.out
    )
    assert "http.short_ids = false  # default" in shown.out
    assert keygrove("config", "check", "--config", file).out == "the settings are fine\n"


def test_the_environment_says_where_to_listen(servers: Servers) -> None:
    server = servers.start(env={"KEYGROVE_HTTP__LISTEN": "127.0.0.1:0"})
    assert server.http.get("/healthz").text == "OK\n"


def test_another_number_of_shards_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "one.pgp"
    file.write_bytes(_made(1))
    _loaded(tmp_path / "data", file)
    ended = keygrove(
        *("load", "--data", tmp_path / "data", file), env={"KEYGROVE_STORAGE__SHARDS": "5"}
    )
    assert ended.status == 3
    assert "was made with shards = 4, not 5" in ended.err


def test_a_verb_of_another_package_is_found(tmp_path: Path) -> None:
    (tmp_path / "greeting.py").write_text(
        "import click\n\n@click.command()\ndef greet():\n    click.echo('hello')\n"
    )
    about = tmp_path / "greeting-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: greeting\nVersion: 1\n")
    (about / "entry_points.txt").write_text(
        "[keygrove.commands]\ngreet = greeting:greet\nbroken = nothing:here\nserve = nothing:here\n"
    )
    path = {"PYTHONPATH": str(tmp_path)}
    assert keygrove("greet", env=path).out == "hello\n"
    assert "greet" in keygrove("--help", env=path).out
    assert "Serve certificates until told to stop." in keygrove("serve", "--help", env=path).out
    broken = keygrove("broken", env=path)
    assert broken.status == 3
    assert "cannot be loaded" in broken.err


def test_the_version_is_told() -> None:
    assert keygrove("--version").out.startswith("keygrove ")
    assert keygrove("version").out.splitlines()[0] == keygrove("--version").out.strip()


def test_a_directory_without_a_store_is_told(tmp_path: Path) -> None:
    for verb in (("digests",), ("dump", str(tmp_path / "out"))):
        ended = keygrove(*verb, "--data", tmp_path)
        assert ended.status == 3
        assert "there is no store" in ended.err


def test_a_reader_that_goes_away_is_no_error_of_ours(tmp_path: Path) -> None:
    file = tmp_path / "many.pgp"
    file.write_bytes(b"".join(_made(number) for number in range(3_000)))
    _loaded(tmp_path / "data", file)
    line = f"'{COMMAND}' digests --data '{tmp_path}/data' | head -1"
    ended = run(["bash", "-c", line], env=environment())
    assert len(ended.out) == 33
    assert "Traceback" not in ended.err


def test_a_server_whose_control_socket_is_gone_is_named(servers: Servers) -> None:
    server = servers.start()
    (server.data / "control.sock").unlink()
    ended = keygrove("status", "--data", server.data)
    assert ended.status == 3
    assert f"process {server.pid} has it, and control.sock is not there" in ended.err
    assert "stop it and start it again" in ended.err
    server.stop()
    ended = keygrove("status", "--data", server.data)
    assert "start one with `keygrove serve" in ended.err
