"""What a running server does on SIGHUP: partners and targets are read again, and nothing else."""

import signal
from collections.abc import Callable, Sequence

import anyio
import anyio.abc
import anyio.to_thread

from keygrove.configuration import flatten
from keygrove.errors import SettingsError
from keygrove.push.messages import TARGETS, SetTargets, TargetsApi
from keygrove.recon.gossip import GOSSIP, GossipApi, SetPartners
from keygrove.settings import Settings
from keygrove.telemetry.log import Log
from keygrove_actors import ActorError, Runtime

PARTNERS_S = 60.0
"""For partners' actors to be stopped and started."""


async def heed_hangups(
    started: Settings,
    runtime: Runtime,
    log: Log,
    read_again: Callable[[], Settings],
    *,
    task_status: anyio.abc.TaskStatus[None],
) -> None:
    """On SIGHUP partners and targets are read again; of all else another start is needed.

    Args:
        started: the settings of the start.
    """
    with anyio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            try:
                new = await anyio.to_thread.run_sync(read_again)
            except SettingsError as error:
                log.warning("settings not read again", why=str(error))
                continue
            late = needing_a_start(started, new)
            if late:
                why = f"heeded at a start only: {', '.join(late)}; start the server anew"
                log.warning("settings not read again", why=why)
            try:
                await _heed(started, new, runtime, log)
            except ActorError as error:
                log.warning("settings not read again", why=str(error))


def needing_a_start(started: Settings, new: Settings) -> Sequence[str]:
    """The keys that are other than at the start, and that a hangup does not change."""
    heeded = {"recon.partner"} if started.recon.is_on else set[str]()
    heeded |= {"push"} if started.push else set()
    before = flatten(started)
    return [
        key for key, value in flatten(new).items() if value != before[key] and key not in heeded
    ]


async def _heed(started: Settings, new: Settings, runtime: Runtime, log: Log) -> None:
    if started.recon.is_on:
        gossip, partners = runtime.whereis(GOSSIP, GossipApi), new.recon.partner
        await gossip.call(SetPartners(partners), timeout=PARTNERS_S)
        log.info("partners read again", partners=[one.name for one in partners])
    if started.push:
        keeper, targets = runtime.whereis(TARGETS, TargetsApi), new.push
        await keeper.call(SetTargets(targets, new.recon.partner), timeout=PARTNERS_S)
        log.info("targets read again", targets=[one.to for one in targets])
