"""What is kept of a certificate: an ordered list of named, pure rules.

A rule never looks at the time, at where something comes from, or at anything but the
certificate, and keeps of a union what it would keep of what it kept of the parts:
F(A + B) = F(F(A) + F(B)). So two servers with the same policy end with the same octets, in
whatever order they got the parts. One exception is inherent: what is kept for the sake of
another packet falls while that is missing, and is kept when it comes again. So falls what is
on a component that nobody has bound yet; where not all of others' signatures are kept, what
no attestation lists yet, and the revocation by somebody whom the owner did not name yet; and
where there is more than the bounds let in, that revocation too, and what an altered copy of
another packet left no room for.

Source: the filters that Hockeypuck announces to its peers, by the names in `Rule.filter`;
RFC 9580, section 5.2.3.31; draft-dkg-openpgp-1pa3pc.
"""

from collections.abc import Callable, Mapping

import msgspec

from keygrove_protocols.openpgp.findings import Bundle, Finding, Findings, Mark
from keygrove_protocols.openpgp.hashing import SHA1, Scope
from keygrove_protocols.openpgp.keys import parse_key
from keygrove_protocols.openpgp.packets import Packet, Tag
from keygrove_protocols.openpgp.policy import Policy
from keygrove_protocols.openpgp.revokers import is_by_one_of, named_revokers
from keygrove_protocols.openpgp.shedding import (
    age,
    apart,
    is_too_large,
    may_go,
    within_places,
    within_total,
)
from keygrove_protocols.openpgp.signatures import (
    CERTIFICATION_REVOCATION,
    CERTIFICATIONS,
    DIRECT_KEY,
    KEY_REVOCATION,
    SOFT_REASONS,
    SUBKEY_BINDING,
)
from keygrove_protocols.openpgp.thirdparty import approved
from keygrove_protocols.openpgp.userattribute import parse_user_attribute
from keygrove_protocols.openpgp.variants import fold_variants

VERSION = 4
"""Of the rules: another where one of them keeps anything else of any certificate."""


class Left(msgspec.Struct, frozen=True):
    """What a rule leaves, and a code for each packet that goes through its own fault.

    What goes because of another packet, as the signatures on a component do, has none.
    """

    findings: Findings
    dropped: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """A named step. `filter` is what recon peers call it, empty where they have no name."""

    name: str
    filter: str
    apply: Callable[[Findings, Policy], Left]


class Kept(msgspec.Struct, frozen=True):
    """What is kept of a certificate, and what is not and why.

    `error` is the code of what is wrong with all of it: nothing of it may be stored then.
    `pruned` has the number of packets that each rule took.
    """

    findings: Findings
    error: str | None
    dropped: tuple[str, ...]
    pruned: dict[str, int]


def keep(findings: Findings, policy: Policy) -> Kept:
    """Apply all rules, in their order. Linear in the packets, but for sorting."""
    dropped: list[str] = []
    pruned: dict[str, int] = {}
    for rule in RULES:
        left = rule.apply(findings, policy)
        if left.findings is not findings:
            pruned[rule.name] = findings.number() - left.findings.number()
            findings = left.findings
        dropped += left.dropped
    return Kept(findings, _error(findings, policy), tuple(sorted(dropped)), pruned)


def is_hard_revoked(findings: Findings) -> bool:
    """Whether the primary key says of itself that it is not to be trusted, at any time."""
    return any(finding.is_own(KEY_REVOCATION) and _is_hard(finding) for finding in findings.direct)


def _is_hard(revocation: Finding) -> bool:
    signature = revocation.signature
    return signature is not None and signature.reason_code not in SOFT_REASONS


def own_revocations(findings: Findings) -> Findings:
    """The primary key with its own revocations of itself, which every bound lets in."""
    own = tuple(finding for finding in findings.direct if finding.is_own(KEY_REVOCATION))
    return Findings(findings.primary, own, ())


def hard_revocation(findings: Findings) -> Findings | None:
    """The primary key with what it says of itself that nobody may keep out, if it says that.

    These are the revocations of itself that hold at any time. Nothing personal is left.
    """
    own = own_revocations(findings)
    hard = tuple(one for one in own.direct if _is_hard(one))
    return Findings(findings.primary, hard, ()) if hard else None


