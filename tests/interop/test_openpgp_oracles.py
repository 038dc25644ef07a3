"""What is valid and what is revoked is what GnuPG and Sequoia say, or it is said here why not."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec
import pysequoia
import pytest

from keygrove_chaos.signing import CREATED, Signer, subpacket
from keygrove_protocols.errors import ProtocolError
from keygrove_protocols.limits import BULK
from keygrove_protocols.openpgp.armor import dearmor
from keygrove_protocols.openpgp.certificate import (
    Certificate,
    Component,
    canonical,
    fingerprint,
    group,
    to_bytes,
)
from keygrove_protocols.openpgp.inspection import inspect
from keygrove_protocols.openpgp.merge import merge
from keygrove_protocols.openpgp.packets import Packet, Tag, split
from keygrove_protocols.openpgp.policy import VERIFIED
from keygrove_protocols.openpgp.rules import keep
from keygrove_protocols.openpgp.verification import verify
from tests.openpgp import SIGNS, reason, with_hints, with_wrong_value

AUTHENTICATES = 0x20
FALSE_ID = subpacket(16, bytes(8))
VECTORS = Path(__file__).parents[1] / "vectors" / "openpgp"


class Said(msgspec.Struct, frozen=True):
    """User IDs and subkeys (fingerprints, in hex) that are valid, and those that are revoked."""

    user_ids: frozenset[str] = frozenset()
    revoked_user_ids: frozenset[str] = frozenset()
    subkeys: frozenset[str] = frozenset()
    revoked_subkeys: frozenset[str] = frozenset()


def ours(certificate: Certificate) -> Said:
    (found,) = inspect(to_bytes(certificate), BULK, VERIFIED).certificates
    return Said(
        frozenset(found.valid_uids),
        frozenset(found.revoked_uids),
        frozenset(found.valid_subkeys),
        frozenset(found.revoked_subkeys),
    )


def gpgs(certificates: Sequence[Certificate], home: Path) -> dict[str, Said]:
    """By fingerprint: what GnuPG holds of some certificates after it imported them."""
    home.mkdir(mode=0o700)
    command = ["gpg", "--homedir", str(home), "--batch", "--quiet", "--no-autostart"]
    octets = b"".join(map(to_bytes, certificates))
    subprocess.run([*command, "--import"], input=octets, check=False, capture_output=True)
    listing = subprocess.run(
        [*command, "--with-colons", "--fixed-list-mode", "--list-keys"],
        check=True,
        capture_output=True,
    ).stdout.decode(errors="replace")
    return dict(map(_read_listed, listing.split("pub:")[1:]))


def _read_listed(text: str) -> tuple[str, Said]:
    """Read a key of GnuPG's colon listing, without the word it begins with."""
    lines = [line.split(":") for line in ("pub:" + text).splitlines()]
    names = [line for line in lines if line[0] == "uid"]
    key_revoked = lines[0][1] == "r"
    pairs = pairwise(lines)
    subkeys = [(line[1], after[9].lower()) for line, after in pairs if line[0] == "sub"]
    fingerprint = next(line[9] for line in lines if line[0] == "fpr").lower()
    return fingerprint, Said(
        frozenset(_unescaped(line[9]) for line in names),
        frozenset(_unescaped(line[9]) for line in names if line[1] == "r" and not key_revoked),
        frozenset(name for _, name in subkeys),
        frozenset(name for state, name in subkeys if state == "r" and not key_revoked),
    )


def _unescaped(text: str) -> str:
    return re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), text)


def sequoias(certificate: Certificate) -> Said:
    """What `sq inspect` shows, which leaves out what is not bound."""
    shown = subprocess.run(
        ["sq", "inspect"], input=to_bytes(certificate), check=False, capture_output=True
    ).stdout.decode(errors="replace")
    names: dict[str, str] = {}
    subkeys: dict[str, str] = {}
    for part in re.split(r"\n(?= *(?:Subkey|UserID):)", shown)[1:]:
        head, _, rest = part.strip().partition("\n")
        kind, _, name = head.partition(": ")
        if "Invalid:" not in rest:
            (subkeys if kind == "Subkey" else names)[name.strip()] = rest
    return Said(
        frozenset(names),
        frozenset(name for name, rest in names.items() if "Revoked:" in rest),
        frozenset(name.lower() for name in subkeys),
        frozenset(name.lower() for name, rest in subkeys.items() if "Revoked:" in rest),
    )


class Made(msgspec.Struct, frozen=True):
    """A made-up certificate, and what about it oracles may take otherwise."""

    certificate: Certificate
    features: frozenset[str]


