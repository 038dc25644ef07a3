"""What an operator can do about a partner with whom no session came about."""

from collections.abc import Mapping
from typing import Final

from keygrove_protocols.recon.terms import Refusal

_ADVICE: Final[Mapping[Refusal, str]] = {
    Refusal.BUSY: "a server closes at once on addresses that are not its partners', and while it "
    "fetches certificates: have its operator enter the address that we come from, or try again "
    "in some minutes",
    Refusal.CLOSED: "try again in some minutes, and see its log",
    Refusal.TIMED_OUT: "see whether it hangs, and whether this is its recon port, 11370 as a rule",
    Refusal.FILTERS: "leave out the filters that the settings have for it, so that it sees its own",
    Refusal.MALFORMED: "see whether this is its recon port, 11370 as a rule",
    Refusal.OTHER: "see its log, and ask its operator",
}
"""What else there is, is of another protocol than ours."""
_NO_WAY: Final = "it cannot be reconciled with as it is configured: ask its operator"


def advice_on(refusal: Refusal) -> str:
    """What to do, as the end of a message."""
    return _ADVICE.get(refusal, _NO_WAY)
