"""The keys that administrators sign with, and which of them are held here."""

from keygrove.cluster.router import Router
from keygrove.settings import AdminSettings
from keygrove_protocols.openpgp.keys import Fingerprint

SUBMIT_IT = "submit its certificate: until then its requests are refused"
"""What to do about an administrator's key that is not held."""


def admin_keys(settings: AdminSettings) -> tuple[Fingerprint, ...]:
    """The primary keys that the settings name."""
    return tuple(Fingerprint(bytes.fromhex(one)) for one in settings.keys)


async def keys_not_held(router: Router, settings: AdminSettings) -> tuple[str, ...]:
    """Those whose certificates are not held, in upper-case hexadecimal.

    Raises:
        ActorError: a shard does not answer, or is being brought up.
    """
    keys = admin_keys(settings)
    if not keys:
        return ()
    sources = await router.sources(keys)
    return tuple(
        key.hex().upper() for key, source in zip(keys, sources, strict=True) if source is None
    )
