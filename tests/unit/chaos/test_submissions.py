"""What requests of a plan send is what a node shows then, under each preset."""

import msgspec
import pytest

from keygrove.ingest.messages import INGEST, IngestApi, Load
from keygrove.settings import AdminSettings, PolicySettings, Settings
from keygrove.storage.write import Cause
from keygrove_chaos.certificates import armored, made
from keygrove_chaos.client import Hkp, found_certificate
from keygrove_chaos.control import Control, replied
from keygrove_chaos.crdt import facts
from keygrove_chaos.node import EPOCH, SimulatedNode, simulated_node
from keygrove_chaos.plan import PUTS, Ask, Preset
from keygrove_chaos.submissions import ADMIN, SERVER, name_of, order, submission
from keygrove_protocols.openpgp.certificate import fingerprint

pytestmark = pytest.mark.anyio

PRESETS: tuple[Preset, ...] = ("verified", "minimal", "sks-compatible")
NONCE = "00" * 16
KEY = 5


def settings(preset: Preset) -> Settings:
    admin = AdminSettings(keys=(fingerprint(made(ADMIN)).hex(),), server=SERVER)
    return Settings(policy=PolicySettings(preset=preset), admin=admin)


def asked(verb: str, text: str = "a <a@x.example>") -> Ask:
    ask = Ask(at=0.0, client="c", node="n", verb="get", key=KEY, text=text, origin="p")
    return msgspec.structs.replace(ask, verb=verb)


async def sent(node: SimulatedNode, verb: str, preset: Preset) -> int:
    """The status of what became of it."""
    one = submission(asked(verb), preset)
    if one.route == "load":
        return (await Control(node.control.ask).load(one.octets)).status
    if one.route == "offer":
        ingest = node.runtime.whereis(INGEST, IngestApi)
        offer = Load((one.octets,), "p", Cause.RECON)
        return replied(await ingest.call(offer, timeout=10.0)).status
    return (await Hkp(node.http.ask).put(one.octets)).status


async def shown(node: SimulatedNode) -> frozenset[str]:
    name = fingerprint(made(KEY)).hex()
    found = found_certificate(await Hkp(node.http.ask).get(name))
    return facts(found) if found else frozenset()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("verb", sorted(PUTS - {"overtax", "revoke"}))
async def test_what_is_submitted_is_shown_and_what_is_forged_is_not(
    verb: str, preset: Preset
) -> None:
    wanted = submission(asked(verb), preset)
    async with simulated_node(settings(preset)) as node:
        assert await sent(node, verb, preset) == 200
        assert await shown(node) == wanted.shown
    assert bool(wanted.forged) == (verb == "forge")
    assert wanted.forged.isdisjoint(wanted.shown)


@pytest.mark.parametrize("preset", PRESETS)
async def test_a_revocation_that_comes_alone_is_added_to_what_is_held(preset: Preset) -> None:
    revoked = submission(asked("revoke"), preset).shown
    async with simulated_node(settings(preset)) as node:
        assert await sent(node, "revoke", preset) == 422
        assert await sent(node, "certify", preset) == 200
        before = await shown(node)
        assert await sent(node, "revoke", preset) == 200
        assert await shown(node) == before | revoked != before


async def test_what_would_take_too_long_to_verify_is_refused() -> None:
    async with simulated_node(settings("verified")) as node:
        assert await sent(node, "overtax", "verified") == 422
        assert (await Hkp(node.http.ask).get(name_of(asked("overtax")).hex())).status == 404


async def test_an_administrator_blocks_and_unblocks_and_a_nonce_serves_once() -> None:
    async with simulated_node(settings("verified")) as node:
        hkp = Hkp(node.http.ask)
        await hkp.put(armored(made(ADMIN, "Admin")))
        assert await sent(node, "put", "verified") == 200
        block = order(asked("block", NONCE), EPOCH)
        assert (await hkp.administer(*block)).status == 200
        assert await shown(node) == frozenset()
        assert [await sent(node, verb, "verified") for verb in ("put", "load")] == [422, 422]
        unblock = order(asked("unblock", "11" * 16), EPOCH)
        assert (await hkp.administer(*unblock)).status == 200
        assert (await hkp.administer(*block)).status == 409
        assert await sent(node, "load", "verified") == 200
