"""T: handshakes of ours with the target, and which name a certificate has to prove.

Rules: as in `our_certificates`.
"""

from OpenSSL import crypto

from homeserver.conformance.check import (
    DNS_ZONE,
    STANDARD_PORTS,
    TRUSTED_NAME,
    Check,
    Severity,
    check,
    info,
    must,
    robustness,
)
from homeserver.conformance.checks.our_certificates import (
    fault,
    judge_accepted,
    judge_refused,
)
from homeserver.conformance.checks.x_matrix import changed, written
from homeserver.conformance.outcome import Late, Outcome, expect, reported, unmet
from homeserver.conformance.reply import UNPROVEN
from homeserver.conformance.target import Target
from homeserver.lab.dns_server.records import Record
from homeserver.net.tls.certificate_names import check_name

_TLS = "Server-server API, TLS"
_RESOLVING = "Server-server API, Resolving server names"

SECONDS = 60.0
"""Within which a handshake that is never answered is given up."""


def _version(check_id: str, severity: Severity, version: str, rule: str) -> Check:
    async def run(t: Target) -> Outcome:
        ours = t.server(do={"tls.version": version})
        reply = await t.ask(ours)
        if severity is info:
            return reported(reply, t.seen(ours))
        return judge_accepted(t, ours, reply)

    return check(check_id, severity, _TLS, needs=[TRUSTED_NAME], rule=rule)(run)


VERSIONS = [
    _version("T15", must, "1.2", "A server with TLS 1.2 alone is connected to."),
    _version("T16", info, "1.1", "A server with TLS 1.1 alone is refused, or not."),
]


@check("T17", must, _RESOLVING, needs=[TRUSTED_NAME, DNS_ZONE])
async def srv_target(t: Target) -> Outcome:
    """Behind an SRV record, the certificate names the server, not the target of it."""
    lab = t.ground.lab
    host, other = t.fresh(), f"{t.fresh('s')}.{lab.zone.apex}"
    name, listen = f"{host}.{lab.zone.apex}", lab.servers.shared.listen
    ours = t.server(
        name=name,
        dns=[
            Record(f"_matrix-fed._tcp.{name}", "SRV", f"0 0 {listen.port} {other}"),
            Record(other, "A", listen.host),
        ],
    )
    t.present(ours, lab.authority.issue(other))
    return judge_refused(t, ours, await t.ask(ours))


@check(
    "T18",
    must,
    _RESOLVING,
    needs=[TRUSTED_NAME, DNS_ZONE, STANDARD_PORTS],
    after=["D05"],
)
async def delegated_name(t: Target) -> Outcome:
    """Where a name delegates, the certificate names the host that is delegated to."""
    lab = t.ground.lab
    name = f"{t.fresh()}.{lab.zone.apex}"
    address = lab.servers.shared.address
    kind = "AAAA" if ":" in address else "A"
    ours = t.server(
        name=name,
        well_known=f"d.{name}:443",
        dns=[Record(name, kind, address), Record(f"d.{name}", kind, address)],
    )
    t.present(ours, lab.authority.issue(name))
    reply = await t.ask(ours)
    return expect(
        reply.status in UNPROVEN and not t.seen(ours).key_requests,
        reply,
        t.seen(ours),
        wanted="status 401 or 403, and no request for keys",
    )


@check("T20", robustness, "", needs=[TRUSTED_NAME], waits=10.0, seconds=90.0)
async def stalled(t: Target) -> Outcome:
    """A handshake that is never answered is given up within 60 s."""
    try:
        reply = await t.ask(t.server(do={"tls.stall": True}), seconds=SECONDS)
    except Late as problem:
        return unmet(problem, wanted="status 401 or 403")
    return expect(reply.status in UNPROVEN, reply, f"after {reply.seconds:.1f} s")


@check("T21", must, "Server-server API, TLS", needs=[TRUSTED_NAME])
async def asked_for_certificate(t: Target) -> Outcome:
    """Asked for a client certificate, the target shows none, or one of its own."""
    ours = t.server()
    reply = await t.ask(ours)
    shown = [
        details.tls.certificate
        for each in t.seen(ours).connections
        if (details := each.details) is not None
        and details.tls is not None
        and details.tls.certificate is not None
    ]
    # Where the target delegates, its certificate names the host that is delegated to.
    own = [t.name.host, *(each.certificate_name for each in t.ground.routes)]
    problems = [
        found[0]
        for each in shown
        if all(found := [check_name(_read(each), name) for name in own])
    ]
    return expect(
        reply.is_ok and not problems,
        reply,
        *problems or [f"{len(shown)} client certificates shown"],
        wanted="status 200, and no certificate of another",
    )


def _read(der: bytes) -> crypto.X509:
    return crypto.load_certificate(crypto.FILETYPE_ASN1, der)


@check("T22", info, _TLS, needs=[TRUSTED_NAME])
async def changed_certificate(t: Target) -> Outcome:
    """A certificate that has changed since the last connection is judged again."""
    ours = t.server()
    await t.ask(ours)
    before = len(t.seen(ours).requests)
    t.present(ours, fault("expired")(t.ground.lab.authority, ours.name.host))
    # A key that the target does not know makes it come again.
    await t.ask(ours, authorization=written(changed(key="ed25519:new")))
    after = len(t.seen(ours).requests) - before
    return reported(f"{after} requests to the server whose certificate had expired")
