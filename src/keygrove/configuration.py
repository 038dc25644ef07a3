"""Settings from defaults, file, environment and command line, in this order, with origins."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date, time
from difflib import get_close_matches
from ipaddress import ip_network
from pathlib import Path
from typing import Any, TypeGuard, cast

import msgspec

from keygrove.errors import SettingsError
from keygrove.ingest.policy import policy_of
from keygrove.settings import ReconSettings, Settings

PREFIX = "KEYGROVE_"
FILE_BYTES_MAX = 1 << 20
QUOTED_CHARS_MAX = 80


class Form(msgspec.Struct, frozen=True):
    """What a key's value has to be, in words, and an example of it."""

    words: str
    example: str


FORMS = {
    "data_dir": Form("a path", '"/var/lib/keygrove"'),
    "http.listen": Form("a list of HOST:PORT", '["127.0.0.1:11371"]'),
    "http.word_search": Form("true or false", "true"),
    "http.short_ids": Form("true or false", "false"),
    "metrics.listen": Form("a list of HOST:PORT", '["127.0.0.1:9626"]'),
    "storage.shards": Form("a number from 1 to 64", "4"),
    "storage.cache_bytes": Form("a number of bytes, 0 or more", "67108864"),
    "storage.scrub_bytes_per_s": Form("a number of bytes, 0 or more", "67108864"),
    "storage.durability": Form('"full" or "relaxed"', '"full"'),
    "storage.history_days": Form("a number of days, 0 or more; 0: for ever", "0"),
    "load.processes": Form("a number from 0 to 64", "2"),
    "policy.preset": Form('"verified", "minimal" or "sks-compatible"', '"verified"'),
    "policy.third_party": Form('"preset", "all", "attested" or "none"', '"attested"'),
    "policy.user_attributes": Form("true or false", "false"),
    "policy.sha1_until": Form("a day in quotes, or empty text", '"2019-01-19"'),
    "policy.blocked": Form(
        "a list of fingerprints, each 32, 40 or 64 hexadecimal digits without 0x and blanks",
        '["0123456789ABCDEF0123456789ABCDEF01234567"]',
    ),
    "admin.keys": Form(
        "a list of fingerprints, each 40 or 64 hexadecimal digits without 0x and blanks",
        '["0123456789ABCDEF0123456789ABCDEF01234567"]',
    ),
    "admin.server": Form("the host name of this server, or empty text", '"keys.example.org"'),
    "admin.hockeypuck_form": Form("true or false", "false"),
    "proofs.name": Form(
        "a name of letters, digits and `-._:/`, or empty text", '"keys.example.org/certificates"'
    ),
    "recon.listen": Form("a list of HOST:PORT", '["0.0.0.0:11370"]'),
    "recon.http_port": Form("a TCP port, or 0 for that of http.listen", "11371"),
    "recon.gossip_interval": Form("a number of seconds, above 0 and up to 86400", "60"),
    "recon.max_outbound": Form("a number from 1 to 64", "4"),
    "recon.allow": Form("a list of IP addresses and networks", '["192.0.2.0/24", "2001:db8::1"]'),
    "recon.partner": Form(
        "tables [[recon.partner]]",
        '{name = "example", recon = "host:11370", http = "host:11371"}',
    ),
    "recon.partner.name": Form("letters, digits, dots, dashes, underscores", '"example"'),
    "recon.partner.recon": Form("HOST:PORT", '"keys.example.org:11370"'),
    "recon.partner.http": Form("HOST:PORT", '"keys.example.org:11371"'),
    "recon.partner.weight": Form("a number from 0 to 1000", "100"),
    "recon.partner.filters": Form(
        "names of filters with commas between, and no blanks", '"yminsky.dedup,yminsky.merge"'
    ),
    "push": Form("tables [[push]]", '{to = "hkps://keys.example.org"}'),
    "push.to": Form(
        "hkps://HOST, hkp://HOST or vks://HOST, with :PORT if need be", '"hkps://keys.example.org"'
    ),
    "push.when": Form('"always" or "failover"', '"always"'),
    "push.partner": Form("the name of a [[recon.partner]]", '"example"'),
    "push.sender": Form("a name of up to 64 characters without blanks", '"keys.example.net"'),
    "push.known_as": Form("a name of up to 64 characters without blanks", '"keys.example.org"'),
}
"""What to write, for each key; a test holds it against the structs."""

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
            key = _key_of(name)
            layers.append((f"environment {name}", _nest(key, _from_text(key, value))))
    layers.extend((OPTIONS[key], _nest(key, value)) for key, value in overrides.items())

    merged: Table = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        _check(layer, origin)
        _merge(merged, layer, origin, origins)
    settings = _check(merged, "settings")
    _check_distinct(settings, origins)
    _check_admin(settings)
    _check_recon(settings.recon)
    _check_push(settings)
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
        if _is_table(value):
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
    hint = f"did you mean {PREFIX}{close[0]}?" if close else f"known are: {_listed(PREFIX, keys)}"
    raise SettingsError(f"environment {variable} sets nothing; {hint}")


