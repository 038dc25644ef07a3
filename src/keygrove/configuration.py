"""Settings from defaults, file, environment and command line, in this order, with origins."""

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import msgspec

from keygrove.coherence import check
from keygrove.errors import SettingsError, UnreadableSettingsError
from keygrove.forms import Table, advice, is_table, listed
from keygrove.ingest.policy import policy_of
from keygrove.settings import Settings

PREFIX = "KEYGROVE_"
FILE_BYTES_MAX = 1 << 20


OPTIONS = {"http.listen": "--listen", "data_dir": "--data"}
"""The options of commands that set a key."""

_TEXTS = {
    "data_dir",
    "storage.durability",
    "policy.preset",
    "policy.third_party",
    "policy.sha1_until",
    "admin.server",
    "proofs.name",
}
"""Keys whose value is text, even where that reads as a number."""

_LISTS = {
    "http.listen",
    "metrics.listen",
    "recon.listen",
    "recon.allow",
    "policy.blocked",
    "admin.keys",
}
"""Keys whose value is a list of texts."""


class Configuration(msgspec.Struct, frozen=True):
    """The settings, and for each key that is not at its default where it came from."""

    settings: Settings
    origins: dict[str, str]


def load(
    path: Path | None, environment: Mapping[str, str], overrides: Mapping[str, object]
) -> Configuration:
    """Read and check all settings.

    Args:
        path: a TOML file, or None for none.
        environment: variables named KEYGROVE_KEY or KEYGROVE_TABLE__KEY count.
        overrides: dotted key to value, from the command line.

    Raises:
        SettingsError: with the key's path and what to write instead.
    """
    layers: list[tuple[str, Table]] = []
    if path is not None:
        layers.append((f"file {path}", _read(path)))
    for name, value in sorted(environment.items()):
        if name.startswith(PREFIX):
            key = _key_of(name)
            layers.append((f"environment {name}", _nest(key, _from_text(key, value))))
    layers.extend((OPTIONS[key], _nest(key, value)) for key, value in overrides.items())

    merged: Table = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        _check(layer, origin)
        _merge(merged, layer, origin, origins)
    settings = _check(merged, "settings")
    check(settings, origins)
    return Configuration(settings, origins)


def flatten(settings: Settings) -> dict[str, object]:
    """Every key in dotted form with its value, in the order of the structs."""
    flat: dict[str, object] = {}

    def walk(prefix: str, table: Table) -> None:
        for key, value in table.items():
            if is_table(value):
                walk(f"{prefix}{key}.", value)
            else:
                flat[prefix + key] = value

    walk("", msgspec.to_builtins(settings))
    return flat


def _read(path: Path) -> Table:
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
        if len(text) > FILE_BYTES_MAX:
            raise SettingsError(f"{path} is larger than {FILE_BYTES_MAX} bytes: name another file")
        return tomllib.loads(text.decode("utf-8-sig"))
    except OSError as error:
        raise UnreadableSettingsError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 at byte {error.start}") from error
    except (ValueError, RecursionError) as error:
        # TOMLDecodeError, or what Python says to a number of 5,000 digits and to 1,000 brackets.
        raise SettingsError(f"{path} is not TOML: {error}") from error


def _nest(key: str, value: object) -> Table:
    head, _, rest = key.partition(".")
    return {head: _nest(rest, value) if rest else value}


def _from_text(key: str, text: str) -> object:
    """An environment variable's value: TOML, or plain text, comma-separated for a list."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        table = {}
    # With a line break in it, text could set something else.
    value: object = table["value"] if len(table) == 1 else text
    if key in _TEXTS and not isinstance(value, str):
        return text
    if key in _LISTS and isinstance(value, str | int):
        whole = value if isinstance(value, str) else text  # digits alone read as a number
        return [part.strip() for part in whole.split(",") if part.strip()]
    return value


def _merge(into: Table, layer: Table, origin: str, origins: dict[str, str], at: str = "") -> None:
    for key, value in layer.items():
        if is_table(value):
            _merge(into.setdefault(key, {}), value, origin, origins, f"{at}{key}.")
        else:
            into[key] = value
            origins[at + key] = origin


def _key_of(variable: str) -> str:
    """The key that an environment variable sets."""
    keys = {key.upper().replace(".", "__"): key for key in flatten(Settings())}
    name = variable.removeprefix(PREFIX)
    if name in keys:
        return keys[name]
    close = get_close_matches(name, keys, 1)
    hint = f"did you mean {PREFIX}{close[0]}?" if close else f"known are: {listed(PREFIX, keys)}"
    raise SettingsError(f"environment {variable} sets nothing; {hint}")


def _check(table: Table, origin: str) -> Settings:
    try:
        settings = msgspec.convert(table, Settings)
        policy_of(settings.policy)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{origin}: {advice(error, table)}") from error
    except SettingsError as error:
        raise SettingsError(f"{origin}: {error}") from error
    return settings
