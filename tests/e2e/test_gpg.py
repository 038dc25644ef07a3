"""GnuPG as Debian has it, with its dirmngr, against the installed server."""

from collections.abc import Callable

import pytest

from tests.e2e.conftest import (
    VECTORS,
    Gpg,
    Server,
    Sq,
    dearmor,
    join,
    make_certificate,
    needs,
    split,
)

pytestmark = needs("gpg", "dirmngr")

Homes = Callable[[], Gpg]


def _pub_lines(listing: str) -> list[str]:
    return [line for line in listing.splitlines() if line.startswith("pub:")]


def _user_ids(listing: str) -> list[str]:
    return [line.split(":")[1] for line in listing.splitlines() if line.startswith("uid:")]


def test_gpg_sends_a_key_that_another_gpg_receives(server: Server, gpg_homes: Homes) -> None:
    alice, bob = gpg_homes(), gpg_homes()
    fingerprint = alice.make("Alice Sender <sender@gpg.example>", subkey=True)
    alice.do("--keyserver", server.hkp, "--send-keys", fingerprint)

    bob.do("--keyserver", server.hkp, "--recv-keys", fingerprint)

    assert bob.fingerprints() == [fingerprint]
    assert sorted(split(bob.export())) == sorted(split(alice.export()))


@pytest.mark.parametrize("name", ["fingerprint", "key ID", "subkey fingerprint", "subkey ID"])
def test_gpg_receives_a_key_by_any_of_its_names(
    server: Server, gpg_homes: Homes, name: str
) -> None:
    alice, bob = gpg_homes(), gpg_homes()
    primary = alice.make(f"Named By {name} <named@gpg.example>", subkey=True)
    (subkey,) = alice.fingerprints(of="sub")
    alice.do("--keyserver", server.hkp, "--send-keys", primary)
    names = {
        "fingerprint": primary,
        "key ID": primary[-16:],
        "subkey fingerprint": subkey,
        "subkey ID": subkey[-16:],
    }

    bob.do("--keyserver", server.hkp, "--recv-keys", names[name])

    assert sorted(split(bob.export())) == sorted(split(alice.export()))


def test_gpg_is_told_that_a_key_is_unknown(server: Server, gpg: Gpg) -> None:
    ended = gpg.run("--keyserver", server.hkp, "--recv-keys", "0123456789ABCDEF" * 2 + "01234567")

    assert ended.status == 2
    assert "No data" in ended.err
    assert gpg.fingerprints() == []


@pytest.mark.parametrize(
    "search",
    [
        "carol+tag@gpg.example",
        "CAROL+TAG@GPG.EXAMPLE",
        "Carol Searched",
        "searched CAROL",
        "=Carol Searched <carol+tag@gpg.example>",
        "0x{fingerprint}",
        "0x{key_id}",
        "0x{subkey}",
        "{key_id}",
    ],
)
def test_gpg_finds_a_key_by_each_form_of_search(server: Server, gpg: Gpg, search: str) -> None:
    user_id = "Carol Searched <carol+tag@gpg.example>"
    carol = make_certificate("carol of gpg", [user_id])
    server.add(carol.packets).raise_for_status()
    other = gpg.make("Dave Other <dave@gpg.example>", subkey=True)
    gpg.do("--keyserver", server.hkp, "--send-keys", other)
    (subkey,) = gpg.fingerprints(of="sub")
    asks_for_dave = "subkey" in search
    wanted = other if asks_for_dave else carol.fingerprint
    term = search.format(fingerprint=wanted, key_id=wanted[-16:], subkey=subkey)

    listing = gpg.do("--with-colons", "--keyserver", server.hkp, "--search-keys", term)

    assert listing.splitlines()[0] == "info:1:1"
    (line,) = _pub_lines(listing)
    assert line.split(":")[1:4] == [wanted, "22", "255"]
    assert _user_ids(listing) == ["Dave Other <dave@gpg.example>" if asks_for_dave else user_id]


def test_gpg_prints_the_index_line_by_line(server: Server, gpg: Gpg) -> None:
    user_ids = ["Erin Ümlaut: 50% <erin@gpg.example>", "Erin Second <erin2@gpg.example>"]
    erin = make_certificate("erin of gpg", user_ids)
    server.add(erin.packets).raise_for_status()

    listing = gpg.do(
        "--with-colons", "--keyserver", server.hkp, "--search-keys", "erin@gpg.example"
    )

    assert sorted(listing.split("\n")) == sorted(
        [
            "info:1:1",
            f"pub:{erin.fingerprint}:22:255:{erin.created}::",
            f"uid:Erin %C3%9Cmlaut%3A 50%25 <erin@gpg.example>:{erin.created}::",
            f"uid:Erin Second <erin2@gpg.example>:{erin.created}::",
            "",
        ]
    )
    shown = gpg.run("--keyserver", server.hkp, "--search-keys", "erin@gpg.example").out
    assert "Erin Ümlaut: 50% <erin@gpg.example>" in shown
    assert f"255 bit EDDSA key {erin.fingerprint[-16:]}, created: 2023-11-14" in shown


