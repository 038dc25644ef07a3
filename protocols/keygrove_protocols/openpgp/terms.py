"""What a certificate can be found by."""

import msgspec

from keygrove_protocols.openpgp.certificate import Certificate, key, subkeys, user_ids
from keygrove_protocols.openpgp.keys import Fingerprint, KeyId, parse_key
from keygrove_protocols.openpgp.userid import normal_text, parse_user_id, words

WORDS_MAX = 2_000
"""Of one certificate. Those of its first user IDs count."""

_LATEST_WITH_SHORT_IDS = 5


class Terms(msgspec.Struct, frozen=True):
    """All that finds a certificate: its own names, its subkeys', and its user IDs'.

    Short IDs are the last 4 octets of key IDs; keys of version 6 have none. `texts` are
    whole user IDs as `normal_text` compares them.
    """

    fingerprints: frozenset[Fingerprint]
    key_ids: frozenset[KeyId]
    short_ids: frozenset[bytes]
    addresses: frozenset[str]
    texts: frozenset[str]
    words: frozenset[str]


def terms(certificate: Certificate) -> Terms:
    """Collect the terms of a canonical certificate.

    All that is attached counts, for no signature is verified here.
    """
    keys = [key(certificate)]
    keys += [parse_key(subkey.packet.body) for subkey in subkeys(certificate)]
    found = [parse_user_id(user_id.packet.body) for user_id in user_ids(certificate)]
    return Terms(
        fingerprints=frozenset(one.fingerprint for one in keys),
        key_ids=frozenset(one.key_id for one in keys),
        short_ids=frozenset(
            one.key_id[-4:] for one in keys if one.version <= _LATEST_WITH_SHORT_IDS
        ),
        addresses=frozenset(one.address for one in found if one.address is not None),
        texts=frozenset(text for one in found if (text := normal_text(one.text))),
        words=_words([one.text for one in found]),
    )


def _words(texts: list[str]) -> frozenset[str]:
    found: dict[str, None] = {}
    for text in texts:
        found.update(dict.fromkeys(sorted(words(text))))
        if len(found) >= WORDS_MAX:
            break
    return frozenset(list(found)[:WORDS_MAX])
