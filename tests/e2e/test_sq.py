"""Sequoia's sq and curl as Debian has them, against the installed server."""

from pathlib import Path

import pytest

from tests.e2e.conftest import (
    Gpg,
    Server,
    Sq,
    armor,
    make_certificate,
    needs,
    run,
    split,
)


@needs("sq")
@pytest.mark.parametrize(
    "name", ["fingerprint", "0x fingerprint", "key ID", "subkey fingerprint", "address"]
)
def test_sq_gets_what_it_sent_by_any_name(server: Server, sq: Sq, name: str) -> None:
    # A tag makes the address one with a plus, which sq sends raw.
    address = f"alice+{name.replace(' ', '')}@sq.example"
    made = sq.make(f"Alice Sequoia <{address}>")
    primary, *subkeys = sq.fingerprints(made.read_bytes())
    names = {
        "fingerprint": primary,
        "0x fingerprint": f"0x{primary}",
        "key ID": primary[-16:],
        "subkey fingerprint": subkeys[0],
        "address": address,
    }

    sent = sq.keyserver(server, "send", made)
    got = sq.keyserver(server, "get", names[name])

    assert sent.status == 0
    assert got.status == 0, got
    assert sq.fingerprints(got.out.encode()) == [primary, *subkeys]
    assert _packets(sq.dearmor(got.out.encode())) == _packets(sq.dearmor(made.read_bytes()))


def _packets(certificate: bytes) -> list[tuple[int, bytes]]:
    """Its packets, sorted: a keyserver may bring them into another order."""
    return sorted(split(certificate))


@needs("sq")
def test_sq_is_told_that_a_key_is_unknown(server: Server, sq: Sq) -> None:
    for name in ("0123456789ABCDEF" * 2 + "01234567", "nobody@sq.example"):
        got = sq.keyserver(server, "get", name)

        assert got.status != 0
        assert "not found" in got.err.lower()


@needs("sq")
def test_sq_updates_what_is_held(server: Server, sq: Sq) -> None:
    seed, first, second = "updated", "Old <old@sq.example>", "New <new@sq.example>"
    before, after = make_certificate(seed, [first]), make_certificate(seed, [second])
    files = [sq.folder / "before.pgp", sq.folder / "after.pgp"]
    for path, made in zip(files, (before, after), strict=True):
        path.write_bytes(made.packets)
        assert sq.keyserver(server, "send", path).status == 0

    got = sq.keyserver(server, "get", before.fingerprint)

    assert got.status == 0
    shown = sq.run("inspect", stdin=got.out.encode()).out
    assert first in shown
    assert second in shown


@needs("sq", "gpg", "dirmngr")
@pytest.mark.parametrize("name", ["fingerprint", "key ID", "address"])
def test_sq_sends_and_gets_what_gpg_made(server: Server, sq: Sq, gpg: Gpg, name: str) -> None:
    address = f"bob+{name.replace(' ', '')}@sq.example"
    fingerprint = gpg.make(f"Bob Gnu <{address}>", subkey=True)
    exported = sq.folder / "bob.pgp"
    exported.write_bytes(gpg.export())
    names = {"fingerprint": fingerprint, "key ID": fingerprint[-16:], "address": address}

    sent = sq.keyserver(server, "send", exported)
    got = sq.keyserver(server, "get", names[name])

    assert sent.status == 0, sent
    assert got.status == 0, got
    assert _packets(server.certificate(fingerprint)) == _packets(exported.read_bytes())
    assert sq.fingerprints(got.out.encode()) == [fingerprint, *gpg.fingerprints(of="sub")]


@needs("sq")
def test_sq_gets_a_v6_certificates_neighbour_undisturbed(server: Server, sq: Sq) -> None:
    address = "neighbours@sq.example"
    old = make_certificate("old neighbour", [f"Old <{address}>"])
    new = make_certificate("new neighbour", [f"New <{address}>"], version=6)
    for made in (old, new):
        server.add(made.packets).raise_for_status()

    got = sq.keyserver(server, "get", address)

    assert got.status == 0, got
    assert sq.fingerprints(got.out.encode()) == [old.fingerprint]


@needs("curl")
@pytest.mark.parametrize("form", ["urlencoded", "multipart file", "multipart text", "binary"])
def test_curl_submits_in_each_form(server: Server, tmp_path: Path, form: str) -> None:
    made = make_certificate(f"curl {form}", [f"Curl {form} <curl@sq.example>"])
    armored, binary = tmp_path / "key.asc", tmp_path / "key.pgp"
    armored.write_text(armor(made.packets))
    binary.write_bytes(made.packets)
    forms = {
        "urlencoded": ("--data-urlencode", f"keytext@{armored}"),
        "multipart file": ("-F", f"keytext=@{armored}"),
        "multipart text": ("-F", f"keytext=<{armored}"),
        "binary": ("-F", f"keytext=@{binary}"),
    }

    posted = run(["curl", "-sS", "--fail", *forms[form], f"{server.url}/pks/add"])

    assert posted.status == 0, posted
    assert f'"inserted":[{{"version":4,"fingerprint":"{made.fingerprint.lower()}"' in posted.out
    assert server.certificate(made.fingerprint)


@needs("curl")
def test_curl_submits_a_large_certificate_that_it_announces_first(
    server: Server, tmp_path: Path
) -> None:
    many = [f"Name {number:04} {'x' * 400} <{number}@large.example>" for number in range(900)]
    made = make_certificate("large", many)
    armored = tmp_path / "key.asc"
    armored.write_text(armor(made.packets))

    # curl asks "Expect: 100-continue" for bodies above 1 MiB, and waits for it.
    posted = run(
        [
            *("curl", "-sS", "-v", "--fail"),
            *("-F", f"keytext=@{armored}", "-F", f"padding=@{armored}"),
            f"{server.url}/pks/add",
        ]
    )

    assert posted.status == 0, posted
    assert "100 Continue" in posted.err or "Expect:" not in posted.err
    assert f"<{899}@large.example>".encode() in server.certificate(made.fingerprint)


@needs("curl")
def test_curl_asks_for_the_head_only(server: Server) -> None:
    made = make_certificate("head", ["Head <head@sq.example>"])
    server.add(made.packets).raise_for_status()
    url = f"{server.url}/pks/lookup?op=get&search=0x{made.fingerprint}"

    head = run(["curl", "-sS", "-I", url])
    got = run(["curl", "-sS", "-i", url])

    assert head.status == 0
    first, *fields = head.out.splitlines()
    assert first == "HTTP/1.1 200 OK"
    assert "access-control-allow-origin: *" in fields
    lines = got.out.splitlines()
    assert [line for line in fields if not line.startswith("date:")] == [
        line for line in lines[1 : lines.index("") + 1] if not line.startswith("date:")
    ]
