"""Whether this machine can verify all that the policy speaks of."""

from collections.abc import Sequence

from keygrove.errors import IncapableError
from keygrove_protocols.openpgp.crypto.capabilities import missing
from keygrove_protocols.openpgp.hashing import missing_hashes


def ensure_able(lacking: Sequence[str] | None = None) -> None:
    """Refuse to take anything in where some signatures could not be verified.

    Servers agree on what they hold only if they judge alike: one whose libraries lack a curve
    would drop what the others keep. Takes some 50 ms; `lacking` is looked up unless given.

    Raises:
        IncapableError: something is lacking.
    """
    lacking = (*missing(), *missing_hashes()) if lacking is None else lacking
    if lacking:
        raise IncapableError(lacking)
