"""T: certificates of ours, as the target judges them.

Rules: a certificate is refused where the target answers 401 or 403, and has sent no
byte of HTTP over the connection that showed it.
"""

from collections.abc import Callable, Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from msgspec import Struct
from msgspec.structs import replace

from homeserver.conformance.check import (
    DNS_ZONE,
    IP_LITERAL,
    TRUSTED_NAME,
    Check,
    Need,
    Severity,
    check,
    must,
    should,
)
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import NotTestable, Outcome, expect
from homeserver.conformance.reply import UNPROVEN, Reply
from homeserver.conformance.target import Target
from homeserver.lab.authority.authority import Authority, Issuer, form_of
from homeserver.lab.authority.faults import CERTIFICATE_FAULTS
from homeserver.net.tls.certificate import Certificate

_TLS = "Server-server API, TLS"
_RESOLVING = "Server-server API, Resolving server names"
_NAMES = "RFC 9525, 6.3"
_PATHS = "RFC 5280, 6.1"

Build = Callable[[Authority, str], Certificate]
"""Builds the certificate of a host."""


def judge_refused(t: Target, ours: Ours, reply: Reply) -> Outcome:
    """Whether nothing was sent to a server of ours, and its request was refused."""
    seen = t.seen(ours)
    return expect(
        reply.status in UNPROVEN and not seen.requests,
        reply,
        seen,
        wanted="status 401 or 403, and no request over that connection",
    )


def judge_accepted(t: Target, ours: Ours, reply: Reply) -> Outcome:
    """Whether a request was believed."""
    return expect(reply.is_ok, reply, t.seen(ours), wanted="status 200")


_Judge = Callable[[Target, Ours, Reply], Outcome]


def fault(kind: str) -> Build:
    """Builds one with a fault of the lab's authority."""
    return CERTIFICATE_FAULTS[kind].build


def _wildcard(authority: Authority, host: str) -> Certificate:
    """One whose `*` stands for two labels of the host."""
    _, _, parent = host.partition(".")
    form = form_of(f"*.{parent.partition('.')[2]}")
    return authority.issue_as(replace(form, common_name=host))


def _below(authority: Authority, host: str) -> Certificate:
    return authority.issue_below(host)


def _below_a_leaf(authority: Authority, host: str) -> Certificate:
    leaf = authority.issue("issuer.invalid")
    key = leaf.private_key
    if not isinstance(key, EllipticCurvePrivateKey):
        raise TypeError("a certificate of the lab has a key of EC")
    issuer = Issuer(leaf.chain[0], key)
    issued = authority.issue_as(form_of(host, label="below a leaf"), issuer)
    return Certificate((*issued.chain, issuer.certificate), issued.private_key)


def _capitals(authority: Authority, host: str) -> Certificate:
    if host.upper() == host:
        raise NotTestable("our names are addresses, which have no capitals")
    form = form_of(host, label="capitals")
    return authority.issue_as(replace(form, names=[x509.DNSName(host.upper())]))


def _hundred(authority: Authority, host: str) -> Certificate:
    others = [f"n{number}.invalid" for number in range(99)]
    return authority.issue(*others[:50], host, *others[50:], label="hundred")


class _Row(Struct, frozen=True):
    """A check of a certificate."""

    id: str
    severity: Severity
    section: str
    rule: str
    build: Build
    judge: _Judge = judge_refused
    needs: Sequence[Need] = ()
    prefix: str = ""
    """Labels before the name."""


def _check(row: _Row) -> Check:
    async def run(t: Target) -> Outcome:
        authority = t.ground.lab.authority
        if IP_LITERAL in row.needs:
            ours = t.server(name="127.0.0.1:0")
        elif row.prefix:
            zone, shared = t.ground.lab.zone.apex, t.ground.lab.servers.shared.listen
            ours = t.server(name=f"{row.prefix}.{t.fresh()}.{zone}:{shared.port}")
        else:
            ours = t.server()
        t.present(ours, row.build(authority, ours.name.host.strip("[]")))
        return row.judge(t, ours, await t.ask(ours))

    needs = [TRUSTED_NAME, *row.needs]
    return check(row.id, row.severity, row.section, needs=needs, rule=row.rule)(run)


CERTIFICATES = [
    _check(row)
    for row in (
        _Row(
            "T01",
            must,
            _TLS,
            "A certificate of another name is refused.",
            fault("other-name"),
        ),
        _Row(
            "T02",
            must,
            _TLS,
            "A certificate that has expired is refused.",
            fault("expired"),
        ),
        _Row(
            "T03",
            must,
            _TLS,
            "A certificate that is not valid yet is refused.",
            fault("not-yet-valid"),
        ),
        _Row(
            "T04",
            must,
            _TLS,
            "A self-signed certificate is refused.",
            fault("self-signed"),
        ),
        _Row(
            "T05",
            must,
            _TLS,
            "A certificate of an unknown authority is refused.",
            fault("unknown-authority"),
        ),
        _Row(
            "T06",
            should,
            _NAMES,
            "A name in the subject alone proves nothing.",
            fault("no-name"),
        ),
        _Row(
            "T07",
            must,
            _NAMES,
            "A wildcard stands for one label.",
            fault("wildcard"),
            judge_accepted,
            [DNS_ZONE],
        ),
        _Row(
            "T08",
            must,
            _NAMES,
            "A wildcard does not stand for two labels.",
            _wildcard,
            needs=[DNS_ZONE],
            prefix="deep",
        ),
        _Row(
            "T09",
            must,
            _PATHS,
            "A certificate below an intermediate authority that is sent is accepted.",
            _below,
            judge_accepted,
        ),
        _Row(
            "T10",
            must,
            _PATHS,
            "A certificate of an authority that is neither known nor sent is refused.",
            fault("chain-missing"),
        ),
        _Row(
            "T11",
            must,
            _PATHS,
            "A certificate that no authority but a server's certificate issued is "
            "refused.",
            _below_a_leaf,
        ),
        _Row(
            "T12",
            should,
            _PATHS,
            "A certificate for clients alone is refused.",
            fault("client-only"),
        ),
        _Row(
            "T13",
            must,
            _NAMES,
            "Names are compared without regard to capitals.",
            _capitals,
            judge_accepted,
        ),
        _Row(
            "T14",
            must,
            _NAMES,
            "A name may be any among a hundred.",
            _hundred,
            judge_accepted,
        ),
        _Row(
            "T19",
            must,
            _RESOLVING,
            "An IP address in the subject alone proves nothing.",
            fault("no-name"),
            needs=[IP_LITERAL],
        ),
    )
]
