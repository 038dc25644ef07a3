"""The partners of other keyservers' settings, as ours have them.

SKS's `membership` has a line for each: host and port of its recon, and behind a `#` whatever its
operator wants. Hockeypuck has a table for each in its TOML. Source: sks-keyserver, membership.ml;
Hockeypuck, conflux/recon/settings.go.
"""

import re
import tomllib
from ipaddress import ip_network
from typing import Any, cast

import msgspec

from keygrove.settings import ReconPartner, ReconSettings

HOCKEYPUCK_WEIGHT = 100
"""Of a partner without one; one below zero is never begun with."""
NAME_CHARS = 63


class Imported(msgspec.Struct, frozen=True):
    """What was found; `problems` tell in words what could not be taken over."""

    recon: ReconSettings
    problems: tuple[str, ...]


def read_partners(text: str) -> Imported:
    """The partners in a `membership` of SKS or in settings of Hockeypuck."""
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        document = {}
    hockeypuck = _table(document, "hockeypuck")
    return _from_hockeypuck(hockeypuck) if hockeypuck else _from_membership(text)


def as_toml(recon: ReconSettings) -> str:
    """The same as our settings file has it: what is at its default is left out."""
    own = {key: value for key, value in _told(recon).items() if key != "partner"}
    parts = [_section("[recon]", own)] if own else []
    parts += [_section("[[recon.partner]]", _told(partner)) for partner in recon.partner]
    return "\n".join(parts)


def _told(struct: msgspec.Struct) -> dict[str, object]:
    fields = msgspec.structs.fields(type(struct))
    values = {field.name: (getattr(struct, field.name), field.default) for field in fields}
    return {name: value for name, (value, default) in values.items() if value != default}


def _section(head: str, values: dict[str, object]) -> str:
    lines = [f"{key} = {msgspec.json.encode(value).decode()}" for key, value in values.items()]
    return "\n".join([head, *lines, ""])


class _Found:
    """Partners as they are found."""

    def __init__(self) -> None:
        self.partners: list[ReconPartner] = []
        self.problems: list[str] = []

    def add(self, where: str, table: dict[str, object]) -> None:
        """Take one over, under a name of its own."""
        taken = {partner.name for partner in self.partners}
        name = str(table["name"])
        number = 1
        while table["name"] in taken:
            number += 1
            table["name"] = f"{name[: NAME_CHARS - 4]}-{number}"
        try:
            self.partners.append(msgspec.convert(table, ReconPartner))
        except msgspec.ValidationError as error:
            self.problems.append(f"{where}: left out, it cannot be a partner: {error}")


def _from_membership(text: str) -> Imported:
    found = _Found()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2:
            found.problems.append(f"line {number}: left out, it is not a host and a port")
            continue
        host, port = words
        shown = f"[{host}]" if ":" in host else host
        found.add(f"line {number}", {"name": _name(host), "recon": f"{shown}:{port}"})
    return Imported(ReconSettings(partner=tuple(found.partners)), tuple(found.problems))


def _from_hockeypuck(hockeypuck: dict[str, Any]) -> Imported:
    recon = _table(_table(hockeypuck, "conflux"), "recon")
    found = _Found()
    for name, table in _table(recon, "partner").items():
        if not isinstance(table, dict):
            found.problems.append(f"partner.{name}: left out, it is no table")
        else:
            _take(found, name, cast("dict[str, Any]", table))
    for address in _list(recon, "partners"):  # of old; it says nothing of HTTP
        found.add("partners", {"name": _name(address.rpartition(":")[0]), "recon": address})
    settings: dict[str, object] = {"partner": msgspec.to_builtins(found.partners)}
    if "gossipIntervalSecs" in recon:
        settings["gossip_interval"] = recon["gossipIntervalSecs"]
    if "allowCIDRs" in recon:
        settings["allow"] = _networks(found, recon["allowCIDRs"])
    try:
        taken = msgspec.convert(settings, ReconSettings)
    except msgspec.ValidationError as error:
        settings.pop("gossip_interval", None)
        found.problems.append(f"gossipIntervalSecs: left out: {error}")
        taken = msgspec.convert(settings, ReconSettings)
    return Imported(taken, tuple(found.problems))


def _networks(found: _Found, values: object) -> list[str]:
    """As they can stand in our settings; Hockeypuck, as Go, takes `10.1.2.3/8` for `10.0.0.0/8`."""
    networks: list[str] = []
    for value in cast("list[object]", values) if isinstance(values, list) else [values]:
        try:
            networks.append(str(ip_network(str(value), strict=False)))
        except ValueError as error:
            found.problems.append(f"allowCIDRs: left out: {error}")
    return networks


def _take(found: _Found, name: str, table: dict[str, Any]) -> None:
    where = f"partner.{name}"
    if "unix" in {table.get("reconNet"), table.get("httpNet")}:
        found.problems.append(f"{where}: left out, it is reached by a Unix socket")
        return
    partner: dict[str, object] = {"name": _name(name), "recon": table.get("reconAddr", "")}
    if table.get("httpAddr"):
        partner["http"] = table["httpAddr"]
    weight = table.get("weight", 0)
    if isinstance(weight, int):
        partner["weight"] = max(weight, 0) if weight else HOCKEYPUCK_WEIGHT
    found.add(where, partner)


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _list(table: dict[str, Any], key: str) -> list[str]:
    value = table.get(key)
    values = cast("list[object]", value) if isinstance(value, list) else []
    return [one for one in values if isinstance(one, str)]


def _name(text: str) -> str:
    """A name of ours that is like this one."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text).lstrip("_.-")[:NAME_CHARS] or "partner"
