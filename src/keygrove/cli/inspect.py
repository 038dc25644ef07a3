"""`keygrove inspect`."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import msgspec

from keygrove.cli.console import counted, out
from keygrove.cli.options import FoundProblems, WrongUse, common, configure, errors_worded
from keygrove.ingest.able import ensure_able
from keygrove.ingest.policy import policy_of
from keygrove.ingest.reasons import left_out
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, group
from keygrove_protocols.openpgp.inspection import InspectedCertificate, Inspection, inspect
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.openpgp.policy import Policy

_ERRORS = {
    "NoValidSelfSig": "its key has signed for nothing of it",
    "TooLarge": "it is larger than what is kept of a certificate",
    "Blocked": "the settings say so",
}
_REVOKED = {
    "hard": "at all times, for its key may be in other hands",
    "soft:1": "it was superseded",
    "soft:3": "it is no longer used",
    "soft:32": "its user ID is no longer valid",
}


class InspectedFile(msgspec.Struct, frozen=True):
    """An inspection as one line of JSON: the file, and the fields of `Inspection`."""

    file: str
    outcome: str
    error: str | None
    certificates: tuple[InspectedCertificate, ...]
    bare_revocation: object
    text: str


@click.command("inspect", short_help="Show what would be kept of certificates.")
@common
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False, readable=True, allow_dash=True),
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line for each file.")
def inspect_files(
    *, config: Path | None, data: Path | None, debug: bool, files: tuple[Path, ...], as_json: bool
) -> None:
    """Say what the certificates in FILES are, what would be kept of them when loaded, and why.

    Needs no server and no store. `-` is standard input. The policy is that of the settings. A
    revocation that comes alone is held against the certificates of all FILES.
    """
    with errors_worded(debug=debug):
        ensure_able()
        policy = policy_of(configure(config, data).settings.policy)
        inputs = [(str(path), _read(path)) for path in files]
        targets = [one for _, octets in inputs for one in _certificates(octets)]
        is_good = True
        for name, octets in inputs:
            found = inspect(octets, BULK, policy, targets)
            is_good = is_good and _is_good(found)
            if as_json:
                click.echo(msgspec.json.encode(_line(name, found)))
            else:
                for line in _told(name, found, policy):
                    out().print(line)
    if not is_good:
        sys.exit(FoundProblems.exit_code)


def _read(path: Path) -> bytes:
    """A file, or as much of it as is enough to be too much."""
    limit = BULK.body_bytes_max + 1
    try:
        if path == Path("-"):
            return sys.stdin.buffer.read(limit)
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise WrongUse(f"cannot read {path}: {error.strerror}") from error


def _certificates(octets: bytes) -> list[Certificate]:
    try:
        found = group(split(dearmor(octets, BULK).data, BULK), BULK)
    except ProtocolError:
        return []  # the inspection says why
    return [one for one in found if isinstance(one, Certificate)]


def _is_good(found: Inspection) -> bool:
    if found.bare_revocation is not None:
        return found.bare_revocation.verifies is not False
    return found.error is None and all(one.error is None for one in found.certificates)


def _line(name: str, found: Inspection) -> InspectedFile:
    return InspectedFile(
        name, found.outcome, found.error, found.certificates, found.bare_revocation, found.text
    )


def _told(name: str, found: Inspection, policy: Policy) -> Iterator[str]:
    """The lines for a terminal."""
    yield f"{_shown(name)}:"
    if found.error is not None:
        yield f"  nothing of it would be taken: {found.text} ({found.error})"
    if found.bare_revocation is not None:
        bare = found.bare_revocation
        yield f"  a revocation by {bare.issuer.upper()}: {bare.effect}"
    for one in found.certificates:
        yield from _told_one(one, policy)


def _told_one(one: InspectedCertificate, policy: Policy) -> Iterator[str]:
    name = one.fingerprint.upper() or "that cannot be named"
    yield f"  certificate {name}, version {one.version or 'unknown'}"
    if one.revoked is not None:
        yield f"    revoked: {_REVOKED.get(one.revoked, one.revoked)}"
    yield from _list("user ID", one.valid_uids, one.revoked_uids)
    yield from _list("subkey", one.valid_subkeys, one.revoked_subkeys)
    if one.error is not None:
        yield f"    nothing of it would be kept: {one.text or _ERRORS[one.error]} ({one.error})"
    else:
        own = counted(one.self_sigs_kept, "signature")
        others = counted(one.third_party_kept, "signature")
        yield f"    kept by policy {policy.preset}: {own} of its own, {others} of others"
    if one.attested_third_party is not None:
        yield f"    of those, {one.attested_third_party:,} approved by the owner"
    for reason in left_out(Counter(one.dropped), one.pruned):
        yield f"    {reason}"
    if one.sks_digest:
        yield f"    digest at SKS servers {one.sks_digest}"
    if one.filtered_digest not in (None, one.sks_digest):
        yield f"    digest of what is kept {one.filtered_digest}"


def _list(what: str, names: Sequence[str], revoked: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield f"    {what} {_shown(name)}{' (revoked)' if name in revoked else ''}"


def _shown(text: str) -> str:
    """Text from outside as a terminal may get it."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text)
