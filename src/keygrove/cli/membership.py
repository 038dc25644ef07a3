"""The partners and targets of other keyservers' settings, as ours have them.

SKS's `membership` has a line for each partner: host and port of its recon, and behind these or a
`#` whatever its operator wants. Hockeypuck has a table for each in its TOML, and a list of whom it
sends what changes (hkp.md 7.9). Source: sks-keyserver, membership.ml; Hockeypuck,
conflux/recon/settings.go.
"""

import re
import tomllib
from collections.abc import Sequence
from ipaddress import ip_network
from typing import cast
from urllib.parse import urlsplit

import msgspec

from keygrove.forms import Table, advice, is_table
from keygrove.push.address import address_of
from keygrove.recon.hosts import bracketed, normal, target_fault
from keygrove.settings import PushTarget, ReconPartner, ReconSettings

HOCKEYPUCK_WEIGHT = 100
"""Of a partner without one; one below zero is never begun with."""
INTERVAL = "gossipIntervalSecs"
NAME_CHARS = 63
ALL = "0.0.0.0"  # noqa: S104 - what Hockeypuck has by default
DEAF = f"""\
# Partners have to reach this server, at the address by which they know it. Set what fits here:
# listen = ["{ALL}:11370"]"""


class Imported(msgspec.Struct, frozen=True):
    """What was found; `problems` tell in words what could not be taken over."""

    recon: ReconSettings = ReconSettings()
    push: tuple[PushTarget, ...] = ()
    problems: tuple[str, ...] = ()


def read_partners(octets: bytes) -> Imported:
    """What is in a `membership` of SKS or in settings of Hockeypuck, which say no encoding."""
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = octets.decode("latin-1")
    try:
        document: Table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        if re.search(r"^\s*\[hockeypuck\b", text, re.MULTILINE):
            return Imported(problems=(f"it is not TOML: {error}",))
        document = {}  # no line of a membership is TOML
    if document and "hockeypuck" not in document:
        return Imported(problems=("it has no table [hockeypuck]",))
    found = _from_hockeypuck(_table(document, "hockeypuck")) if document else _from_membership(text)
    return Imported(problems=("there is nothing to take over",)) if found == Imported() else found


def as_toml(found: Imported) -> str:
    """The same as our settings file has it: what is at its default is left out."""
    recon = found.recon
    own = {key: value for key, value in _told(recon).items() if key != "partner"}
    if recon.partner and not recon.listen:
        parts = [_section(f"[recon]\n{DEAF}", own)]
    else:
        parts = [_section("[recon]", own)] if own else []
    parts += [_section("[[recon.partner]]", _told(partner)) for partner in recon.partner]
    parts += [_section("[[push]]", _told(target)) for target in found.push]
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
        self.targets: dict[str, PushTarget] = {}
        """By where they take certificates."""
        self.problems: list[str] = []

    def add(self, where: str, table: Table) -> ReconPartner | None:
        """Take a partner over, under a name of its own; None: it could not be."""
        try:
            partner = msgspec.convert(table, ReconPartner)
        except msgspec.ValidationError as error:
            self.problems.append(f"{where}: left out: {advice(error, table, 'recon.partner')}")
            return None
        for address in (partner.recon, partner.http):
            fault = target_fault(address) if address is not None else ""
            if fault:
                self.problems.append(f"{where}: left out: {address} will not do: {fault}")
                return None
        same = (one.name for one in self.partners if normal(one.recon) == normal(partner.recon))
        known = next(same, None)
        if known is not None:
            self.problems.append(f"{where}: left out: {partner.recon} is there already: {known}")
            return None
        partner = msgspec.structs.replace(partner, name=self._free(partner.name))
        self.partners.append(partner)
        return partner

    def add_target(self, where: str, table: Table) -> None:
        """Take over somebody who is sent what changes."""
        try:
            target = msgspec.convert(table, PushTarget)
        except msgspec.ValidationError as error:
            self.problems.append(f"{where}: left out: {advice(error, table, 'push')}")
            return
        url = address_of(target.to).url
        fault = target_fault(urlsplit(url).netloc)
        if fault:
            self.problems.append(f"{where}: left out: {target.to} will not do: {fault}")
        elif url in self.targets:
            known = self.targets[url].to
            self.problems.append(f"{where}: left out: {target.to} is there already: {known}")
        else:
            self.targets[url] = target

    def listened(self, recon: Table) -> tuple[str, ...]:
        """Where Hockeypuck takes recon, as ours; without a host it is at all addresses."""
        address = recon.get("reconAddr")
        if not address:
            return ()
        if str(address).startswith(":"):
            address = f"{ALL}{address}"
        table: Table = {"listen": [address]}
        try:
            return msgspec.convert(table, ReconSettings).listen
        except msgspec.ValidationError as error:
            self.problems.append(f"reconAddr: left out: {advice(error, table, 'recon')}")
            return ()

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
        if len(words) < 2:
            found.problems.append(f"line {number}: left out: it is not a host and a port")
            continue
        host, port, *_ = words
        host = host.removeprefix("[").removesuffix("]")
        found.add(
            f"line {number}", {"name": _name(host.lower()), "recon": f"{bracketed(host)}:{port}"}
        )
    recon = ReconSettings(partner=tuple(found.partners))
    return Imported(recon, problems=tuple(found.problems))


