"""What a stored certificate is found by."""

from collections.abc import Callable

from keygrove.storage.derive import derive, derive_from, primary_term
from keygrove.storage.term import TermKind
from keygrove_chaos.certificates import made
from keygrove_protocols.openpgp.certificate import Certificate, key


def found_as_primary(certificate: Certificate) -> bool:
    one = key(made(1))
    return primary_term(one.version, one.key_id) in derive_from(certificate).terms


def test_a_key_is_the_primary_of_its_own_certificate_only() -> None:
    assert found_as_primary(made(1, "Alice"))
    assert not found_as_primary(made(2, "Adopter", subkeys=[1]))


def test_an_old_key_is_not_taken_for_a_new_one_with_its_id(vector: Callable[[str], bytes]) -> None:
    """Whoever makes a key of version 3 can choose its ID, and version 2 is the same."""
    (own,) = (t for t in derive(vector("v3-rsa.pgp")).terms if t.kind is TermKind.PRIMARY_ID)
    version, key_id = own.value[0], key(made(1)).key_id
    assert version == 3
    assert primary_term(3, key_id) == primary_term(2, key_id) != primary_term(4, key_id)
