"""An actor's state as others may see it: its declared struct, or its attributes, masked."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar, get_type_hints

import msgspec

T = TypeVar("T")


class _Mark(msgspec.Struct, frozen=True):
    """Marks what must not be shown."""


MASK: Final = "***"
"""What is shown in place of a secret."""

Secret = Annotated[T, _Mark()]
"""The annotation of an attribute or field whose value no snapshot may show."""


def snapshot(actor: object) -> dict[str, Any]:
    """What `actor` holds: of a declared `state` struct its fields, else its attributes.

    Live objects are shown by their `repr`; secrets are masked.
    """
    declared = vars(actor).get("state")
    holder: object = declared if isinstance(declared, msgspec.Struct) else actor
    secrets = _secrets(type(holder))
    return {
        name: MASK if name in secrets else _shown(value)
        for name, value in _fields(holder).items()
        if not name.startswith("__")
    }


def raw(actor: object) -> Any:
    """The state itself: the declared struct, or a shallow copy of the attributes."""
    declared = vars(actor).get("state")
    return declared if isinstance(declared, msgspec.Struct) else dict(vars(actor))


def put(actor: object, state: Any) -> None:
    """Give `actor` another state, of the shape that `raw` showed."""
    if isinstance(state, msgspec.Struct):
        vars(actor)["state"] = state
    elif isinstance(state, dict):
        vars(actor).clear()
        vars(actor).update(state)  # pyright: ignore[reportUnknownArgumentType] - checked by its maker
    else:
        raise TypeError(f"a state is a struct or a dict of attributes, not {type(state).__name__}")


def _fields(holder: object) -> dict[str, Any]:
    if isinstance(holder, msgspec.Struct):
        return {name: getattr(holder, name) for name in holder.__struct_fields__}
    return dict(vars(holder))


def _shown(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        secrets = _secrets(type(value))
        return {n: MASK if n in secrets else _shown(v) for n, v in _fields(value).items()}
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a snapshot must not fail for one object that will not be shown
        return f"<{type(value).__name__}>"


def _secrets(kind: type[Any]) -> set[str]:
    try:
        hints = get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):  # a class made inside a function: go by the words
        notes = [vars(base).get("__annotations__", {}) for base in kind.__mro__]
        return {n for note in notes for n, hint in note.items() if "Secret[" in str(hint)}
    return {n for n, hint in hints.items() if any(isinstance(m, _Mark) for m in _marks(hint))}


def _marks(hint: Any) -> tuple[Any, ...]:
    return getattr(hint, "__metadata__", ())