def test_gpg_sees_two_keys_of_one_address(server: Server, gpg: Gpg) -> None:
    for number in (1, 2):
        made = make_certificate(f"twin {number}", [f"Twin {number} <twin@gpg.example>"])
        server.add(made.packets).raise_for_status()

    listing = gpg.do(
        "--with-colons", "--keyserver", server.hkp, "--search-keys", "twin@gpg.example"
    )

    assert listing.startswith("info:1:2\n")
    assert sorted(_user_ids(listing)) == ["Twin 1 <twin@gpg.example>", "Twin 2 <twin@gpg.example>"]


def test_gpg_says_that_a_search_found_nothing(server: Server, gpg: Gpg) -> None:
    ended = gpg.run("--keyserver", server.hkp, "--search-keys", "nobody@gpg.example")

    assert ended.status == 2
    assert "not found on keyserver" in ended.err


def test_gpg_imports_what_is_chosen_from_the_menu(server: Server, gpg: Gpg) -> None:
    frank = make_certificate("frank of gpg", ["Frank Menu <frank@gpg.example>"])
    server.add(frank.packets).raise_for_status()

    choice = ("--no-batch", "--command-fd", "0", "--keyserver", server.hkp)
    gpg.do(*choice, "--search-keys", "frank@gpg.example", stdin=b"1\n")

    assert gpg.fingerprints() == [frank.fingerprint]


def test_gpg_refreshes_what_was_added_through_the_server(server: Server, gpg_homes: Homes) -> None:
    owner, other = gpg_homes(), gpg_homes()
    fingerprint = owner.make("Grace Old <grace@gpg.example>")
    owner.do("--keyserver", server.hkp, "--send-keys", fingerprint)
    other.do("--keyserver", server.hkp, "--recv-keys", fingerprint)
    owner.do("--quick-add-uid", fingerprint, "Grace New <grace@new.example>")
    owner.do("--quick-add-key", fingerprint, "cv25519", "encr", "never")
    owner.do("--keyserver", server.hkp, "--send-keys", fingerprint)

    other.do("--keyserver", server.hkp, "--refresh-keys")

    assert set(other.user_ids()) == {
        "Grace Old <grace@gpg.example>",
        "Grace New <grace@new.example>",
    }
    assert other.fingerprints(of="sub") == owner.fingerprints(of="sub")


def test_gpg_learns_of_a_revocation_by_refreshing(server: Server, gpg_homes: Homes) -> None:
    owner, other = gpg_homes(), gpg_homes()
    fingerprint = owner.make("Heidi Revoked <heidi@gpg.example>")
    owner.do("--keyserver", server.hkp, "--send-keys", fingerprint)
    other.do("--keyserver", server.hkp, "--recv-keys", fingerprint)
    certificate = owner.home / "openpgp-revocs.d" / f"{fingerprint}.rev"
    owner.do("--import", stdin=certificate.read_bytes().replace(b":-----BEGIN", b"-----BEGIN"))
    owner.do("--keyserver", server.hkp, "--send-keys", fingerprint)

    other.do("--keyserver", server.hkp, "--refresh-keys")

    listing = other.do("--with-colons", "--list-keys")
    assert [line.split(":")[1] for line in _pub_lines(listing)] == ["r"]
    found = other.do("--with-colons", "--keyserver", server.hkp, "--search-keys", fingerprint)
    assert [line.split(":")[6] for line in _pub_lines(found)] == ["r"]