def _check(table: Table, origin: str) -> Settings:
    try:
        settings = msgspec.convert(table, Settings)
        policy_of(settings.policy)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{origin}: {_advice(str(error), table)}") from error
    except SettingsError as error:
        raise SettingsError(f"{origin}: {error}") from error
    return settings


def _advice(message: str, table: Table) -> str:
    """Turn msgspec's words into the key's path, its value, and what to write instead."""
    what, _, where = message.partition(" - at `$")
    path = where.removesuffix("`").lstrip(".").replace("[...]", "")
    unknown = re.search(r"unknown field `(.*)`", what)
    if unknown:
        return _unknown(_without_places(path), unknown[1])
    missing = re.search(r"missing required field `(\w+)`", what)
    if missing:
        path = f"{path}.{missing[1]}"
        found = "is missing"
    else:
        found = f"{_shown(table, path)} will not do"
    form = FORMS.get(_without_places(path))
    if form is None:
        return f"{path}: {found}; it is a table"
    return f"{path}: {found}; write {form.words}, for example {form.example}"


def _without_places(path: str) -> str:
    return re.sub(r"\[\d+\]", "", path)


def _shown(table: Table, path: str) -> str:
    """The value at a path of msgspec's, such as `http.listen[0]`."""
    value: object = table
    for step in re.findall(r"\w+", path):
        # msgspec went this way before us: what is no table is a list.
        value = value[step] if _is_table(value) else cast("list[object]", value)[int(step)]
    if isinstance(value, bool | date | time):
        return str(value).lower().replace(" ", "T")  # as TOML writes it
    return repr(value)[:QUOTED_CHARS_MAX]


def _unknown(table: str, name: str) -> str:
    prefix = f"{table}." if table else ""
    known = sorted(
        {key.removeprefix(prefix).split(".")[0] for key in FORMS if key.startswith(prefix)}
    )
    # Without the prefix, which would make all of them look alike.
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {prefix}{close[0]}?" if close else f"known here: {_listed(prefix, known)}"
    return f"{prefix}{name} is not a setting; {hint}"


def _listed(prefix: str, names: Iterable[str]) -> str:
    return ", ".join(prefix + name for name in names)


def _check_distinct(settings: Settings, origins: Mapping[str, str]) -> None:
    listens = {
        "http.listen": settings.http.listen,
        "metrics.listen": settings.metrics.listen,
        "recon.listen": settings.recon.listen,
    }
    taken: dict[str, str] = {}
    for key, addresses in listens.items():
        for address in addresses:
            if address in taken and not address.endswith(":0"):
                used = taken[address]
                raise SettingsError(
                    f"{key} ({origins.get(key, 'default')}): {address} is already used by "
                    f"{used} ({origins.get(used, 'default')}); choose another port"
                )
            taken[address] = key


def _check_recon(recon: ReconSettings) -> None:
    names = [partner.name for partner in recon.partner]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f"recon.partner: two partners are called {name!r}; rename one")
    for network in recon.allow:
        try:
            ip_network(network)
        except ValueError as error:
            form = FORMS["recon.allow"]
            raise SettingsError(
                f"recon.allow: {error}; write {form.words}, for example {form.example}"
            ) from error


def _check_push(settings: Settings) -> None:
    targets = [target.to for target in settings.push]
    partners = {partner.name: partner for partner in settings.recon.partner}
    for target in settings.push:
        if targets.count(target.to) > 1:
            raise SettingsError(f"push.to: {target.to} is there twice; leave one out")
        partner = partners.get(target.partner or "")
        if target.partner is not None and partner is None:
            raise SettingsError(
                f"push.partner: there is no [[recon.partner]] called {target.partner!r}"
            )
        if target.when == "failover" and (partner is None or not partner.weight):
            raise SettingsError(
                f"push.when: {target.to} is sent something while recon with its partner fails; "
                "name it as push.partner, and let its weight be above 0"
            )


def _check_admin(settings: Settings) -> None:
    if settings.admin.keys and not settings.admin.server:
        form = FORMS["admin.server"]
        raise SettingsError(
            "admin.server: is empty, and requests by admin.keys have to name this server; "
            f"write {form.words.removesuffix(', or empty text')}, for example {form.example}"
        )