def _error(findings: Findings, policy: Policy) -> str | None:
    if policy.blocked and parse_key(findings.primary.body).fingerprint in policy.blocked:
        return "Blocked"
    is_bound = any(finding.is_own(DIRECT_KEY, KEY_REVOCATION) for finding in findings.direct)
    if not is_bound and not findings.bundles:
        return "NoValidSelfSig"
    return "TooLarge" if is_too_large(findings, policy.bounds) else None


def _sift(findings: Findings, is_kept: Callable[[Packet | None, Finding], bool]) -> Left:
    """Keep some signatures; each of the others is at fault, and its mark is the code."""
    dropped: list[str] = []

    def sift(place: Packet | None, some: tuple[Finding, ...]) -> tuple[Finding, ...]:
        kept = tuple(one for one in some if is_kept(place, one))
        if len(kept) == len(some):
            return some
        dropped.extend(one.mark.value for one in some if not is_kept(place, one))
        return kept

    direct = sift(None, findings.direct)
    bundles = tuple(
        msgspec.structs.replace(bundle, findings=sift(bundle.packet, bundle.findings))
        for bundle in findings.bundles
    )
    if not dropped:
        return Left(findings)
    return Left(Findings(findings.primary, direct, bundles), tuple(dropped))


def _select(findings: Findings, is_kept: Callable[[Bundle], bool], code: str | None = None) -> Left:
    """Keep some components; each of the others is at fault, if there is a code for that."""
    kept = tuple(bundle for bundle in findings.bundles if is_kept(bundle))
    if len(kept) == len(findings.bundles):
        return Left(findings)
    gone = len(findings.bundles) - len(kept)
    left = msgspec.structs.replace(findings, bundles=kept)
    return Left(left, () if code is None else (code,) * gone)


def _drop(*marks: Mark) -> Callable[[Findings, Policy], Left]:
    def apply(findings: Findings, _: Policy) -> Left:
        if findings.marks.isdisjoint(marks):
            return Left(findings)
        return _sift(findings, lambda _, finding: finding.mark not in marks)

    return apply


def _without_nul(findings: Findings, _: Policy) -> Left:
    """As Hockeypuck: PostgreSQL cannot hold it, and nobody can read it."""
    return _select(
        findings,
        lambda bundle: bundle.packet.tag != Tag.USER_ID or b"\0" not in bundle.packet.body,
        "NulUserID",
    )


def _readable_attributes(findings: Findings, _: Policy) -> Left:
    return _select(
        findings,
        lambda bundle: (
            bundle.packet.tag != Tag.USER_ATTRIBUTE
            or parse_user_attribute(bundle.packet.body) is not None
        ),
        "MalformedPacket",
    )


def _within_packets(findings: Findings, policy: Policy) -> Left:
    bounds = policy.bounds
    octets: Mapping[int, int] = {
        Tag.USER_ID: bounds.user_id_octets,
        Tag.USER_ATTRIBUTE: bounds.user_attribute_octets,
        Tag.PUBLIC_SUBKEY: bounds.key_octets,
    }
    components = _select(
        findings, lambda one: len(one.packet.body) <= octets[one.packet.tag], "Oversize"
    )
    rest = _sift(
        components.findings,
        lambda _, finding: len(finding.packet.body) <= bounds.signature_octets,
    )
    return Left(rest.findings, components.dropped + ("Oversize",) * len(rest.dropped))


def _folded(findings: Findings, _: Policy) -> Left:
    def fold(place: Packet | None, some: tuple[Finding, ...]) -> tuple[Finding, ...]:
        return fold_variants(some, Scope(findings.primary, place)) if len(some) > 1 else some

    direct = fold(None, findings.direct)
    bundles = tuple(
        msgspec.structs.replace(bundle, findings=fold(bundle.packet, bundle.findings))
        for bundle in findings.bundles
    )
    folded = Findings(findings.primary, direct, bundles)
    return Left(findings if folded.number() == findings.number() else folded)


_NAMES = (*CERTIFICATIONS, CERTIFICATION_REVOCATION)


def _bound(findings: Findings, _: Policy) -> Left:
    """Components that the primary key signed for.

    A revocation binds a name too, for losing one is unsafe. It does not bind a subkey: anybody
    may revoke somebody else's as if it were his own, and would be found by it. A subkey is of
    the primary key's version (RFC 9580, section 10.1).
    """

    def is_bound(bundle: Bundle) -> bool:
        is_subkey = bundle.packet.tag == Tag.PUBLIC_SUBKEY
        if is_subkey and bundle.packet.body[0] != findings.primary.body[0]:
            return False
        kinds = (SUBKEY_BINDING,) if is_subkey else _NAMES
        return any(finding.is_own(*kinds) for finding in bundle.findings)

    return _select(findings, is_bound, "Unbound")