def test_gpg_revokes_with_what_it_put_by_when_it_made_the_key(
    server: Server, gpg_homes: Homes
) -> None:
    """Without the certificate, as somebody must who lost all but the revocation."""
    owner, other = gpg_homes(), gpg_homes()
    fingerprint = owner.make("Judy Lost <judy@gpg.example>")
    owner.do("--keyserver", server.hkp, "--send-keys", fingerprint)
    other.do("--keyserver", server.hkp, "--recv-keys", fingerprint)
    put_by = (owner.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_bytes()

    guarded = server.add(put_by.decode())
    reply = server.add(put_by.replace(b":-----BEGIN", b"-----BEGIN").decode())

    assert (guarded.status_code, "remove that colon" in guarded.text) == (400, True)
    assert reply.status_code == 200, reply.text
    other.do("--keyserver", server.hkp, "--refresh-keys")
    listing = other.do("--with-colons", "--list-keys")
    assert [line.split(":")[1] for line in _pub_lines(listing)] == ["r"]


def test_gpg_locates_a_key_by_its_address(server: Server, gpg_homes: Homes) -> None:
    owner, other = gpg_homes(), gpg_homes()
    fingerprint = owner.make("Ivan Located <ivan@gpg.example>")
    owner.do("--keyserver", server.hkp, "--send-keys", fingerprint)

    printed = other.do(
        *("--keyserver", server.hkp, "--auto-key-locate", "clear,keyserver"),
        *("--locate-external-keys", "ivan@gpg.example"),
    )

    assert fingerprint in printed
    assert other.fingerprints() == [fingerprint]


@needs("sq")
def test_gpg_sends_finds_and_receives_what_sq_made(
    server: Server, gpg_homes: Homes, sq: Sq
) -> None:
    alice, bob = gpg_homes(), gpg_homes()
    made = sq.make("Judy Sequoia <judy@gpg.example>")
    primary, *subkeys = sq.fingerprints(made.read_bytes())
    alice.do("--import", made)
    alice.do("--keyserver", server.hkp, "--send-keys", primary)

    listing = bob.do(
        "--with-colons", "--keyserver", server.hkp, "--search-keys", "judy@gpg.example"
    )
    bob.do("--keyserver", server.hkp, "--recv-keys", subkeys[-1])

    assert [line.split(":")[1] for line in _pub_lines(listing)] == [primary]
    assert sorted(split(bob.export())) == sorted(split(alice.export()))
    assert set(bob.fingerprints(of="sub")) == set(subkeys)


@needs("sq")
def test_gpg_refreshes_what_sq_made_and_sent(server: Server, gpg: Gpg, sq: Sq) -> None:
    made = sq.make("Kim Sequoia <kim@gpg.example>")
    primary, *subkeys = sq.fingerprints(made.read_bytes())
    gpg.do("--import", made)
    whole = gpg.export(primary)
    gpg.do("--delete-keys", primary)
    gpg.do("--import", stdin=_without_subkeys(whole))
    assert sq.keyserver(server, "send", made).status == 0

    gpg.do("--keyserver", server.hkp, "--refresh-keys")

    assert set(gpg.fingerprints(of="sub")) == set(subkeys)


def _without_subkeys(certificate: bytes) -> bytes:
    packets = split(certificate)
    tags = [tag for tag, _ in packets]
    return join(packets[: tags.index(14)])


def test_a_v6_certificate_of_the_same_address_does_not_disturb_gpg(
    server: Server, gpg_homes: Homes
) -> None:
    owner, other, third = gpg_homes(), gpg_homes(), gpg_homes()
    address = "vera@gpg.example"
    old = owner.make(f"Vera <{address}>")
    new = make_certificate("vera", [f"Vera <{address}>"], version=6)
    owner.do("--keyserver", server.hkp, "--send-keys", old)
    server.add(new.packets).raise_for_status()

    listing = other.do("--with-colons", "--keyserver", server.hkp, "--search-keys", address)
    other.do(
        *("--keyserver", server.hkp, "--auto-key-locate", "clear,keyserver"),
        *("--locate-external-keys", address),
    )
    fetched = server.get(op="get", search=address, options="mr").text
    third.do("--import", stdin=fetched.encode())

    assert listing.startswith("info:1:1\n")
    assert [line.split(":")[1] for line in _pub_lines(listing)] == [old]
    assert other.fingerprints() == third.fingerprints() == [old]
    assert bytes.fromhex(new.fingerprint) not in dearmor(fetched)
    both = server.get(op="get", search=address, options="bin")
    assert both.headers["content-type"] == "application/pgp"
    assert bytes.fromhex(new.fingerprint) in both.content


@pytest.mark.parametrize("form", ["text", "json", "html"])
def test_a_v6_certificate_is_found_in_binary_only(server: Server, form: str) -> None:
    new = make_certificate(f"only new {form}", [f"Only New <{form}@new.example>"], version=6)
    server.add(new.packets).raise_for_status()
    options = {"text": "mr", "json": "json", "html": ""}[form]

    by_address = server.get(op="index", search=f"{form}@new.example", options=options)
    by_fingerprint = server.get(op="index", search=f"0x{new.fingerprint}", options=options)
    armored = server.get(op="get", search=f"0x{new.fingerprint}", options="mr")
    binary = server.get(op="get", search=f"0x{new.fingerprint}", options="bin")

    answers = [by_address, by_fingerprint, armored]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert "options=bin" in armored.text
    assert binary.status_code == 200
    assert f"{form}@new.example".encode() in binary.content


def test_the_v6_certificate_of_the_rfc_is_taken_and_given_in_binary(server: Server) -> None:
    sample = (VECTORS / "openpgp/v6-rfc9580-sample.asc").read_text()
    name = "cb186c4f0609a697e4d52dfa6c722b0c1f1e27c18a56708f6525ec27bad9acc9"

    answer = server.add(sample)
    found = server.get(op="get", search=f"0x{name}", options="bin")

    assert answer.json()["inserted"] == [{"version": 6, "fingerprint": name}]
    assert found.status_code == 200
    assert bytes.fromhex(name) in found.content
    assert server.get(op="get", search=f"0x{name}").status_code == 404
