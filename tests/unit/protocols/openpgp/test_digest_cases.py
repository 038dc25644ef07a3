"""What a real SKS made of certificates in odd forms (`digest_cases` of `recon.json`), and we do."""

from pathlib import Path

import msgspec
import pytest

from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.certificate import Certificate, group, packets
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.openpgp.policy import SKS_COMPATIBLE
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.verification import verify

VECTORS = Path(__file__).parents[3] / "vectors" / "recon.json"


class Case(msgspec.Struct):
    """A certificate that was submitted; `stored_digest` is what SKS has then, None: it refused."""

    case: str
    cert_hex: str
    stored_digest: str | None
    digest_if_all_packets_counted: str
    digest_if_duplicates_dropped: str


class Cases(msgspec.Struct):
    cases: list[Case]


class Recorded(msgspec.Struct):
    digest_cases: Cases


CASES = msgspec.json.decode(VECTORS.read_bytes(), type=Recorded).digest_cases.cases
STORED = [one for one in CASES if one.stored_digest is not None]
WITHOUT_USER_ID = "no uid"


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.case)
def test_every_packet_counts_as_often_as_it_is_there(case: Case) -> None:
    found = list(split(bytes.fromhex(case.cert_hex), BULK))
    assert sks_digest(found).hex() == case.digest_if_all_packets_counted
    once = list(dict.fromkeys(found))
    assert sks_digest(once).hex() == case.digest_if_duplicates_dropped


@pytest.mark.parametrize("case", STORED, ids=lambda one: one.case)
def test_what_sks_keeps_is_kept_with_each_packet_once(case: Case) -> None:
    (certificate,) = group(split(bytes.fromhex(case.cert_hex), BULK), BULK)
    assert isinstance(certificate, Certificate)
    kept = keep(verify(certificate), SKS_COMPATIBLE)
    digest = sks_digest(packets(kept.findings.certificate())).hex()
    assert digest == case.digest_if_duplicates_dropped
    assert (kept.error is not None) == (case.case == WITHOUT_USER_ID), (
        "no user ID, no self-signature"
    )


@pytest.mark.parametrize("name", ["v6 key packet", "v5 key packet", "bare revocation"])
def test_what_spoils_a_whole_answer_for_sks_is_no_certificate_here(name: str) -> None:
    (case,) = [one for one in CASES if one.case == name]
    try:
        found = group(split(bytes.fromhex(case.cert_hex), BULK), BULK)
    except ProtocolError:
        return
    assert not any(isinstance(one, Certificate) for one in found)
