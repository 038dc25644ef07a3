"""Level 5: is what is held a certificate, in canonical form, with the names that it bears?"""

from keygrove.ports import SqlDatabase
from keygrove.storage.fsck.content import rows
from keygrove.storage.fsck.findings import Findings, Level
from keygrove.storage.fsck.tell import Tell
from keygrove.storage.rows import Row
from keygrove.storage.state import stored_packets, unpack
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import OWN
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    canonical,
    fingerprint,
    group,
    packets,
    to_bytes,
)
from keygrove_protocols.openpgp.digest import sks_digest
from keygrove_protocols.openpgp.packets import split

ADVICE = "report it with this line: what was written was wrong"


async def check_semantics(reader: SqlDatabase, until: int, found: Findings, tell: Tell) -> None:
    """Look at all that is held, and was. What rotted is left to level 3."""
    async for page in rows(reader, until):
        for seq, row in page:
            if row is not None and row.v:
                for what in problems(row):
                    where = f"row {seq}, certificate {row.fp.hex().upper()}"
                    found.add(Level.SEMANTIC, "heap.db", where, what, ADVICE)
        tell("semantic", page[-1][0] if page else 0, until)


def problems(row: Row) -> list[str]:
    """What is wrong with what a row holds."""
    served = _read(row.v)
    if served is None:
        return ["it holds no certificate"]
    found: list[str] = []
    if fingerprint(served) != row.fp:
        found.append(f"it holds {fingerprint(served).hex().upper()}")
    if to_bytes(canonical(served)) != row.v:
        found.append("it is not in canonical form")
    if row.aside:
        try:
            unpack(row.aside)
        except (ValueError, AssertionError, ProtocolError):
            return [*found, "what is set aside cannot be read"]
    everything = _read(stored_packets(row.v, row.aside))
    if everything is None or sks_digest(packets(everything)) != row.md5:
        found.append("its SKS digest is another")
    return found


def _read(data: bytes) -> Certificate | None:
    try:
        found = group(split(data, OWN), OWN)
    except ProtocolError:
        return None
    one = found[0] if len(found) == 1 else None
    return one if isinstance(one, Certificate) else None
