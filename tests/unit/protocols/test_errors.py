"""Codes, places and quotations of errors."""

import pickle

import pytest

from keygrove_protocols.errors import (
    QUOTED_CHARS_MAX,
    BadArmorError,
    BadPacketHeaderError,
    BadQueryError,
    EmptyInputError,
    FramingError,
    IndeterminateLengthError,
    MalformedPrimaryError,
    NotACertificateError,
    NotOpenPGPError,
    PartialLengthError,
    PrimaryMismatchError,
    ProtocolError,
    ReservedTagError,
    SecretKeyMaterialError,
    TooLargeError,
    TruncatedError,
    UnacceptableError,
    UnknownCriticalPacketError,
    UnsupportedKeyVersionError,
    UnsupportedQueryError,
    quoted,
)

CODES: dict[type[ProtocolError], str] = {
    EmptyInputError: "EmptyInput",
    NotOpenPGPError: "NotOpenPGP",
    BadArmorError: "BadArmor",
    BadPacketHeaderError: "BadPacketHeader",
    TruncatedError: "Truncated",
    PartialLengthError: "PartialLength",
    IndeterminateLengthError: "IndeterminateLength",
    ReservedTagError: "ReservedTag",
    SecretKeyMaterialError: "SecretKeyMaterial",
    NotACertificateError: "NotACertificate",
    MalformedPrimaryError: "MalformedPrimary",
    UnsupportedKeyVersionError: "UnsupportedKeyVersion",
    UnknownCriticalPacketError: "UnknownCriticalPacket",
    PrimaryMismatchError: "PrimaryMismatch",
    TooLargeError: "TooLarge",
    BadQueryError: "BadQuery",
    UnsupportedQueryError: "UnsupportedQuery",
}


@pytest.mark.parametrize(("error", "code"), CODES.items(), ids=CODES.values())
def test_a_code_is_constant(error: type[ProtocolError], code: str) -> None:
    assert error.code == code
    assert error("it is so").code == code


def test_framing_and_unacceptable_are_told_apart() -> None:
    framing = [error.code for error in CODES if issubclass(error, FramingError)]
    unacceptable = [error.code for error in CODES if issubclass(error, UnacceptableError)]
    assert (len(framing), len(unacceptable)) == (8, 6)


def test_the_place_is_an_attribute_and_in_the_text() -> None:
    error = TruncatedError("the end is missing", offset=7)
    assert (error.offset, str(error)) == (7, "the end is missing (at octet 7)")


def test_an_error_survives_the_way_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(TruncatedError("cut off", offset=7)))  # noqa: S301 (our own)
    assert (type(error), error.offset, str(error)) == (TruncatedError, 7, "cut off (at octet 7)")


@pytest.mark.parametrize("length", [0, QUOTED_CHARS_MAX, QUOTED_CHARS_MAX + 1, 10_000])
def test_a_quotation_is_short(length: int) -> None:
    assert len(quoted("a" * length)) <= QUOTED_CHARS_MAX + 2


def test_a_quotation_is_escaped() -> None:
    assert quoted("a\r\nb") == r"'a\r\nb'"