class Maker:
    """Makes a certificate of random structure; one signature of every third is altered."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._random = Random(number)
        self._signer = Signer(5000 + number)
        self._features: set[str] = set()

    def make(self) -> Made:
        random = self._random
        components = [self._name(at) for at in range(random.randint(1, 3))]
        components += [self._subkey(at) for at in range(random.randint(0, 2))]
        if self._number % 3 == 0:
            at = random.randrange(len(components))
            components[at] = self._altered(components[at])
        certificate = Certificate(self._signer.primary, (), tuple(components))
        return Made(certificate, frozenset(self._features))

    def _name(self, at: int) -> Component:
        random, signer, primary = self._random, self._signer, self._signer.primary
        name = Packet(Tag.USER_ID, f"User {self._number}.{at} <{at}@example.org>".encode())
        signatures = [
            signer.sign(0x13, primary, name, created=CREATED + 100 * random.randint(0, 5))
            for _ in range(random.randint(1, 2))
        ]
        if at and random.random() < 0.4:
            when = CREATED + 50 + 100 * random.randint(0, 5)
            hashed = reason(random.choice([0, 32]))
            signatures.append(signer.sign(0x30, primary, name, created=when, hashed=hashed))
        if random.random() < 0.3:
            signatures.append(Signer(9000).sign(0x10, primary, name))
        return Component(name, tuple(signatures))

    def _subkey(self, at: int) -> Component:
        random, signer, primary = self._random, self._signer, self._signer.primary
        subkey = Signer(20_000 + 10 * self._number + at)
        signatures = [signer.bind(primary, subkey, random.choice([SIGNS, AUTHENTICATES]))]
        if random.random() < 0.2:
            signs = subpacket(27, bytes((SIGNS,)))
            signatures = [signer.sign(0x18, primary, subkey.subkey, hashed=signs)]
            self._features.add("no backsig")
        if random.random() < 0.4:
            hashed = reason(random.choice([1, 2]))
            signatures.append(
                signer.sign(0x28, primary, subkey.subkey, created=CREATED + 50, hashed=hashed)
            )
            if random.random() < 0.5:
                signatures.append(signer.bind(primary, subkey, AUTHENTICATES, CREATED + 100))
                self._features.add("bound again")
        return Component(subkey.subkey, tuple(signatures))

    def _altered(self, one: Component) -> Component:
        signatures = list(one.signatures)
        at = self._random.randrange(len(signatures))
        kinds = [packet.body[1] for packet in signatures[:at] + signatures[at + 1 :]]
        if 0x30 in kinds and 0x13 not in kinds:
            self._features.add("revoked and not bound")
        signatures[at] = with_wrong_value(signatures[at])
        return Component(one.packet, tuple(signatures))


MADE = [Maker(number).make() for number in range(60)]
MADE_DIFFERENCES = {
    "gpg": {
        "no backsig": "it keeps a signing subkey that did not consent, and does not sign with it",
        "bound again": "a revoked subkey stays revoked, though bound again for a soft reason",
    },
    "sq": {
        "revoked and not bound": "a revocation alone does not make it show a user ID",
    },
}

NATIVE = "it does not know the algorithms that RFC 9580 added"
V6 = "it does not know version 6"
V3 = "it takes no key of version 3"
HARD = "we keep no user ID after a hard revocation (F7)"
BACKSIG = "it keeps a signing subkey that did not consent, and does not sign with it"
CURVE = "its library does not have the curve"
WEAK = "its policy takes no own signature with SHA-1 or RIPEMD-160, whatever its date"
MOVED = "it moves a certification to the user ID that it is on; we drop it (F3)"
ZERO = "it refuses a key with zeros in front of a number"
NUL = "we take no user ID with NUL"
VECTOR_DIFFERENCES = {
    "gpg": {
        "gpg-revoked-hard.pgp": HARD,
        "misplaced-sig.pgp": MOVED,
        "mpi-leading-zero.pgp": ZERO,
        "no-uid.pgp": "it imports nothing without a user ID",
        "rev-hard-noreason.pgp": HARD,
        "rev-hard.pgp": HARD,
        "subkey-backsig-stripped.pgp": BACKSIG,
        "subkey-nobacksig.pgp": BACKSIG,
        "subkey-wrongbacksig.pgp": BACKSIG,
        "uid-edge.pgp": NUL,
        "v3-rsa.pgp": V3,
        "v4-ed25519-native.pgp": NATIVE,
        "v4-ed448-native.pgp": NATIVE,
        "v6-ed448.pgp": V6,
        "v6-rfc9580-sample.asc": V6,
        "v6-rsa3072.pgp": V6,
        "v6-sha3-256.pgp": V6,
    },
    "sq": {
        "expired.pgp": "it shows an expired subkey as invalid; storage knows no time",
        "gpg-brainpoolP256r1.pgp": CURVE,
        "gpg-revoked-hard.pgp": HARD,
        "gpg-secp256k1.pgp": CURVE,
        "misplaced-sig.pgp": MOVED,
        "mpi-leading-zero.pgp": ZERO,
        "rev-hard-noreason.pgp": HARD,
        "rev-hard.pgp": HARD,
        "uid-edge.pgp": NUL,
        "v3-rsa.pgp": V3,
        "v4-dsa1024-elg.pgp": WEAK,
        "v4-dsa1536.pgp": WEAK,
        "v4-ecdsa-brainpoolp256r1.pgp": CURVE,
        "v4-ecdsa-brainpoolp384r1.pgp": CURVE,
        "v4-ecdsa-brainpoolp512r1.pgp": CURVE,
        "v4-ecdsa-secp256k1.pgp": CURVE,
        "v4-ed25519-native.pgp": NATIVE,
        "v4-ed448-native.pgp": NATIVE,
        "v4-rsa1024-sha1.pgp": WEAK,
        "v4-v3sig.pgp": "it takes no signature of version 3",
        "v6-ed448.pgp": V6,
        "v6-rfc9580-sample.asc": V6,
        "v6-rsa3072.pgp": V6,
        "v6-sha3-256.pgp": V6,
        "weak-ripemd160.pgp": WEAK,
    },
}
"""Of GnuPG 2.2.40, and of sq 0.27 with sequoia-openpgp 1.12 on Nettle."""


def read(file: Path) -> list[Certificate]:
    with suppress(ProtocolError):
        found = group(split(dearmor(file.read_bytes(), BULK).data, BULK), BULK)
        return [one for one in found if isinstance(one, Certificate)]
    return []


FILES = [file for file in sorted(VECTORS.glob("*.*")) if read(file)]


@pytest.fixture(params=["gpg", "sq"])
def oracle(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


def theirs(oracle: str, certificates: Sequence[Certificate], home: Path) -> list[Said]:
    """What an oracle says of certificates with different keys."""
    if oracle == "sq":
        return [sequoias(one) for one in certificates]
    held = gpgs(certificates, home)
    return [held.get(fingerprint(one).hex(), Said()) for one in certificates]


@pytest.mark.slow
def test_made_up_certificates_are_to_others_what_they_are_to_us(
    oracle: str, tmp_path: Path
) -> None:
    said = theirs(oracle, [made.certificate for made in MADE], tmp_path / "home")
    explained = MADE_DIFFERENCES[oracle]
    differing: set[str] = set()
    for made, they in zip(MADE, said, strict=True):
        if they != ours(made.certificate):
            assert made.features & explained.keys(), (made, they, ours(made.certificate))
            differing |= made.features & explained.keys()
    assert differing == explained.keys()


@pytest.mark.slow
def test_vectors_are_to_others_what_they_are_to_us(oracle: str, tmp_path: Path) -> None:
    differing = {
        file.name
        for number, file in enumerate(FILES)
        for said in [theirs(oracle, read(file), tmp_path / str(number))]
        if said != [ours(one) for one in read(file)]
    }
    assert differing == VECTOR_DIFFERENCES[oracle].keys()


@pytest.mark.slow
def test_vectors_with_an_octet_altered_are_to_others_what_they_are_to_us(
    oracle: str, tmp_path: Path
) -> None:
    """The last octet of one signature, in each vector of another algorithm."""
    for number, file in enumerate(FILES):
        if not file.name.startswith(("v4-", "gpg-")) or file.name in VECTOR_DIFFERENCES[oracle]:
            continue
        (whole,) = read(file)
        for at, one in enumerate(whole.components):
            altered = Component(one.packet, tuple(map(with_wrong_value, one.signatures)))
            components = (*whole.components[:at], altered, *whole.components[at + 1 :])
            certificate = Certificate(whole.primary, whole.direct, components)
            (said,) = theirs(oracle, [certificate], tmp_path / f"{number}-{at}")
            expected = ours(certificate)
            if expected.user_ids:
                assert said == expected, (file.name, at)
            else:  # GnuPG imports nothing then, and Sequoia trusts no subkey
                assert said in (Said(), expected), (file.name, at)


def test_p085_altered_copies_hide_nothing_from_others(oracle: str, tmp_path: Path) -> None:
    """The key ID in the unhashed area is where GnuPG looks for the issuer."""
    (whole,) = read(VECTORS / "v4-eddsa-cv25519.pgp")
    copies = tuple(
        Component(one.packet, tuple(with_hints(each, FALSE_ID) for each in one.signatures))
        for one in whole.components
    )
    both = merge(whole, Certificate(whole.primary, (), copies))
    kept = keep(verify(both), VERIFIED).findings.certificate()
    assert kept == canonical(whole)
    assert theirs(oracle, [kept], tmp_path / "home") == [ours(whole)]


@pytest.mark.parametrize("made", MADE, ids=map(str, range(len(MADE))))
def test_pysequoia_shows_the_user_ids_that_are_valid_and_not_revoked(made: Made) -> None:
    """Sequoia 2 and its policy; it shows no user IDs at all where there is none to go by."""
    found = ours(made.certificate)
    cert = pysequoia.Cert.from_bytes(to_bytes(made.certificate))
    if found.user_ids:
        shown = {str(one) for one in cert.user_ids}
        assert shown == found.user_ids - found.revoked_user_ids
    else:
        with pytest.raises(RuntimeError, match="No binding signature"):
            assert not cert.user_ids
