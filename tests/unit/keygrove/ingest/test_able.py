"""A machine that cannot verify everything takes nothing in."""

import pytest

from keygrove.errors import IncapableError
from keygrove.ingest.able import ensure_able


def test_this_machine_can_verify_everything() -> None:
    ensure_able()


def test_what_is_lacking_is_named() -> None:
    with pytest.raises(IncapableError, match=r"need brainpoolP256r1, RIPEMD-160: install"):
        ensure_able(["brainpoolP256r1", "RIPEMD-160"])
