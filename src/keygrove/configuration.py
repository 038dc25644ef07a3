"""Settings from defaults, file, environment and command line, in this order, with origins."""

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from keygrove.errors import SettingsError
from keygrove.settings import Settings

PREFIX = "KEYGROVE_"
FILE_BYTES_MAX = 1 << 20

_EXAMPLES = {
    "data_dir": '"/var/lib/keygrove"',
    "http.listen": '["127.0.0.1:11371"]',
    "http.word_search": "true",
    "http.short_ids": "false",
    "metrics.listen": '["127.0.0.1:9626"]',
    "storage.shards": "4",
    "storage.cache_bytes": "67108864",
    "storage.durability": '"full" or "relaxed"',
    "recon.listen": '["0.0.0.0:11370"]',
    "recon.gossip_interval": "60",
    "recon.partner": '[[recon.partner]] with name, recon = "host:11370" and http = "host:11371"',
    "recon.partner.name": '"example" (letters, digits, dot, dash, underscore)',
    "recon.partner.recon": '"keys.example.org:11370"',
    "recon.partner.http": '"keys.example.org:11371"',
}
"""What to write instead, for each key; a test holds it against the structs."""

_TEXTS = {"data_dir", "storage.durability"}
"""Keys whose value is text, even where that reads as a number."""

Table = dict[str, Any]
"""TOML's own shape: its values may be anything until they are converted."""


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
            key = name.removeprefix(PREFIX).lower().replace("__", ".")
            layers.append((f"environment {name}", _nest(key, _from_text(key, value))))
    layers.extend(("command line", _nest(key, value)) for key, value in overrides.items())

    merged: Table = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        _check(layer, origin)
        _merge(merged, layer, origin, origins)
    settings = _check(merged, "settings")
    _check_distinct(settings)
    return Configuration(settings, origins)


def flatten(settings: Settings) -> dict[str, object]:
    """Every key in dotted form with its value, in the order of the structs."""
    flat: dict[str, object] = {}

    def walk(prefix: str, table: Table) -> None:
        for key, value in table.items():
            if _is_table(value):
                walk(f"{prefix}{key}.", value)
            else:
                flat[prefix + key] = value

    walk("", msgspec.to_builtins(settings))
    return flat


def _is_table(value: object) -> TypeGuard[Table]:
    return isinstance(value, dict)


def _read(path: Path) -> Table:
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
        if len(text) > FILE_BYTES_MAX:
            raise SettingsError(f"{path} is larger than {FILE_BYTES_MAX} bytes: name another file")
        return tomllib.loads(text.decode())
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error


def _nest(key: str, value: object) -> Table:
    head, _, rest = key.partition(".")
    return {head: _nest(rest, value) if rest else value}


def _from_text(key: str, text: str) -> object:
    """An environment variable's value: TOML, or plain text, comma-separated for a list."""
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    if key in _TEXTS and not isinstance(value, str):
        return text
    if isinstance(value, str) and key.endswith(".listen"):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _merge(into: Table, layer: Table, origin: str, origins: dict[str, str], at: str = "") -> None:
    for key, value in layer.items():
        if _is_table(value):
            _merge(into.setdefault(key, {}), value, origin, origins, f"{at}{key}.")
        else:
            into[key] = value
            origins[at + key] = origin


def _check(table: Table, origin: str) -> Settings:
    try:
        return msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{origin}: {_advice(str(error))}") from error


def _advice(message: str) -> str:
    """Turn msgspec's words into the key's path and what to write instead."""
    what, _, where = message.partition(" - at `$")
    path = where.removesuffix("`").lstrip(".").replace("[...]", "")
    key = re.sub(r"\[\d+\]", "", path)
    unknown = re.search(r"unknown field `(.*)`", what)
    if unknown:
        return _unknown(key, unknown[1])
    what = re.sub(r" matching regex .*", " of the right form", what.replace("`", ""))
    missing = re.search(r"missing required field (\w+)", what)
    if missing:
        key = path = f"{path}.{missing[1]}".lstrip(".")
        key = re.sub(r"\[\d+\]", "", key)
    example = _EXAMPLES.get(key)
    return f"{path}: {what[:1].lower()}{what[1:]}" + (f"; write {example}" if example else "")


def _unknown(table: str, name: str) -> str:
    prefix = f"{table}." if table else ""
    known = sorted(
        {k.removeprefix(prefix).split(".")[0] for k in _EXAMPLES if k.startswith(prefix)}
    )
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"{prefix}{name} is not a setting; {hint}"


def _check_distinct(settings: Settings) -> None:
    listens = {
        "http.listen": settings.http.listen,
        "metrics.listen": settings.metrics.listen,
        "recon.listen": settings.recon.listen,
    }
    taken: dict[str, str] = {}
    for key, addresses in listens.items():
        for address in addresses:
            if address in taken and not address.endswith(":0"):
                raise SettingsError(
                    f"{key}: {address} is already used by {taken[address]}; choose another port"
                )
            taken[address] = key
    names = [partner.name for partner in settings.recon.partner]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"recon.partner: two partners are called {name!r}; rename one")
