"""`keygrove admin`: requests to be signed, and what this machine orders without a signature."""

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import anyio
import click
import msgspec

from keygrove.cli.console import counted
from keygrove.cli.control import connected
from keygrove.cli.hints import completed
from keygrove.cli.options import FoundProblems, WrongUse, common, configure, errors_worded
from keygrove.cli.records import audit, blocked
from keygrove.cli.words import Word
from keygrove.errors import UnavailableError
from keygrove.http.orders import EFFECTIVE, LocalAction, LocalRequest, Report, Result
from keygrove.system.clock import SystemClock, SystemEntropy
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.hkp.admin import (
    NONCE_OCTETS,
    AdminAction,
    AdminRequest,
    parse_request,
    write_request,
)
from keygrove_protocols.limits import SUBMISSION
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import Certificate, fingerprint, group
from keygrove_protocols.openpgp.keys import Fingerprint
from keygrove_protocols.openpgp.packets import split
from keygrove_protocols.openpgp.redaction import PartHash, user_id_hash

DONE = frozenset({200, 409})
"""What the server says to requests that it understood; 409 if there was nothing to do."""
WORDS = {
    Result.AHEAD: "nothing of it was held, and nothing of it will be taken",
    Result.BLOCKED_BEFORE: "the reason given first stands, see `keygrove admin blocked`",
    Result.NOT_BLOCKED: "there was nothing to unblock",
    Result.NOT_HELD: "none of it was held, and none of it will be taken",
    Result.NOT_REDACTED: "there was nothing to take again",
}
"""What is said beside a result that may surprise."""

USER_ID = click.option(
    "--user-id",
    "user_ids",
    multiple=True,
    metavar="TEXT",
    help="A whole user ID, exactly as it is; may be repeated.",
)
REASON = click.option("--reason", type=Word(), metavar="TEXT", help="Why, in one line.")


@click.group("admin")
def admin() -> None:
    """Block and replace certificates."""


admin.add_command(audit)
admin.add_command(blocked)


@admin.command("request", short_help="Write a request for an administrator to sign.")
@common
@click.argument("action", type=click.Choice([one.value for one in AdminAction]))
@click.argument("certificates", nargs=-1, required=True)
@USER_ID
@REASON
@click.option(
    "--server",
    type=Word(),
    metavar="HOST",
    help="The server that it is for, if not the settings' own.",
)
def request(
    *,
    config: Path | None,
    data: Path | None,
    debug: bool,
    action: str,
    certificates: tuple[str, ...],
    user_ids: tuple[str, ...],
    reason: str | None,
    server: str | None,
) -> None:
    """Write a request for an administrator to sign within the hour.

    CERTIFICATES are fingerprints, or for "replace" the file of the certificate that takes the
    place of the one that is held.
    """
    with errors_worded(debug=debug):
        server = server or configure(config, data).settings.admin.server
        if not server:
            raise WrongUse("say which server it is for: --server HOST, or admin.server")
        wanted = AdminAction(action)
        if wanted is AdminAction.REPLACE:
            names, digest = _replacement(certificates)
        else:
            names, digest = tuple(map(parse_fingerprint, certificates)), b""
        text = write_request(
            AdminRequest(
                action=wanted,
                server=server,
                date=SystemClock().now(),
                nonce=SystemEntropy().token(NONCE_OCTETS),
                fingerprints=names,
                reason=reason or "",
                certificate=digest,
                user_ids=tuple(_hashes(user_ids)),
            )
        )
        try:
            parse_request(text)  # what no server would take is not to be signed
        except ProtocolError as error:
            raise WrongUse(str(error)) from error
        sys.stdout.buffer.write(text)


def _order_command(action: LocalAction, short_help: str, text: str) -> None:
    """Add a command by which whoever works on this machine has the running server do something."""

    @admin.command(action, short_help=short_help, help=text)
    @common
    @click.argument("fingerprints", nargs=-1, required=True)
    @REASON
    def order(
        *,
        config: Path | None,
        data: Path | None,
        debug: bool,
        fingerprints: tuple[str, ...],
        reason: str | None,
    ) -> None:
        with errors_worded(debug=debug):
            root = Path(configure(config, data).settings.data_dir)
            _tell(anyio.run(_order, root, action, fingerprints, reason or ""))