def _from_hockeypuck(hockeypuck: Table) -> Imported:
    recon = _table(_table(hockeypuck, "conflux"), "recon")
    pks = _table(hockeypuck, "pks")
    found = _Found()
    for to in _list(pks, "to"):
        found.add_target("pks.to", _target(to, pks))
    table: object
    for name, table in _table(recon, "partner").items():
        if not is_table(table):
            found.problems.append(f"partner.{name}: left out: it is no table")
        else:
            _take(found, name, table, pks)
    for address in _list(recon, "partners"):  # of old; it says nothing of HTTP
        host = str(address).rpartition(":")[0].lower()
        found.add("partners", {"name": _name(host), "recon": address})
    allow = _networks(found, _list(recon, "allowCIDRs"))
    timed = _timed(found, recon, allow)
    return Imported(timed, tuple(found.targets.values()), tuple(found.problems))


def _timed(found: _Found, recon: Table, allow: Sequence[str]) -> ReconSettings:
    """What was found, with the interval, if there is one that can be ours."""
    interval = {"gossip_interval": recon[INTERVAL]} if INTERVAL in recon else {}
    try:
        timed = msgspec.convert(interval, ReconSettings)
    except msgspec.ValidationError as error:
        found.problems.append(f"{INTERVAL}: left out: {advice(error, interval, 'recon')}")
        timed = ReconSettings()
    return msgspec.structs.replace(
        timed, listen=found.listened(recon), allow=tuple(allow), partner=tuple(found.partners)
    )


def _networks(found: _Found, values: Sequence[object]) -> list[str]:
    """As they can stand in our settings; Hockeypuck, as Go, takes `10.1.2.3/8` for `10.0.0.0/8`."""
    networks: list[str] = []
    for value in values:
        try:
            networks.append(str(ip_network(str(value), strict=False)))
        except ValueError as error:
            found.problems.append(f"allowCIDRs: left out: {error}")
    return networks


def _target(to: object, pks: Table) -> Table:
    """Whom Hockeypuck sends what changes, and what it calls itself to it."""
    target: Table = {"to": to.rstrip("/") if isinstance(to, str) else to}
    return target | ({"sender": pks["from"]} if pks.get("from") else {})


def _take(found: _Found, name: str, table: Table, pks: Table) -> None:
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
    taken = found.add(where, partner)
    if taken is None or not table.get("pksFailover"):
        return
    if taken.http is None or not taken.weight:
        text = "it needs httpAddr, and a weight above 0"
        found.problems.append(f"{where}: pksFailover: left out: {text}")
        return
    more = {"when": "failover", "partner": taken.name}
    found.add_target(f"{where}: pksFailover", _target(f"hkp://{taken.http}", pks) | more)


def _table(table: Table, key: str) -> Table:
    value: object = table.get(key)
    return value if is_table(value) else {}


def _list(table: Table, key: str) -> list[object]:
    value: object = table.get(key, [])
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _name(text: str) -> str:
    """A name of ours that is like this one."""
    return re.sub(r"[^A-Za-z0-9_.-]", "-", text).lstrip("_.-")[:NAME_CHARS] or "partner"
