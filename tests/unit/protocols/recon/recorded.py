"""What was recorded of real servers (`tests/vectors/recon.json`), typed."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.frames import Decoder, Verdict
from keygrove_protocols.recon.messages import Config, Message

VECTORS = Path(__file__).parents[3] / "vectors" / "recon.json"


class Fields(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    prefix: str | None = None
    size: int | None = None
    samples: list[str] = []
    elements: list[str] = []
    text: str | None = None
    config: list[tuple[str, str | int]] = []


class RecordedMessage(msgspec.Struct):
    hex: str
    source: str
    fields: Fields | None = None
    type: str | None = None


class Malformed(msgspec.Struct):
    hex: str
    why: str


class ConfigCase(msgspec.Struct):
    case: str
    sent_hex: str
    reply: str
    then: str
    reason: str | None = None


class OddRequest(msgspec.Struct):
    case: str
    sent_hex: str
    reply: str | None = None
    n: int | None = None
    exc: str | None = None


class Session(msgspec.Struct):
    name: str
    initiator: str
    acceptor: str
    initiator_set: list[str]
    acceptor_set: list[str]
    initiator_learns: list[str]
    acceptor_learns: list[str]
    initiator_to_acceptor_hex: str
    acceptor_to_initiator_hex: str


class Reply(msgspec.Struct):
    type: str
    elements: list[str] | str = []


class PolyCase(msgspec.Struct):
    case: str
    remote_only: list[str]
    remote_size: int
    remote_samples: list[str]
    reply: Reply


class PolyGroup(msgspec.Struct):
    answered_by: str
    local_set: list[str]
    cases: list[PolyCase]


class Interpolation(msgspec.Struct):
    groups: list[PolyGroup]


class ServerCase(msgspec.Struct):
    server: str
    case: str
    digests: list[str]
    request_hex: str
    response_hex: str
    keys_returned: int
    order: list[int]
    trailer_hex: str


class HashQueries(msgspec.Struct):
    server: list[ServerCase]
    client_requests: dict[str, str]
    certs: list[str]
    cert_digests: list[str]


class Recorded(msgspec.Struct):
    sessions: list[Session]
    messages: list[RecordedMessage]
    malformed: list[Malformed]
    config_cases: dict[str, list[ConfigCase]]
    answers_to_odd_requests: dict[str, list[OddRequest]]
    interpolation: Interpolation
    hashquery: HashQueries


@cache
def recorded() -> Recorded:
    return msgspec.json.decode(VECTORS.read_bytes(), type=Recorded)


def digests(hexes: Sequence[str]) -> set[Digest]:
    return {Digest(bytes.fromhex(one)) for one in hexes}


def messages_of(decoder: Decoder) -> list[Message]:
    """All that are whole."""
    found: list[Message] = []
    while (message := decoder.message()) is not None:
        found.append(message)
    return found


def conversation(octets: bytes) -> tuple[Config, Verdict, list[Message]]:
    """What one side said in a whole session."""
    decoder = Decoder()
    decoder.feed(octets)
    config = decoder.message()
    assert isinstance(config, Config)
    verdict = decoder.verdict()
    assert verdict is not None
    decoder.admit_all()
    return config, verdict, messages_of(decoder)
