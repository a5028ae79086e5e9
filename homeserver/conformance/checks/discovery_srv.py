"""D: how the target finds servers of ours by SRV records.

Rules: a name here has no address of its own, only its targets do, so that no step but
SRV leads to it. A target that is right leads to our shared listener; a wrong one to a
port that refuses, or to the listener of another server.

Specification: Server-server API, "Resolving server names"; RFC 2782.
"""

from collections.abc import Sequence

from msgspec import Struct

from homeserver.conformance.check import (
    DNS_ZONE,
    STANDARD_PORTS,
    TRUSTED_NAME,
    check,
    info,
    must,
    should,
)
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import Outcome, expect, reported
from homeserver.conformance.reply import UNPROVEN, Reply
from homeserver.conformance.seen import headers_of
from homeserver.conformance.target import Target
from homeserver.lab.dns_server.records import Record
from homeserver.lab.servers.names import free_port
from homeserver.net.exchange import Exchange

_RESOLVING = "Server-server API, Resolving server names"
_RECORDS = "RFC 2782"
_NEEDS = [TRUSTED_NAME, DNS_ZONE]

_FED, _OLD = "_matrix-fed._tcp", "_matrix._tcp"

_NAMES = 40  # a target of weight 20 in 100 is missed by all with 1 in 7,000


class Service(Struct, frozen=True):
    """One SRV record of a name."""

    port: int
    priority: int = 0
    weight: int = 0
    service: str = _FED
    has_address: bool = True


def live(t: Target) -> int:
    """The port at which all servers of ours answer."""
    return t.ground.lab.servers.shared.listen.port


def dead(t: Target) -> int:
    """A port that refuses connections."""
    return free_port(t.ground.lab.servers.shared.listen.host)


def _elsewhere(t: Target) -> tuple[Ours, int]:
    """Another server, and the port of its own listener."""
    other = t.server(name=f"{t.fresh()}.{t.ground.lab.zone.apex}:0")
    return other, other.server.place.listen.port


def served(t: Target, services: Sequence[Service]) -> Ours:
    """A server of ours with these SRV records alone, each with a target of its own."""
    address = t.ground.lab.servers.shared.address
    kind = "AAAA" if ":" in address else "A"
    name = f"{t.fresh()}.{t.ground.lab.zone.apex}"
    records: list[Record] = []
    for number, each in enumerate(services):
        host = f"t{number}.{name}"
        value = f"{each.priority} {each.weight} {each.port} {host}"
        records.append(Record(f"{each.service}.{name}", "SRV", value))
        if each.has_address:
            records.append(Record(host, kind, address))
    return t.server(name=name, dns=records)


def named(t: Target, ours: Ours, reply: Reply) -> Outcome:
    """Whether a name was found, and `Host` and SNI are the name."""
    seen = t.seen(ours)
    hosts = {host for each in seen.key_requests for host in headers_of(each, "Host")}
    asked = {_sni(each) for each in seen.connections}
    return expect(
        reply.is_ok and hosts == {ours.name.name} and asked == {ours.name.host},
        reply,
        seen,
        f"Host {', '.join(sorted(hosts)) or 'unknown'}",
        f"SNI {', '.join(sorted(map(str, asked))) or 'unknown'}",
        wanted=f"status 200, Host {ours.name}, SNI {ours.name.host}",
    )


def _sni(connection: Exchange) -> str | None:
    details = connection.details
    return None if details is None or details.tls is None else details.tls.sni


@check("D11", must, _RESOLVING, needs=_NEEDS)
async def service(t: Target) -> Outcome:
    """A record of `_matrix-fed` leads to its target, under the server's own name."""
    ours = served(t, [Service(live(t))])
    return named(t, ours, await t.ask(ours))


@check("D12", should, _RESOLVING, needs=_NEEDS)
async def old_service(t: Target) -> Outcome:
    """Without a record of `_matrix-fed`, one of `_matrix` leads to its target."""
    ours = served(t, [Service(live(t), service=_OLD)])
    return named(t, ours, await t.ask(ours))


