"""What can be wrong with bytes from outside. Catch ProtocolError to catch it all.

The three branches FramingError, UnacceptableError and TooLargeError, and the two of HKP,
are what an HTTP answer tells apart; `code` is what programs tell apart.
"""

from typing import ClassVar


class ProtocolError(Exception):
    """The root of every error this package raises: the sender's fault, not ours.

    `code` is the constant, machine-readable name of what is wrong; `offset` counts octets
    into the input of the function that raised it, and is None where there is no such place.
    The text never quotes the input, which may hold a private key; only an HKP query is
    quoted, cut to `QUOTED_CHARS_MAX`.
    """

    code: ClassVar[str] = "Protocol"

    def __init_subclass__(cls) -> None:
        """Name the code after the class, so that the two cannot drift apart."""
        cls.code = cls.__name__.removesuffix("Error")

    def __init__(self, text: str, *, offset: int | None = None) -> None:
        super().__init__(text if offset is None else f"{text} (at octet {offset})")
        self.offset = offset


QUOTED_CHARS_MAX = 80


def quoted(text: str) -> str:
    """A value from outside as an error may show it: escaped, and cut where it is long."""
    return repr(text if len(text) <= QUOTED_CHARS_MAX else text[: QUOTED_CHARS_MAX - 1] + "…")


class FramingError(ProtocolError):
    """The bytes are no armor or no packets: nothing behind this place can be read (400)."""


class EmptyInputError(FramingError):
    """There is nothing, or nothing but white space."""


class NotOpenPGPError(FramingError):
    """The input is neither ASCII armor nor a packet."""


class BadArmorError(FramingError):
    """The armor has no end, ends as something else, or holds what is no base64."""


class BadPacketHeaderError(FramingError):
    """Where a packet should begin, bit 7 is clear."""


class TruncatedError(FramingError):
    """The input ends inside a packet."""


class PartialLengthError(FramingError):
    """A packet comes in chunks, as only messages may."""


class IndeterminateLengthError(FramingError):
    """A packet goes on to the end of the input, as only messages may."""


class ReservedTagError(FramingError):
    """A packet of type 0."""


class UnacceptableError(ProtocolError):
    """The packets are readable, but no certificate that a keyserver takes (422)."""


class SecretKeyMaterialError(UnacceptableError):
    """There is a private key in the input."""


class NotACertificateError(UnacceptableError):
    """The first packet is no primary key."""


class MalformedPrimaryError(UnacceptableError):
    """The body of a key packet is not laid out as its version and algorithm say."""


class UnsupportedKeyVersionError(UnacceptableError):
    """A key of a version that keyservers do not exchange."""


class UnknownCriticalPacketError(UnacceptableError):
    """A packet of a type that may not be passed over."""


class PrimaryMismatchError(UnacceptableError):
    """Two certificates to be merged have different primary keys."""


class BadSignatureError(UnacceptableError):
    """A signature over a document does not hold, or proves nothing."""


class UnknownSignerError(UnacceptableError):
    """A signature over a document is by nobody who may make it."""


class UnfitSignerError(UnacceptableError):
    """Who signed a document could have, but the key is revoked, expired, or not for signing."""


class StaleRequestError(UnacceptableError):
    """A signed request is dated too far from now."""


class OtherServerError(UnacceptableError):
    """A signed request is meant for another server."""


class OtherCertificateError(UnacceptableError):
    """A certificate is not the one that a signed request is about."""


class TooLargeError(ProtocolError):
    """The input is beyond one of the `Limits` (413)."""


class BadElementError(ProtocolError):
    """A number, or a digest as one, that cannot be in a set that is reconciled."""


class TreeMismatchError(ProtocolError):
    """A change of a prefix tree adds what is there, or removes what is not."""


class BadTreeDumpError(ProtocolError):
    """What should be a dumped prefix tree is damaged, cut off, or of another format."""


class BadSketchError(ProtocolError):
    """What should be the coded symbols of a set has another length."""


class BadQueryError(ProtocolError):
    """An HKP request that cannot be understood (400)."""


class UnsupportedQueryError(ProtocolError):
    """An HKP request for an operation that is not offered here (501)."""


class BadIndexError(ProtocolError):
    """Another keyserver's answer is no machine-readable index."""
