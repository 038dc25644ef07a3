"""When small values are coded by another dictionary than before, and how it comes about.

It is made from the shard's own newest values, and judged by others of these. Runs on a reader's
thread: training takes a tenth of a second.
"""

from typing import Final

import msgspec

from keygrove.ports import SqlSession
from keygrove.storage import coding, values
from keygrove.storage.coding import SMALL_BYTES, Dictionary
from keygrove.storage.values import InForce, form

SPAN: Final = 4_096
"""Of the newest rows samples are taken."""
SAMPLES_MIN: Final = 1_000
SAMPLES_MAX: Final = 2_000
HELD_OUT: Final = 4
"""One of so many samples is not trained with."""
PAYS: Final = 0.875
"""A first dictionary has to leave no larger part than that."""
DRIFT: Final = 1.05
"""A dictionary is replaced when another leaves so much less."""


class Verdict(msgspec.Struct, frozen=True):
    """What became of the dictionary in force."""

    share: float
    """Which part it leaves of values held out; 1.0 without one."""
    better: Dictionary | None = None
    """To be adopted."""
    better_share: float = 1.0


def judge(db: SqlSession, in_force: InForce | None, usual: float) -> Verdict | None:
    """Train another dictionary if there is none, or if it leaves more than it usually did.

    Returns:
        None if there are too few small values to tell.
    """
    samples = _samples(db)
    if len(samples) < SAMPLES_MIN:
        return None
    held_out = samples[::HELD_OUT]
    share = coding.share(held_out, in_force.dictionary if in_force else None)
    if in_force is not None and share <= usual * DRIFT:
        return Verdict(share)
    others = [one for at, one in enumerate(samples) if at % HELD_OUT]
    trained = coding.train(others[:SAMPLES_MAX])
    if trained is None:
        return Verdict(share)
    reached = coding.share(held_out, trained)
    enough = PAYS if in_force is None else share / DRIFT
    return Verdict(share, trained, reached) if reached <= enough else Verdict(share)


def _samples(db: SqlSession) -> list[bytes]:
    """The newest small values, the newest first."""
    rows = db.execute(
        "SELECT v, flags, base, size FROM obj WHERE seq > (SELECT max(seq) FROM obj) - ?"
        " AND size > 0 AND size < ? ORDER BY seq DESC",
        (SPAN, SMALL_BYTES),
    )
    plain = [values.plain(db, "v", v, form(tuple(how))) for v, *how in rows.fetchall()]
    return [one for one in plain if one]
