"""Comparing with servers that do anything else than they should: it ends, and says what to do."""

import anyio
import pytest

from keygrove.errors import NotComparedError
from keygrove.recon.comparing import Compared, Target, compare
from keygrove_chaos.machine import RECON
from keygrove_chaos.network import Network
from keygrove_chaos.outbound import SimulatedStreams
from keygrove_chaos.running import run
from keygrove_chaos.world import World
from keygrove_protocols.openpgp.keys import Digest
from keygrove_protocols.recon.frames import Verdict, encode_verdict
from keygrove_protocols.recon.messages import Config, Done, Error, Flush, FullRequest
from keygrove_protocols.recon.prefix import ROOT
from keygrove_protocols.recon.session import Ending
from keygrove_protocols.recon.terms import DEFAULT_FILTERS, config_of
from keygrove_protocols.recon.tree import Tree
from tests.simulation.recon.scripted import Line, Script, claiming, scripted

OURS = [Digest(number.to_bytes(16)) for number in range(1 << 64, (1 << 64) + 10)]
THEIRS = [Digest(number.to_bytes(16)) for number in range(1 << 65, (1 << 65) + 10)]
ELSEWHERE = Target(host="elsewhere", port=RECON)


def told(script: Script, target: Target = ELSEWHERE) -> Compared:
    found = _ended(script, target)
    assert isinstance(found, Compared), found
    return found


def refused(script: Script, target: Target = ELSEWHERE) -> str:
    found = _ended(script, target)
    assert isinstance(found, NotComparedError)
    return str(found)


def _ended(script: Script, target: Target) -> Compared | NotComparedError:
    found: list[Compared | NotComparedError] = []

    async def work(world: World) -> None:
        network = Network(world, ["here", "elsewhere", "down"])
        async with scripted(network, "elsewhere", script):
            streams = SimulatedStreams(network, "here")
            try:
                found.append(await compare(streams, target, Tree(OURS), b"x" * 16))
            except NotComparedError as error:
                found.append(error)

    run(work, seed=1)
    return found[0]


async def closes(_: Line) -> None:
    pass


async def says_nothing(_: Line) -> None:
    await anyio.sleep_forever()


async def says_garbage(line: Line) -> None:
    await line.stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def refusing(reason: bytes) -> Script:
    async def script(line: Line) -> None:
        await line.say(config_of(http_port=1, filters=b"theirs", identity=b"scripted"))
        await line.hear()
        await line.stream.send(encode_verdict(Verdict(reason)))

    return script


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (closes, "have its operator enter the address that we come from, or try again"),
        (refusing(b"sync not available, currently mutating"), "or try again in some minutes"),
        (says_nothing, "see whether it hangs, and whether this is its recon port"),
        (says_garbage, "see whether this is its recon port"),
        (refusing(b"filters do not match."), "leave out the filters that the settings have"),
        (refusing(b"mbar values do not match"), "as it is configured: ask its operator"),
        (refusing(b"I do not like you"), "it refuses: I do not like you: see its log"),
    ],
)
def test_what_is_no_session_says_why_and_what_to_do(script: Script, says: str) -> None:
    text = refused(script)
    assert text.startswith(f"elsewhere:{RECON} was not compared with: ")
    assert says in text


@pytest.mark.parametrize("host", ["down", "nowhere"])
def test_nobody_at_the_address(host: str) -> None:
    text = refused(closes, Target(host=host, port=RECON))
    assert "see whether its address is right" in text


def test_what_both_have_is_told_by_a_whole_session() -> None:
    found = told(claiming([*OURS[:7], *THEIRS]))
    assert (found.theirs, found.ours) == (frozenset(THEIRS), frozenset(OURS[7:]))
    assert found.has_all_of_theirs
    assert found.has_all_of_ours


@pytest.mark.parametrize("filters", [DEFAULT_FILTERS, b"its,own"])
def test_it_is_shown_its_own_filters_and_no_port_to_fetch_from(filters: bytes) -> None:
    shown: list[Config] = []

    async def script(line: Line) -> None:
        shown.append(await line.shake_hands(filters))
        await line.say(Done())

    assert not told(script).has_all_of_theirs
    values = dict(shown[0].pairs)
    assert (values[b"filters"], values[b"http port"]) == (filters, bytes(4))


def test_it_is_shown_the_filters_that_are_pinned() -> None:
    text = refused(refusing(b"?"), Target(host="elsewhere", port=RECON, filters="ours"))
    assert "filters do not match" in text


async def _begins(line: Line) -> None:
    await line.shake_hands()
    await line.say(FullRequest(ROOT, tuple(THEIRS)), Flush())
    await line.hear()


async def breaks_off(line: Line) -> None:
    await _begins(line)


async def hangs(line: Line) -> None:
    await _begins(line)
    await anyio.sleep_forever()


async def fails(line: Line) -> None:
    await _begins(line)
    await line.say(Error(b"out of disk"))


async def lies(line: Line) -> None:
    await _begins(line)
    await line.stream.send(b"\x7f\xff\xff\xff\x01")
    await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("script", "ending", "text"),
    [
        (breaks_off, Ending.CLOSED, "it closed before the end"),
        (hangs, Ending.CLOSED, "it said nothing for 30 s"),
        (fails, Ending.FAILED, "out of disk"),
        (lies, Ending.LIMIT, "a message has at most 16777216 octets here"),
    ],
)
def test_what_was_told_counts_however_it_ends(script: Script, ending: Ending, text: str) -> None:
    found = told(script)
    assert (found.end.ending, found.end.text) == (ending, text)
    assert (found.theirs, found.ours) == (frozenset(THEIRS), frozenset(OURS))


def test_more_than_a_session_tells_is_no_whole() -> None:
    many = [Digest(number.to_bytes(16)) for number in range(1 << 66, (1 << 66) + 20_001)]
    found = told(claiming(many))
    assert len(found.theirs) == 20_000
    assert not found.has_all_of_theirs
    assert not found.has_all_of_ours
