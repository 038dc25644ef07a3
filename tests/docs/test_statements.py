"""Each numbered statement of a contract has a test that bears its number."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PORTS = [*TESTS.rglob("test_port*.py"), *TESTS.glob("interop/ports/test_*.py")]
CERTIFICATES = [
    path for path in TESTS.rglob("test_*.py") if path not in PORTS and "actors" not in path.parts
]


def text_of(paths: Iterable[Path]) -> str:
    return "\n".join(path.read_text() for path in sorted(paths))


NAMES = re.findall(r"^(?:async )?def (test_\w+)", text_of(PORTS), re.MULTILINE)
NAMED = {int(number) for number in re.findall(r"[\"_]p(\d{3})(?=[-_\"])", text_of(CERTIFICATES))}
"""In the name of a test, or of one of its cases."""


@pytest.mark.parametrize("number", range(1, 20))
def test_a_statement_of_the_ports_is_named_by_a_test(number: int) -> None:
    assert any(f"_p{number:02}_" in name for name in NAMES)


@pytest.mark.parametrize("number", range(1, 109), ids="p{:03}".format)
def test_a_statement_on_certificates_is_named_by_a_test(number: int) -> None:
    assert number in NAMED
