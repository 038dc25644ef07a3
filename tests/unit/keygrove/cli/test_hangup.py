"""What a hangup can change, and what needs another start."""

import msgspec
import pytest

from keygrove.cli.hangup import needing_a_start
from keygrove.settings import HttpSettings, PushTarget, ReconPartner, ReconSettings, Settings

PARTNER = ReconPartner("a", "a.example:11370")
TARGET = PushTarget("hkps://a.example")
WITH_BOTH = Settings(recon=ReconSettings(partner=(PARTNER,)), push=(TARGET,))


def test_partners_and_targets_change_where_there_were_some() -> None:
    other = ReconSettings(partner=(ReconPartner("b", "b.example:11370"),))
    assert needing_a_start(WITH_BOTH, Settings(recon=other)) == []


@pytest.mark.parametrize(
    ("new", "late"),
    [
        (Settings(recon=WITH_BOTH.recon), ["recon.partner"]),
        (Settings(push=WITH_BOTH.push), ["push"]),
        (WITH_BOTH, ["recon.partner", "push"]),
        (Settings(), []),
    ],
)
def test_the_first_of_them_need_a_start(new: Settings, late: list[str]) -> None:
    assert needing_a_start(Settings(), new) == late


def test_whatever_else_changes_needs_a_start_and_is_named() -> None:
    recon = msgspec.structs.replace(WITH_BOTH.recon, gossip_interval=30.0)
    new = Settings(http=HttpSettings(word_search=False), recon=recon)
    assert needing_a_start(WITH_BOTH, new) == ["http.word_search", "recon.gossip_interval"]
