"""From stored packets to what a client gets."""

import msgspec

from keygrove.storage.cache import Form
from keygrove.storage.derive import read
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.certificate import to_bytes
from keygrove_protocols.openpgp.summary import summary
from keygrove_protocols.openpgp.views import legacy_view


def serve_form(packets: bytes, form: Form) -> bytes | None:
    """The bytes to serve, or None when the certificate has no such form."""
    match form:
        case Form.BINARY:
            return packets
        case Form.SUMMARY:
            return msgspec.msgpack.encode(summary(read(packets)))
        case Form.LEGACY:
            return _legacy(packets)
        case Form.ARMOR:
            legacy = _legacy(packets)
            return None if legacy is None else armor(legacy)


def _legacy(packets: bytes) -> bytes | None:
    view = legacy_view(read(packets))
    return None if view is None else to_bytes(view)
