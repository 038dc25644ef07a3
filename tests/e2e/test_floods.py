"""Poisoned certificates cost whoever sends them time, and nobody else an answer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keygrove_chaos.certificates import binary, flooded, made
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.certificate import Certificate, Component, fingerprint
from keygrove_protocols.openpgp.packets import Packet, Tag
from tests.e2e.conftest import Server, Servers, keygrove

BOB = made(2, "Bob")
LOOKUPS = 100
"""A sixteenth of what a busy machine of two cores answered; a server that stands still: a few."""
LOADED, SUBMITTED = 100_000, 50_000
"""Signatures of a flood: of a file, and as many as a submission has room for in armor."""
SLOW_SIGNATURES = 1_000

pytestmark = pytest.mark.slow


def slow_certificate() -> Certificate:
    """A key that is slow to verify with, and signatures in its name: seconds of arithmetic."""
    modulus = (8_192).to_bytes(2) + b"\xff" * 1_024
    key = b"\x04" + bytes(4) + b"\x01" + modulus + b"\x00\x40" + b"\xff" * 8
    primary = Packet(Tag.PUBLIC_KEY, key)
    key_id = fingerprint(Certificate(primary))[-8:]
    said = b"\x05\x02" + bytes(4)
    head = b"\x04\x13\x01\x08" + len(said).to_bytes(2) + said + b"\x00\x0a\x09\x10" + key_id
    signatures = tuple(
        Packet(Tag.SIGNATURE, head + bytes(2) + (8_192).to_bytes(2) + at.to_bytes(1_024))
        for at in range(1 << 8_184, (1 << 8_184) + SLOW_SIGNATURES)
    )
    alice = Component(Packet(Tag.USER_ID, b"Alice"), signatures)
    return Certificate(primary, (), (alice,))


def answered_until(server: Server, is_done: Callable[[], bool]) -> int:
    """How many lookups of Bob are answered until then."""
    answered = 0
    while not is_done():
        assert server.certificate(fingerprint(BOB).hex()) == binary([BOB])
        answered += 1
    return answered


@pytest.fixture
def server(servers: Servers) -> Server:
    server = servers.start()
    assert server.add(binary([BOB])).status_code == 200
    return server


def test_lookups_are_answered_while_a_flood_is_submitted(server: Server) -> None:
    flood = flooded(1, SUBMITTED)
    assert len(binary([flood])) < SUBMISSION.body_bytes_max * 3 // 4
    with ThreadPoolExecutor() as threads:
        submission = threads.submit(server.add, binary([flood]))
        assert answered_until(server, submission.done) >= LOOKUPS
    assert submission.result().json()["inserted"]
    held = server.certificate(fingerprint(flood).hex())
    assert 0 < len(held) < len(binary([flood]))


def test_lookups_are_answered_while_slow_signatures_are_submitted(server: Server) -> None:
    with ThreadPoolExecutor() as threads:
        submission = threads.submit(server.add, binary([slow_certificate()]))
        assert answered_until(server, submission.done) >= LOOKUPS
    assert submission.result().status_code == 422
    assert "signed for none" in submission.result().text


def test_lookups_are_answered_while_a_flood_is_loaded(server: Server, tmp_path: Path) -> None:
    flood, file = flooded(1, LOADED), tmp_path / "flood.pgp"
    file.write_bytes(binary([flood]))
    assert file.stat().st_size > SUBMISSION.body_bytes_max
    with ThreadPoolExecutor() as threads:
        load = threads.submit(keygrove, "load", "--data", server.data, file)
        assert answered_until(server, load.done) >= LOOKUPS
    assert load.result().status == 0
    assert 0 < len(server.certificate(fingerprint(flood).hex())) < file.stat().st_size
