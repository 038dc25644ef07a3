"""Why something of a certificate that is taken is left out, in words."""

from collections.abc import Iterator, Mapping

from keygrove.ingest.messages import Fate

REASONS = {
    "BadSelfSig": "in the name of its key, which did not make it",
    "NoBacksig": "binds a subkey that may sign, and that has not agreed",
    "Unverifiable": "in the name of its key, made in a way that cannot be verified",
    "UnknownCriticalSubpacket": "says something that must be understood, and is not",
    "Implausible": "damaged",
    "WeakHash": "somebody else's, by a hash algorithm that proves nothing",
    "MalformedSignature": "cannot be read, or names nobody who made it",
    "Misplaced": "in a place where such signatures do not belong",
    "Local": "meant to stay where it was made",
    "Unbound": "a user ID or subkey that its key has not signed for",
    "NulUserID": "a user ID with a NUL in it",
    "MalformedPacket": "a user attribute that cannot be read",
    "Oversize": "larger than it may be",
}
"""What the codes of dropped packets mean; a test holds it against the library."""

_TOLD_BY_CODE = {
    "no local signatures",
    "readable signatures",
    "signatures in their places",
    "own signatures that verify",
    "plausible signatures",
    "user IDs without NUL",
    "readable user attributes",
    "packets within bounds",
    "bound components",
}
"""Rules whose work shows in the codes of what was dropped."""


def left_out(dropped: Mapping[str, int], pruned: Mapping[str, int]) -> Iterator[str]:
    """A line for each code of what was dropped, and for each rule that pruned something else."""
    for code, number in dropped.items():
        yield f"dropped, {number:,} {code}: {REASONS[code]}"
    for rule, number in pruned.items():
        if rule not in _TOLD_BY_CODE:
            yield f"left out, {number:,} {'packet' if number == 1 else 'packets'}: {rule}"


def remark(fate: Fate) -> str:
    """What whoever submitted a certificate should know of its fate; mostly nothing."""
    return fate.comment or "; ".join(left_out(fate.dropped, fate.pruned))
