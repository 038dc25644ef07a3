"""Forms, as queries and browsers send them: urlencoded and multipart.

Values stay octets: what they mean, and whether a plus is a space, is for the caller.

Source: WHATWG URL Standard, section 5; RFC 7578.
"""

import re
from collections.abc import Iterator
from string import hexdigits

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from keygrove_protocols.errors import BadQueryError
from keygrove_protocols.limits import FIELDS_MAX


def parse_form(body: bytes, content_type: str | None) -> dict[bytes, bytes]:
    """The values of a posted form by name, the first of each, with a plus for a space.

    It is taken as urlencoded, whatever the content type says, unless that is multipart.

    Raises:
        BadQueryError: a multipart form cannot be read, or there are too many fields.
    """
    kind, parameters = parse_options_header((content_type or "").encode("latin-1", "replace"))
    if kind == b"multipart/form-data":
        return _parse_multipart(body, parameters.get(b"boundary", b""))
    raws = parse_query(body)
    return {name: decode(raw.replace(b"+", b" ")) for name, raw in raws.items()}


def parse_query(form: bytes) -> dict[bytes, bytes]:
    """The values of a urlencoded form by name, the first of each, still encoded.

    Raises:
        BadQueryError: there are too many fields.
    """
    pairs = form.split(b"&", FIELDS_MAX)
    if len(pairs) > FIELDS_MAX:
        raise BadQueryError(f"more than {FIELDS_MAX} fields: send fewer")
    fields: dict[bytes, bytes] = {}
    for pair in pairs:
        name, _, raw = pair.partition(b"=")
        fields.setdefault(decode(name), raw)
    return fields


_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_ESCAPES = {f"%{a}{b}".encode(): bytes.fromhex(a + b) for a in hexdigits for b in hexdigits}
_PIECE_BYTES = 1 << 16


def decode(raw: bytes) -> bytes:
    """Undo percent-encoding; a "%" that begins no escape stays.

    In pieces, for a form of nothing but escapes takes forty times its memory; and not by
    `urllib`, which is busy for a second with 8 MiB of "%".
    """
    if b"%" not in raw:
        return raw
    pieces = (_ESCAPE.sub(_unescape, piece) for piece in _pieces(raw))
    return b"".join(pieces)


def _unescape(escape: re.Match[bytes]) -> bytes:
    return _ESCAPES[escape[0]]


def _pieces(raw: bytes) -> Iterator[bytes]:
    """Cut, but not where an escape may lie across the cut."""
    start = 0
    while start < len(raw):
        end = start + _PIECE_BYTES
        across = raw.rfind(b"%", end - 2, end)
        end = end if across < 0 else across
        yield raw[start:end]
        start = end


def _parse_multipart(body: bytes, boundary: bytes) -> dict[bytes, bytes]:
    """The values of a multipart form by name, the first of each."""
    try:
        form = _Form(boundary)
        form.read(body)
    except FormParserError as error:
        raise BadQueryError("the multipart form cannot be read: send it anew") from error
    if not form.is_complete:
        raise BadQueryError("the multipart form has no end: send it whole")
    return form.fields


class _Form:
    """What the multipart parser tells, put together: the first value of each name."""

    def __init__(self, boundary: bytes) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.is_complete = False
        self._parts = 0
        self._name: bytes | None = None
        self._header, self._header_value, self._value = bytearray(), bytearray(), bytearray()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._extend_header,
                "on_header_value": self._extend_header_value,
                "on_header_end": self._end_header,
                "on_part_data": self._extend,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def read(self, body: bytes) -> None:
        """Read a whole form."""
        self._parser.write(body)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > FIELDS_MAX:
            raise BadQueryError(f"more than {FIELDS_MAX} fields: send fewer")
        self._name = None
        self._value.clear()

    def _extend_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _extend_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            _, parameters = parse_options_header(bytes(self._header_value))
            self._name = parameters.get(b"name")
        self._header.clear()
        self._header_value.clear()

    def _extend(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end(self) -> None:
        if self._name is not None:
            self.fields.setdefault(self._name, bytes(self._value))

    def _finish(self) -> None:
        self.is_complete = True
