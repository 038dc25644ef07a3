"""HTML for people. Everything from outside is escaped by the template engine."""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from keygrove.ingest.messages import Fate
from keygrove.ingest.reasons import remark
from keygrove.web.figures import Stats
from keygrove_protocols.hkp.index import algorithm_name
from keygrove_protocols.openpgp.summary import Summary, is_expired


class Line(msgspec.Struct, frozen=True):
    """A key or user ID as a page shows it."""

    text: str
    created: str
    expires: str
    mark: str
    """`revoked`, `expired` or nothing."""


class Entry(msgspec.Struct, frozen=True):
    """A certificate as a page shows it."""

    fingerprint: str
    primary: Line
    user_ids: tuple[Line, ...]
    subkeys: tuple[Line, ...]


class Pages:
    """The pages, each from its template."""

    def __init__(self, version: str) -> None:
        self._templates = Environment(
            loader=PackageLoader("keygrove.web"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._version = version

    def home(self) -> bytes:
        """Search and submit."""
        return self._render("home.html")

    def index(self, search: str, summaries: Sequence[Summary], now: int) -> bytes:
        """What was found."""
        return self._render(
            "index.html", search=search, entries=[_entry(one, now) for one in summaries]
        )

    def error(self, text: str) -> bytes:
        """What went wrong, and a way on."""
        return self._render("error.html", text=text)

    def stats(self, stats: Stats) -> bytes:
        """The statistics."""
        return self._render("stats.html", stats=stats)

    def submitted(self, fates: Sequence[Fate]) -> bytes:
        """What became of a submission."""
        return self._render("submitted.html", fates=fates, remark=remark)

    def _render(self, name: str, **values: object) -> bytes:
        return self._templates.get_template(name).render(version=self._version, **values).encode()


def _entry(summary: Summary, now: int) -> Entry:
    return Entry(
        fingerprint=summary.fingerprint.hex().upper(),
        primary=Line(
            algorithm_name(summary),
            _date(summary.created),
            _date(summary.expires),
            _mark(summary.expires, now, is_revoked=summary.is_revoked),
        ),
        user_ids=tuple(
            Line(
                one.text.decode(errors="replace"),
                _date(one.created),
                _date(one.expires),
                _mark(one.expires, now, is_revoked=one.is_revoked),
            )
            for one in summary.user_ids
        ),
        subkeys=tuple(
            Line(
                one.fingerprint.hex().upper(),
                _date(one.created),
                _date(one.expires),
                _mark(one.expires, now, is_revoked=one.is_revoked),
            )
            for one in summary.subkeys
        ),
    )


def _date(seconds: int | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _mark(expires: int | None, now: int, *, is_revoked: bool) -> str:
    if is_revoked:
        return "revoked"
    return "expired" if is_expired(expires, now) else ""
