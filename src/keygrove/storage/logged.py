"""The change log: what each change made of a certificate, and who brought it."""

import msgspec

from keygrove.storage.cursor import Cursor
from keygrove.storage.write import Cause
from keygrove_protocols.openpgp.keys import Digest, Fingerprint


class Logged(msgspec.Struct, frozen=True):
    """An entry of the change log: one certificate that a change made another of."""

    change: int
    fingerprint: Fingerprint
    before: bytes | None
    """The hash of all that was held of it; None if nothing was."""
    after: bytes | None
    is_denied: bool
    """Since then."""
    cause: Cause
    origin: str
    at: int
    """Seconds, UTC."""
    digests: tuple[Digest, ...]
    """Of what is held since then: of all that is stored, and the one at SKS servers."""
    place: Cursor
    """Where it is in the log: for `History.read`, and for `History.log` to go on behind it."""

    @property
    def is_put(self) -> bool:
        """Is something held since then, and not beside a denial?"""
        return self.after is not None and not self.is_denied
