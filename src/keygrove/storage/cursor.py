"""Where a page ends, and the next one starts: only the store that gave it can tell."""

from typing import NewType

Cursor = NewType("Cursor", bytes)
