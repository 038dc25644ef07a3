"""The policy that the settings ask for."""

from datetime import UTC, datetime

import msgspec

from keygrove.errors import SettingsError
from keygrove.settings import PolicySettings
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.policy import PRESETS, Policy


def policy_of(settings: PolicySettings) -> Policy:
    """The preset, and what is set apart from it.

    Raises:
        SettingsError: `sha1_until` is no day.
    """
    preset = PRESETS[settings.preset]
    chosen = settings.third_party
    return msgspec.structs.replace(
        preset,
        third_party=preset.third_party if chosen == "preset" else chosen,
        user_attributes=settings.user_attributes,
        weak_third_party_until=_end_of(settings.sha1_until) if settings.sha1_until else None,
        blocked=frozenset(Fingerprint(bytes.fromhex(one)) for one in settings.blocked),
    )


def _end_of(day: str) -> int:
    """The last second of a day, UTC."""
    try:
        begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise SettingsError(
            f"policy.sha1_until: there is no day {day!r}; write one that there is, for example "
            '"2019-01-19"'
        ) from error
    return int(begin.timestamp()) + 86_399