_order_command(
    "block",
    "Remove certificates, and take them no more.",
    "Have the running server remove certificates, and take them no more.",
)
_order_command(
    "unblock",
    "Take blocked certificates again.",
    "Have the running server take blocked certificates again. None comes back by that alone.",
)


def _redaction_command(name: str, action: LocalAction, short_help: str, text: str) -> None:
    """Add a command about user IDs, for whoever works on this machine."""

    @admin.command(name, short_help=short_help, help=text)
    @common
    @click.argument("fingerprint")
    @USER_ID
    @REASON
    def order(
        *,
        config: Path | None,
        data: Path | None,
        debug: bool,
        fingerprint: str,
        user_ids: tuple[str, ...],
        reason: str | None,
    ) -> None:
        with errors_worded(debug=debug):
            if not user_ids:
                raise WrongUse("say which user ID is meant: --user-id TEXT")
            root = Path(configure(config, data).settings.data_dir)
            _tell(anyio.run(_order, root, action, [fingerprint], reason or "", _hashes(user_ids)))


_redaction_command(
    "redact",
    "redact-uid",
    "Remove user IDs from a certificate, and take them no more.",
    "Have the running server remove user IDs from a certificate, and take them no more.",
)
_redaction_command(
    "unredact",
    "unredact-uid",
    "Take redacted user IDs again.",
    "Have the running server take redacted user IDs again. None comes back by that alone.",
)


def _hashes(user_ids: Sequence[str]) -> list[PartHash]:
    """What names them. Octets that are no UTF-8 are those of the command line."""
    return [user_id_hash(os.fsencode(text)) for text in user_ids]


def _replacement(files: Sequence[str]) -> tuple[tuple[Fingerprint, ...], bytes]:
    """Whose certificate it is, and the SHA-256 of its packets."""
    if len(files) != 1:
        raise WrongUse("a request replaces one certificate: name one file")
    try:
        packets = dearmor(Path(files[0]).read_bytes(), SUBMISSION).data
        found = group(split(packets, SUBMISSION), SUBMISSION)
    except OSError as error:
        raise WrongUse(f"cannot read {files[0]}: {error.strerror}") from error
    except ProtocolError as error:
        raise WrongUse(f"{files[0]}: {error}") from error
    if len(found) != 1 or not isinstance(found[0], Certificate):
        raise WrongUse(f"{files[0]} is no single certificate: see keygrove inspect")
    return (fingerprint(found[0]),), hashlib.sha256(packets).digest()


def parse_fingerprint(text: str) -> Fingerprint:
    """A fingerprint in hexadecimal.

    Raises:
        WrongUse: it is none.
    """
    try:
        octets = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        octets = b""
    if len(octets) not in (16, 20, 32):
        raise WrongUse(f"{text!r} is no fingerprint: give all of its hex digits")
    return Fingerprint(octets)


async def _order(
    root: Path,
    action: LocalAction,
    fingerprints: Sequence[str],
    reason: str,
    user_ids: Sequence[PartHash] = (),
) -> Report:
    asked = {
        "action": action,
        "fingerprints": [parse_fingerprint(one).hex() for one in fingerprints],
        "reason": reason,
        "user_ids": [one.hex() for one in user_ids],
    }
    try:
        wanted = msgspec.convert(asked, LocalRequest)
    except msgspec.ValidationError as error:
        raise WrongUse(str(error)) from error
    async with connected(root) as client:
        response = await client.post("/admin", content=msgspec.json.encode(wanted))
        if response.status_code not in DONE:
            raise UnavailableError(f"the server cannot do it now: {response.text.strip()}")
        return msgspec.json.decode(response.content, type=Report)


def _tell(report: Report) -> None:
    rest = sum(one.result not in EFFECTIVE for one in report.results)
    for one in report.results:
        click.echo(f"{one.fingerprint} {one.result.value}")
        if one.result in WORDS:
            click.echo(f"{one.fingerprint}: {completed(WORDS[one.result])}", err=True)
        elif one.result is Result.SUBKEY:
            whose = " or ".join(one.primaries)
            text = f"this is a subkey: name its certificate, {whose}, to {report.action.value} that"
            click.echo(f"{one.fingerprint}: {text}", err=True)
    if rest:
        raise FoundProblems(f"nothing was done for {counted(rest, 'fingerprint')}")
