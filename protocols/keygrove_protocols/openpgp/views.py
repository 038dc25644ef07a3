"""Forms of a certificate for clients that cannot read all of it."""

from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.packets import Packet, Tag

_VERSIONED = frozenset({Tag.SIGNATURE, Tag.PUBLIC_KEY, Tag.PUBLIC_SUBKEY})
_LEGACY_VERSIONS = frozenset({b"\x02", b"\x03", b"\x04"})


def legacy_view(certificate: Certificate) -> Certificate | None:
    """What a client of the first HKP version may get; None if that is nothing.

    Subkeys and signatures of version 5 and later are left out: GnuPG 2.2 gives up on a
    whole answer with a single one of them in it, on the certificates next to it too.
    """
    if not _is_legacy(certificate.primary):
        return None
    return Certificate(
        certificate.primary,
        _legacy(certificate.direct),
        tuple(
            Component(component.packet, _legacy(component.signatures))
            for component in certificate.components
            if _is_legacy(component.packet)
        ),
    )


def _legacy(packets: tuple[Packet, ...]) -> tuple[Packet, ...]:
    return tuple(packet for packet in packets if _is_legacy(packet))


def _is_legacy(packet: Packet) -> bool:
    return packet.tag not in _VERSIONED or packet.body[:1] in _LEGACY_VERSIONS
