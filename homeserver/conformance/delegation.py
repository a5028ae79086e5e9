"""Names of ours that delegate to other hosts by well-known documents.

Rules: a host that is delegated to is below the name that delegates.

Specification: Server-server API, "Resolving server names".
"""

from collections.abc import Sequence

from homeserver.conformance.check import DNS_ZONE, STANDARD_PORTS, TRUSTED_NAME
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.seen import headers_of
from homeserver.conformance.target import Target
from homeserver.http.reply import Reply
from homeserver.http.router import Answer
from homeserver.lab.dns_server.records import Record
from homeserver.lab.servers.names import free_port

PATH = "/.well-known/matrix/server"
NEEDS = [TRUSTED_NAME, DNS_ZONE, STANDARD_PORTS]
FED, OLD = "_matrix-fed._tcp", "_matrix._tcp"


def fresh_name(t: Target) -> str:
    """A name of ours without a port, which nothing else has."""
    return f"{t.fresh()}.{t.ground.lab.zone.apex}"


def address_of(t: Target, host: str) -> Record:
    """The record that leads a host to our listeners."""
    address = t.ground.lab.servers.shared.address
    return Record(host, "AAAA" if ":" in address else "A", address)


def service_of(t: Target, host: str, service: str = FED) -> list[Record]:
    """A record that leads to our listener, by a target of its own."""
    port = t.ground.lab.servers.shared.listen.port
    value = f"0 0 {port} t.{host}"
    return [Record(f"{service}.{host}", "SRV", value), address_of(t, f"t.{host}")]


def dead_service(t: Target, host: str) -> Record:
    """A record that leads to a port at which nothing listens."""
    port = free_port(t.ground.lab.servers.shared.listen.host)
    return Record(f"{FED}.{host}", "SRV", f"0 0 {port} {host}")


def judge_host(t: Target, ours: Ours, reply: object, host: str) -> Outcome:
    """Whether keys were asked for with this `Host`."""
    hosts = {e for each in t.seen(ours).key_requests for e in headers_of(each, "Host")}
    is_met = getattr(reply, "is_ok", False) and hosts == {host}
    shown = f"Host {', '.join(sorted(hosts)) or 'unknown'}"
    wanted = f"status 200, Host {host}"
    return expect(is_met, reply, t.seen(ours), shown, wanted=wanted)


def delegating(
    t: Target, to: str, records: Sequence[Record] = (), name: str | None = None
) -> Ours:
    """A server whose document names a host."""
    name = name or fresh_name(t)
    return t.server(name=name, well_known=to, dns=[address_of(t, name), *records])


def document_for(host: str, kind: str = "application/json") -> Reply:
    """A document that names a host."""
    return Reply(b'{"m.server":"%s"}' % host.encode(), headers={"Content-Type": kind})


def answered_by(t: Target, name: str, host: str, answer: Reply | Answer) -> Ours:
    """A server whose host answers like this, and which is delegated to another host."""
    return t.server(
        name=name,
        well_known=host,  # for the certificate
        dns=[address_of(t, name), address_of(t, host.partition(":")[0])],
        answers={PATH: (lambda _: answer) if isinstance(answer, Reply) else answer},
    )
