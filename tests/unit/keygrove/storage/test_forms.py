"""From stored packets to what a client gets."""

from collections.abc import Callable

import msgspec
import pytest

from keygrove.storage.cache import Form
from keygrove.storage.forms import serve_form
from keygrove_chaos.certificates import binary, made
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.summary import Summary, summary

ALICE = made(1, "Alice <a@x.example>", subkeys=[2], signatures=2)
STORED = binary([ALICE])


def test_all_packets_are_served_as_they_are_stored() -> None:
    assert serve_form(STORED, Form.BINARY) == STORED


def test_old_clients_get_all_of_an_old_certificate() -> None:
    assert serve_form(STORED, Form.LEGACY) == STORED
    armored = serve_form(STORED, Form.ARMOR)
    assert armored is not None
    assert dearmor(armored, BULK).data == STORED
    assert armored.endswith(b"-----END PGP PUBLIC KEY BLOCK-----\n")


@pytest.mark.parametrize("form", [Form.ARMOR, Form.LEGACY])
def test_old_clients_get_nothing_of_version_6(form: Form, vector: Callable[[str], bytes]) -> None:
    new = dearmor(vector("v6-rfc9580-sample.asc"), BULK).data
    assert serve_form(new, form) is None
    assert serve_form(new, Form.BINARY) == new


def test_a_summary_travels_as_messagepack() -> None:
    body = serve_form(STORED, Form.SUMMARY)
    assert body is not None
    assert msgspec.msgpack.decode(body, type=Summary) == summary(ALICE)
