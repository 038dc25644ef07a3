"""Each numbered statement of the ports (actors §2.1) has a test that bears its number."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NAMES = re.findall(
    r"^(?:async )?def (test_\w+)",
    "\n".join(path.read_text() for path in sorted(TESTS.rglob("test_port*.py")))
    + "\n".join(path.read_text() for path in sorted(TESTS.glob("interop/ports/test_*.py"))),
    re.MULTILINE,
)


@pytest.mark.parametrize("number", range(1, 20))
def test_a_statement_of_the_ports_is_named_by_a_test(number: int) -> None:
    assert any(f"_p{number:02}_" in name for name in NAMES)