@check("D13", must, _RESOLVING, needs=_NEEDS)
async def both_services(t: Target) -> Outcome:
    """Where there are records of both services, `_matrix-fed` is used."""
    services = [Service(live(t)), Service(dead(t), service=_OLD)]
    ours = served(t, services)
    reply = await t.ask(ours)
    return expect(reply.is_ok, reply, t.seen(ours), wanted="status 200")


@check("D26", must, _RECORDS, needs=_NEEDS)
async def priorities(t: Target) -> Outcome:
    """The target of the lowest priority number is tried first, whatever its weight."""
    other, port = _elsewhere(t)
    ours = served(t, [Service(port, 20, 100), Service(live(t), 10)])
    reply = await t.ask(ours)
    wrong = len(t.seen(other).connections)
    return expect(
        reply.is_ok and not wrong,
        reply,
        f"{wrong} connections to the target of priority 20",
        wanted="status 200, and no connection to the target of priority 20",
    )


@check("D27", must, _RECORDS, needs=_NEEDS)
async def refusing(t: Target) -> Outcome:
    """Where the first target refuses connections, the second is used."""
    ours = served(t, [Service(dead(t), 10), Service(live(t), 20)])
    reply = await t.ask(ours)
    return expect(reply.is_ok, reply, t.seen(ours), wanted="status 200")


@check("D28", info, _RECORDS, needs=_NEEDS)
async def other_certificate(t: Target) -> Outcome:
    """Where the first target has a wrong certificate, the second is used or not."""
    _, port = _elsewhere(t)
    ours = served(t, [Service(port, 10), Service(live(t), 20)])
    return reported(await t.ask(ours), t.seen(ours))


@check("D29", should, _RECORDS, needs=_NEEDS)
async def nowhere(t: Target) -> Outcome:
    """Where the first target has no address, the second is used."""
    missing = Service(live(t), 10, has_address=False)
    ours = served(t, [missing, Service(live(t), 20)])
    reply = await t.ask(ours)
    return expect(reply.is_ok, reply, t.seen(ours), wanted="status 200")


@check("D30", should, _RECORDS, needs=[*_NEEDS, STANDARD_PORTS])
async def no_service(t: Target) -> Outcome:
    """A record with the target `.` says that there is no server: none is tried."""
    name = f"{t.fresh()}.{t.ground.lab.zone.apex}"
    address = t.ground.lab.servers.shared.address
    ours = t.server(
        name=name,
        dns=[
            Record(f"{_FED}.{name}", "SRV", "0 0 0 ."),
            Record(name, "AAAA" if ":" in address else "A", address),
        ],
    )
    reply = await t.ask(ours)
    seen = t.seen(ours)
    is_met = reply.status in UNPROVEN and not seen.key_requests
    wanted = "status 401 or 403, and no request for keys"
    return expect(is_met, reply, seen, wanted=wanted)


@check("D31", info, _RESOLVING, needs=_NEEDS)
async def alias(t: Target) -> Outcome:
    """A target that is an alias, which is forbidden, is used or not."""
    listen, zone = t.ground.lab.servers.shared.listen, t.ground.lab.zone.apex
    name, host = f"{t.fresh()}.{zone}", t.server().name.host
    ours = t.server(
        name=name,
        dns=[
            Record(f"{_FED}.{name}", "SRV", f"0 0 {listen.port} a.{name}"),
            Record(f"a.{name}", "CNAME", host),
        ],
    )
    return reported(await t.ask(ours), t.seen(ours))


@check("D44", should, _RECORDS, needs=_NEEDS, seconds=120.0)
async def weights(t: Target) -> Outcome:
    """Of targets of one priority, the heavier is used more often, not always."""
    other, port = _elsewhere(t)
    for _ in range(_NAMES):
        services = [Service(live(t), weight=80), Service(port, weight=20)]
        await t.ask(served(t, services))
    light = len({_sni(each) for each in t.seen(other).connections})
    return expect(
        0 < light < _NAMES / 2,
        f"{light} of {_NAMES} names by the target of weight 20",
        wanted="fewer than half, and not none",
    )