def _without_attributes(findings: Findings, policy: Policy) -> Left:
    if policy.user_attributes:
        return Left(findings)
    return _select(findings, lambda bundle: bundle.packet.tag != Tag.USER_ATTRIBUTE)


def _revoked(findings: Findings, _: Policy) -> Left:
    """The owner's way to be forgotten (Hockeypuck's HIP-5)."""
    if not is_hard_revoked(findings):
        return Left(findings)
    subkeys = _select(findings, lambda bundle: bundle.packet.tag == Tag.PUBLIC_SUBKEY)
    return Left(_sift(subkeys.findings, lambda _, finding: finding.mark is Mark.VALID).findings)


_SLH_DSA = (32, 33, 34)


def _latest_large(findings: Findings, _: Policy) -> Left:
    """Of own SLH-DSA signatures, which are huge, the latest at each place, beside revocations.

    The latest attestation is kept beside it, for it binds nothing.
    """
    gone: set[int] = set()
    for _place, found in findings.places():
        for some in apart(one for one in found if _is_large(one)):
            gone.update(map(id, sorted(some, key=age)[:-1]))
    return Left(findings.without(gone) if gone else findings)


def _is_large(finding: Finding) -> bool:
    signature = finding.signature
    return may_go(finding) and signature is not None and signature.algorithm in _SLH_DSA


def _strong(findings: Findings, policy: Policy) -> Left:
    until = policy.weak_third_party_until
    if until is None:
        return Left(findings)
    return Left(_sift(findings, lambda _, finding: not _is_weak(finding, until)).findings)


def _is_weak(finding: Finding, until: int) -> bool:
    signature = finding.signature
    return (
        finding.mark is Mark.PLAUSIBLE
        and signature is not None
        and signature.hash_algorithm == SHA1
        and signature.created > until
    )


def _third_party(findings: Findings, policy: Policy) -> Left:
    """Others' signatures, as the policy says; but always those of whom the owner named revoker."""
    if policy.third_party == "all":
        return Left(findings)
    revokers = named_revokers(findings)
    wanted = approved(findings) if policy.third_party == "attested" else frozenset[int]()

    def is_kept(_: Packet | None, finding: Finding) -> bool:
        return (
            finding.mark is Mark.VALID or id(finding) in wanted or is_by_one_of(finding, revokers)
        )

    return Left(_sift(findings, is_kept).findings)


RULES = (
    Rule("no local signatures", "", _drop(Mark.LOCAL)),
    Rule(
        "readable signatures",
        "drop:unparseable",
        _drop(Mark.MALFORMED, Mark.WEAK, Mark.UNKNOWN_CRITICAL),
    ),
    Rule("signatures in their places", "drop:structuralMartian", _drop(Mark.MISPLACED)),
    Rule(
        "own signatures that verify",
        "drop:invalidSelfSig",
        _drop(Mark.BAD, Mark.NO_BACKSIG, Mark.UNVERIFIABLE),
    ),
    Rule("plausible signatures", "drop:implausible", _drop(Mark.IMPLAUSIBLE)),
    Rule("user IDs without NUL", "drop:unparseable", _without_nul),
    Rule("readable user attributes", "drop:unparseable", _readable_attributes),
    Rule("packets within bounds", "", _within_packets),
    Rule("one copy of each signature", "yminsky.dedup", _folded),
    Rule("bound components", "drop:unbound", _bound),
    Rule("user attributes", "drop:UAT", _without_attributes),
    Rule("nothing personal after a hard revocation", "drop:hardRevokedCruft", _revoked),
    Rule("latest SLH-DSA signatures", "drop:oldSlhdsaSelfSig", _latest_large),
    Rule("others' weak signatures", "", _strong),
    Rule("others' signatures", "", _third_party),
    Rule(
        "places within bounds", "", lambda findings, policy: Left(within_places(findings, policy))
    ),
    Rule("all within bounds", "", lambda findings, policy: Left(within_total(findings, policy))),
)
"""In the order in which they apply."""
