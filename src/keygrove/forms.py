"""What each setting has to be, in words, for whoever is told that it is something else."""

import re
from collections.abc import Iterable
from datetime import date, time
from difflib import get_close_matches
from typing import Any, TypeGuard, cast

import msgspec

QUOTED_CHARS_MAX = 80

Table = dict[str, Any]
"""TOML's own shape: its values may be anything until they are converted."""


class Form(msgspec.Struct, frozen=True):
    """What a key's value has to be, in words, and an example of it."""

    words: str
    example: str

    @property
    def advice(self) -> str:
        """What to write, as the end of a message."""
        return f"write {self.words}, for example {self.example}"


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
        "hkps://HOST, hkp://HOST or vks://HOST, with :PORT if need be, and no / at the end",
        '"hkps://keys.example.org"',
    ),
    "push.when": Form('"always" or "failover"', '"always"'),
    "push.partner": Form("the name of a [[recon.partner]]", '"example"'),
    "push.sender": Form("a name of up to 64 characters without blanks", '"keys.example.net"'),
    "push.known_as": Form("a name of up to 64 characters without blanks", '"keys.example.org"'),
}
"""What to write, for each key; a test holds it against the structs."""


def advice(error: msgspec.ValidationError, table: Table, within: str = "") -> str:
    """What msgspec says of a table, as the key's path, its value, and what to write instead.

    Args:
        table: what was converted.
        within: where a table is of the settings, as `recon.partner`, of which a row was converted.
    """
    what, _, where = str(error).partition(" - at `$")
    path = where.removesuffix("`").lstrip(".").replace("[...]", "")
    prefix = f"{within}." if within else ""
    row = _row(table, path)
    unknown = re.search(r"unknown field `(.*)`", what)
    if unknown:
        return _unknown(prefix + path, unknown[1], row)
    missing = re.search(r"missing required field `(\w+)`", what)
    if missing:
        path = f"{path}.{missing[1]}"
        found = "is missing"
    else:
        found = f"{_shown(table, path)} will not do"
    form = FORMS.get(_without_places(prefix + path))
    return f"{prefix}{path}{row}: {found}; {'it is a table' if form is None else form.advice}"


def is_table(value: object) -> TypeGuard[Table]:
    """Whether it is one."""
    return isinstance(value, dict)


def _without_places(path: str) -> str:
    return re.sub(r"\[\d+\]", "", path)


def _shown(table: Table, path: str) -> str:
    """The value at a path of msgspec's, such as `http.listen[0]`."""
    value: object = table
    for step in re.findall(r"\w+", path):
        # msgspec went this way before us: what is no table is a list.
        value = value[step] if is_table(value) else cast("list[object]", value)[int(step)]
    if isinstance(value, bool | date | time):
        return str(value).lower().replace(" ", "T")  # as TOML writes it
    return repr(value)[:QUOTED_CHARS_MAX]


def _row(table: Table, path: str) -> str:
    """Which row of a list of tables a path is in, by its name, or by where it sends to."""
    place = re.match(r"(.*)\[(\d+)\]", path)
    if place is None:
        return ""
    rows: object = table
    for step in place[1].split("."):
        rows = rows.get(step) if is_table(rows) else None
    row: object = cast("list[object]", rows)[int(place[2])] if isinstance(rows, list) else None
    if not is_table(row):
        return ""
    name: object = row.get("name", row.get("to"))
    if not isinstance(name, str) or path.endswith((".name", ".to")):  # else it would be there twice
        return ""
    return f" of {name[:QUOTED_CHARS_MAX]!r}"


def _unknown(path: str, name: str, row: str) -> str:
    table = _without_places(path)
    prefix = f"{table}." if table else ""
    known = sorted(
        {key.removeprefix(prefix).split(".")[0] for key in FORMS if key.startswith(prefix)}
    )
    # Without the prefix, which would make all of them look alike.
    close = get_close_matches(name, known, 1)
    hint = f"did you mean {prefix}{close[0]}?" if close else f"known here: {listed(prefix, known)}"
    whole = f"{path}.{name}" if path else name
    return f"{whole}{row} is not a setting; {hint}"


def listed(prefix: str, names: Iterable[str]) -> str:
    """Names with what stands before each of them."""
    return ", ".join(prefix + name for name in names)
