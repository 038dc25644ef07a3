"""`docs/reference/port-wire.md` says what the codec does."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from keygrove_actors import WireError
from keygrove_actors import port_wire as wire

PAGE = (Path(__file__).parents[2] / "docs/reference/port-wire.md").read_text()
GOLDEN = re.findall(r"^\| `(\[.*\])` \| `([0-9a-f]+)` \|$", PAGE, re.MULTILINE)
REFUSED = re.findall(r"`([0-9a-f]{8,})` \(", PAGE.partition("Refused:")[2])


def octets_of(pairs: dict[str, Any]) -> Any:
    return pairs["bin"].encode() if "bin" in pairs else pairs


def value(text: str) -> Any:
    return json.loads(re.sub(r'bin "(.*?)"', r'{"bin":"\1"}', text), object_hook=octets_of)


@pytest.mark.parametrize(("text", "octets"), GOLDEN)
def test_golden_frames_of_the_page_are_those_of_the_codec(text: str, octets: str) -> None:
    data = bytes.fromhex(octets)
    assert msgspec.msgpack.decode(data[4:]) == value(text)
    (frame,) = wire.Decoder().feed(data)
    assert wire.encode(frame) == data


def test_the_page_has_a_golden_frame_of_each_type() -> None:
    assert {value(text)[0] for text, _ in GOLDEN} == set(range(14))


@pytest.mark.parametrize("octets", REFUSED)
def test_what_the_page_refuses_is_refused(octets: str) -> None:
    with pytest.raises(WireError):
        wire.Decoder().feed(bytes.fromhex(octets))


@pytest.mark.parametrize("kind", wire.Frame.__args__)
def test_the_page_lists_each_frame_by_type_and_name(kind: type[Any]) -> None:
    assert f"| {kind.__struct_config__.tag} | {kind.__name__.upper()} |" in PAGE
