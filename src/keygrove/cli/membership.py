"""The partners of other keyservers' settings, as ours have them.

SKS's `membership` has a line for each: host and port of its recon, and behind a `#` whatever its
operator wants. Hockeypuck has a table for each in its TOML. Source: sks-keyserver, membership.ml;
Hockeypuck, conflux/recon/settings.go.
"""

import re
import tomllib
from collections.abc import Sequence
from ipaddress import ip_network
from typing import cast

import msgspec

from keygrove.forms import Table, advice, is_table
from keygrove.recon.hosts import bracketed, normal, target_fault
from keygrove.settings import ReconPartner, ReconSettings

HOCKEYPUCK_WEIGHT = 100
"""Of a partner without one; one below zero is never begun with."""
INTERVAL = "gossipIntervalSecs"
NAME_CHARS = 63


class Imported(msgspec.Struct, frozen=True):
    """What was found; `problems` tell in words what could not be taken over."""

    recon: ReconSettings
    problems: tuple[str, ...]


def read_partners(text: str) -> Imported:
    """The partners in a `membership` of SKS or in settings of Hockeypuck."""
    try:
        document: Table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        if re.search(r"^\s*\[hockeypuck\b", text, re.MULTILINE):
            return Imported(ReconSettings(), (f"it is not TOML: {error}",))
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

    def add(self, where: str, table: Table) -> None:
        """Take one over, under a name of its own."""
        try:
            partner = msgspec.convert(table, ReconPartner)
        except msgspec.ValidationError as error:
            self.problems.append(f"{where}: left out: {advice(error, table, 'recon.partner')}")
            return
        for address in (partner.recon, partner.http):
            fault = target_fault(address) if address is not None else ""
            if fault:
                self.problems.append(f"{where}: left out: {address} will not do: {fault}")
                return
        same = (one.name for one in self.partners if normal(one.recon) == normal(partner.recon))
        known = next(same, None)
        if known is not None:
            self.problems.append(f"{where}: left out: {partner.recon} is there already: {known}")
            return
        self.partners.append(msgspec.structs.replace(partner, name=self._free(partner.name)))

    def _free(self, name: str) -> str:
        """A name that none of them has, in whatever case: who reads them takes these for one."""
        taken = {partner.name.lower() for partner in self.partners}
        free, number = name, 1
        while free.lower() in taken:
            number += 1
            free = f"{name[: NAME_CHARS - 4]}-{number}"
        return free


def _from_membership(text: str) -> Imported:
    found = _Found()
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2:
            found.problems.append(f"line {number}: left out: it is not a host and a port")
            continue
        host, port = words
        found.add(
            f"line {number}", {"name": _name(host.lower()), "recon": f"{bracketed(host)}:{port}"}
        )
    return Imported(ReconSettings(partner=tuple(found.partners)), tuple(found.problems))


def _from_hockeypuck(hockeypuck: Table) -> Imported:
    recon = _table(_table(hockeypuck, "conflux"), "recon")
    found = _Found()
    table: object
    for name, table in _table(recon, "partner").items():
        if not is_table(table):
            found.problems.append(f"partner.{name}: left out: it is no table")
        else:
            _take(found, name, table)
    for address in _list(recon, "partners"):  # of old; it says nothing of HTTP
        host = str(address).rpartition(":")[0].lower()
        found.add("partners", {"name": _name(host), "recon": address})
    allow = _networks(found, _list(recon, "allowCIDRs"))
    return Imported(_timed(found, recon, allow), tuple(found.problems))


def _timed(found: _Found, recon: Table, allow: Sequence[str]) -> ReconSettings:
    """What was found, with the interval, if there is one that can be ours."""
    interval = {"gossip_interval": recon[INTERVAL]} if INTERVAL in recon else {}
    try:
        timed = msgspec.convert(interval, ReconSettings)
    except msgspec.ValidationError as error:
        found.problems.append(f"{INTERVAL}: left out: {advice(error, interval, 'recon')}")
        timed = ReconSettings()
    return msgspec.structs.replace(timed, allow=tuple(allow), partner=tuple(found.partners))


def _networks(found: _Found, values: Sequence[object]) -> list[str]:
    """As they can stand in our settings; Hockeypuck, as Go, takes `10.1.2.3/8` for `10.0.0.0/8`."""
    networks: list[str] = []
    for value in values:
        try:
            networks.append(str(ip_network(str(value), strict=False)))
        except ValueError as error:
            found.problems.append(f"allowCIDRs: left out: {error}")
    return networks


def _take(found: _Found, name: str, table: Table) -> None:
    where = f"partner.{name}"
    if "unix" in {table.get("reconNet"), table.get("httpNet")}:
        found.problems.append(f"{where}: left out: it is reached by a Unix socket")
        return
    weight = table.get("weight", 0) or HOCKEYPUCK_WEIGHT
    partner: Table = {
        "name": _name(name),
        "recon": table.get("reconAddr", ""),
        "weight": max(weight, 0) if isinstance(weight, int) else weight,
    }
    if table.get("httpAddr"):
        partner["http"] = table["httpAddr"]
    found.add(where, partner)


def _table(table: Table, key: str) -> Table:
    value: object = table.get(key)
    return value if is_table(value) else {}


def _list(table: Table, key: str) -> list[object]:
    value: object = table.get(key, [])
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _name(text: str) -> str:
    """A name of ours that is like this one."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text).lstrip("_.-")[:NAME_CHARS] or "partner"
