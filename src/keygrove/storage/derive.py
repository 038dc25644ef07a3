"""What a certificate is found by, derived from its packets: the same at every replay."""

import msgspec

from keygrove.storage.address import text_hash
from keygrove.storage.term import Term, TermKind
from keygrove_protocols.limits import OWN
from keygrove_protocols.openpgp.certificate import Certificate, group, key
from keygrove_protocols.openpgp.keys import KeyId
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.openpgp.terms import terms

_ORIGINAL = 3


class Derived(msgspec.Struct, frozen=True):
    """Terms and words."""

    terms: frozenset[Term]
    words: frozenset[str]


def read(packets: bytes) -> Certificate:
    """Read back a certificate that we stored.

    Raises:
        AssertionError: these are not bytes that we ever stored.
    """
    (certificate,) = group(split(packets, OWN), OWN)
    assert isinstance(certificate, Certificate), certificate
    return certificate


def derive(packets: bytes) -> Derived:
    """What a stored certificate is found by."""
    return derive_from(read(packets))


def derive_from(certificate: Certificate) -> Derived:
    """What this certificate is found by."""
    found = terms(certificate)
    pairs = [
        *((TermKind.FINGERPRINT, value) for value in found.fingerprints),
        *((TermKind.KEY_ID, value) for value in found.key_ids),
        *((TermKind.SHORT_ID, value) for value in found.short_ids),
        *((TermKind.ADDRESS, address.encode()) for address in found.addresses),
        *((TermKind.TEXT, text_hash(text)) for text in found.texts),
    ]
    primary = key(certificate)
    own = primary_term(primary.version, primary.key_id)
    return Derived(frozenset((own, *(Term(kind, value) for kind, value in pairs))), found.words)


def primary_term(version: int, key_id: KeyId) -> Term:
    """The term that finds a certificate by its primary key's ID, and by no other key's.

    Anybody may bind somebody else's key to his own as a subkey. By version, because anybody can
    also make keys of version 3, and 2, which is the same, with an ID that he chose.
    """
    return Term(TermKind.PRIMARY_ID, bytes((max(version, _ORIGINAL),)) + key_id)


def digest_terms(*digests: bytes) -> frozenset[Term]:
    """The terms that find a certificate by any of its SKS digests."""
    return frozenset(Term(TermKind.DIGEST, digest) for digest in digests)
