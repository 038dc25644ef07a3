"""Who may sign a document today, and what a signature over one has to be."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keygrove_chaos.signing import CREATED, Signer, subpacket
from keygrove_protocols.errors import (
    BadSignatureError,
    NotOpenPGPError,
    ProtocolError,
    TooLargeError,
    TruncatedError,
    UnfitSignerError,
    UnknownSignerError,
)
from keygrove_protocols.openpgp.armor import armor
from keygrove_protocols.openpgp.certificate import Certificate, Component
from keygrove_protocols.openpgp.detached import (
    SKEW_S,
    Signed,
    read_detached,
    verify_detached,
)
from keygrove_protocols.openpgp.packets import Packet, Tag, join
from keygrove_protocols.openpgp.signatures import DIRECT_KEY, KEY_REVOCATION, SUBKEY_REVOCATION

ALICE, SUBKEY, OTHER = Signer(1), Signer(2), Signer(3)
NAME = Packet(Tag.USER_ID, b"Alice")
DOCUMENT = b"a document\n"
NOW = CREATED + 1_000
DAY = 86_400
CERTIFIES, SIGNS, ENCRYPTS = 0x01, 0x02, 0x0C


def flags(value: int) -> bytes:
    return subpacket(27, bytes((value,)))


def seconds(kind: int, value: int) -> bytes:
    return subpacket(kind, value.to_bytes(4))


def certificate(
    hashed: bytes = b"", *direct: Packet, subkey: tuple[Packet, ...] = (), signer: Signer = ALICE
) -> Certificate:
    """Alice's, with what her user ID's certification says."""
    certification = signer.sign(0x13, signer.primary, NAME, hashed=hashed)
    components = [Component(NAME, (certification,))]
    if subkey:
        components.append(Component(SUBKEY.subkey, subkey))
    return Certificate(signer.primary, direct, tuple(components))


def check(made: Packet, signer: Certificate, document: bytes = DOCUMENT, now: int = NOW) -> Signed:
    return verify_detached(read_detached(join([made])), document, [signer], now)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("kind", [0, 1])
def test_a_signature_by_a_primary_key_holds(version: int, kind: int) -> None:
    signer = Signer(1, version)
    signed = b"a document\r\n" if kind else DOCUMENT
    made = signer.sign_document(signed, kind=kind)
    found = check(made, certificate(signer=signer))
    assert (found.signer, found.created) == (signer.key.fingerprint, CREATED)


def test_a_signature_by_a_subkey_holds_and_the_primary_key_is_its_name() -> None:
    signer = certificate(flags(CERTIFIES), subkey=(ALICE.bind(ALICE.primary, SUBKEY, SIGNS),))
    assert check(SUBKEY.sign_document(DOCUMENT), signer).signer == ALICE.key.fingerprint


def test_the_digest_names_what_was_signed_whatever_the_unhashed_area_says() -> None:
    one = ALICE.sign_document(DOCUMENT)
    other = ALICE.sign_document(DOCUMENT, created=CREATED + 1)
    grown = bytearray(one.body)
    at = grown.rindex(ALICE.issuer) - 1
    grown[at] += 3
    varied = Packet(one.tag, bytes(grown[: at + 1]) + subpacket(60, b"x") + bytes(grown[at + 1 :]))
    signer = certificate()
    assert check(one, signer).digest == check(varied, signer).digest
    assert check(one, signer).digest != check(other, signer).digest


FOREIGN = Signer(3).sign(0x13, ALICE.primary, NAME)


def test_carriage_returns_in_a_row_are_one_line_end_and_cost_no_more() -> None:
    made = ALICE.sign_document(b"one\r\ntwo\rthree\r\n", kind=1)
    assert check(made, certificate(), b"one\r\r\ntwo\rthree\n").signer
    with pytest.raises(BadSignatureError):
        check(made, certificate(), b"\r" * (1 << 20))  # hours, if looked at from each place


UNFIT: dict[str, tuple[Certificate, str]] = {
    "revoked": (certificate(b"", ALICE.sign(KEY_REVOCATION, ALICE.primary)), "revoked"),
    "revoked, superseded": (
        certificate(b"", ALICE.sign(KEY_REVOCATION, ALICE.primary, hashed=subpacket(29, b"\1"))),
        "revoked",
    ),
    "expired": (certificate(seconds(9, 999)), "expired"),
    "for certifying only": (certificate(flags(CERTIFIES)), "not for signing"),
    "no longer for signing": (
        certificate(
            flags(CERTIFIES | SIGNS),
            ALICE.sign(DIRECT_KEY, ALICE.primary, created=CREATED + 1, hashed=flags(CERTIFIES)),
        ),
        "not for signing",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_p101_a_primary_key_that_may_not_sign_today_is_unfit(case: str) -> None:
    signer, why = UNFIT[case]
    with pytest.raises(UnfitSignerError, match=why):
        check(ALICE.sign_document(DOCUMENT), signer)


def bind(value: int, **said: int) -> Packet:
    back = SUBKEY.sign(0x19, ALICE.primary, SUBKEY.subkey)
    hashed = flags(value) + b"".join(
        seconds({"key_expires": 9, "expires": 3}[name], number) for name, number in said.items()
    )
    unhashed = ALICE.issuer + subpacket(32, back.body)
    return ALICE.sign(0x18, ALICE.primary, SUBKEY.subkey, hashed=hashed, unhashed=unhashed)


UNFIT_SUBKEYS: dict[str, tuple[tuple[Packet, ...], str]] = {
    "revoked": (
        (bind(SIGNS), ALICE.sign(SUBKEY_REVOCATION, ALICE.primary, SUBKEY.subkey)),
        "revoked",
    ),
    "expired": ((bind(SIGNS, key_expires=999),), "expired"),
    "bound for a time that is over": ((bind(SIGNS, expires=999),), "expired"),
    "for encryption": ((ALICE.bind(ALICE.primary, SUBKEY, ENCRYPTS),), "not for signing"),
    "without its consent": (
        (ALICE.sign(0x18, ALICE.primary, SUBKEY.subkey, hashed=flags(SIGNS)),),
        "not bound",
    ),
    "bound by somebody else": ((OTHER.bind(ALICE.primary, SUBKEY, SIGNS),), "not bound"),
}


@pytest.mark.parametrize("case", UNFIT_SUBKEYS)
def test_p101_a_subkey_that_may_not_sign_today_is_unfit(case: str) -> None:
    bindings, why = UNFIT_SUBKEYS[case]
    with pytest.raises(UnfitSignerError, match=why):
        check(SUBKEY.sign_document(DOCUMENT), certificate(flags(3), subkey=bindings))


def test_p101_a_subkey_falls_with_its_primary_key() -> None:
    revocation = ALICE.sign(KEY_REVOCATION, ALICE.primary)
    signer = certificate(flags(3), revocation, subkey=(bind(SIGNS),))
    with pytest.raises(UnfitSignerError, match="revoked"):
        check(SUBKEY.sign_document(DOCUMENT), signer)


def test_p101_somebody_elses_signature_is_by_an_unknown_signer() -> None:
    with pytest.raises(UnknownSignerError):
        check(OTHER.sign_document(DOCUMENT), certificate())


BAD: dict[str, Callable[[], tuple[Packet, bytes]]] = {
    "of another document": lambda: (ALICE.sign_document(DOCUMENT), b"another"),
    "of another kind": lambda: (ALICE.sign_document(DOCUMENT, kind=1), DOCUMENT),
    "from the future": lambda: (
        ALICE.sign_document(DOCUMENT, created=NOW + SKEW_S + 1),
        DOCUMENT,
    ),
    "older than its key": lambda: (ALICE.sign_document(DOCUMENT, created=CREATED - 1), DOCUMENT),
    "expired": lambda: (ALICE.sign_document(DOCUMENT, hashed=seconds(3, 999)), DOCUMENT),
    "with an unknown critical part": lambda: (
        ALICE.sign_document(DOCUMENT, hashed=subpacket(60, b"x", critical=True)),
        DOCUMENT,
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_p101_a_bad_signature_is_refused(case: str) -> None:
    made, document = BAD[case]()
    with pytest.raises(BadSignatureError):
        check(made, certificate(), document)


def test_p101_a_signature_that_lies_about_its_hash_is_refused() -> None:
    made = ALICE.sign_document(DOCUMENT)
    for algorithm in (1, 2, 3):
        weak = Packet(made.tag, made.body[:3] + bytes((algorithm,)) + made.body[4:])
        with pytest.raises(BadSignatureError, match="too weak"):
            check(weak, certificate())


def test_the_one_signer_among_others_counts() -> None:
    made = read_detached(join([ALICE.sign_document(DOCUMENT)]))
    signers = [certificate(signer=Signer(4)), certificate()]
    assert verify_detached(made, DOCUMENT, signers, NOW).signer == ALICE.key.fingerprint


ONE = ALICE.sign_document(DOCUMENT)
UNREADABLE: dict[str, tuple[bytes, type[ProtocolError]]] = {
    "a certificate": (armor(join([ALICE.primary])), BadSignatureError),
    "a certification": (join([FOREIGN]), BadSignatureError),
    "a message": (
        b"-----BEGIN PGP MESSAGE-----\n\nyA==\n-----END PGP MESSAGE-----\n",
        BadSignatureError,
    ),
    "malformed": (join([Packet(Tag.SIGNATURE, b"\x04\x00")]), BadSignatureError),
    "text": (b"signed, Alice", NotOpenPGPError),
    "cut off": (join([ONE])[:-1], TruncatedError),
    "two": (join([ONE, OTHER.sign_document(DOCUMENT)]), BadSignatureError),
    "long": (join([ONE]) * 1_000, TooLargeError),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_detached_signature_is_refused(case: str) -> None:
    data, error = UNREADABLE[case]
    with pytest.raises(error):
        read_detached(data)


@given(st.integers(0, len(ONE.body) - 1), st.integers(1, 255))
def test_a_signature_with_a_changed_octet_is_refused_or_says_the_same(at: int, bits: int) -> None:
    body = bytearray(ONE.body)
    body[at] ^= bits
    try:
        found = check(Packet(ONE.tag, bytes(body)), certificate())
    except ProtocolError:
        return
    assert found == check(ONE, certificate())
