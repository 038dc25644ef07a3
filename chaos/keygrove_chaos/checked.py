"""Data that is what its types say, wherever it comes from."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec


class Checked(msgspec.Struct, frozen=True):
    """Holds what a program makes to types and bounds, as msgspec does with what it decodes.

    Raises:
        ValueError: a field is not what it can be; the message names it.
    """

    def __post_init__(self) -> None:
        """Look at each field."""
        for name, kind in _types(type(self)):
            value: object = getattr(self, name)
            try:
                msgspec.convert(value, type=kind)
            except msgspec.ValidationError as error:
                own = self.__struct_config__.tag or type(self).__name__
                raise ValueError(f"{own}: {name} is {value!r:.80}: {error}") from error


@cache
def _types(struct: type[Checked]) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, field.type) for field in msgspec.structs.fields(struct))
