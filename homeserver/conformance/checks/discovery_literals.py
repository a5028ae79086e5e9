"""D: how the target connects to addresses of ours: in names, and behind names.

Rules: each address that is a name is given to one check alone. A host that has several
addresses has one that answers.

Specification: Server-server API, "Resolving server names"; RFC 1123, section 2.3.
"""

from collections.abc import Sequence

from homeserver.conformance.addresses import silent
from homeserver.conformance.check import (
    DEAD_ADDRESS,
    DNS_ZONE,
    IPV6,
    OWN_ADDRESS,
    TRUSTED_NAME,
    check,
    must,
    should,
)
from homeserver.conformance.checks.discovery_srv import named
from homeserver.conformance.delegation import (
    NEEDS,
    delegating,
    fresh_name,
    judge_host,
    service_of,
)
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.reply import Reply
from homeserver.conformance.seen import headers_of
from homeserver.conformance.target import Target
from homeserver.lab.dns_server.records import Record
from homeserver.net.addresses import SocketAddress

_RESOLVING = "Server-server API, Resolving server names"

_ADDRESSES = "RFC 1123, 2.3"  # of an application that has several addresses of a host

_HTTPS_PORT = 443

_ASKS = 3
"""A target may answer before it has given up the port that is silent."""


def judge_literal(t: Target, ours: Ours, reply: Reply) -> Outcome:
    """Whether an address was connected to as a name: as `Host`, and without SNI."""
    seen = t.seen(ours)
    hosts = {host for each in seen.key_requests for host in headers_of(each, "Host")}
    shown = [
        details.tls.sni
        for each in seen.connections
        if (details := each.details) is not None
        and details.tls is not None
        and details.tls.sni is not None
    ]
    return expect(
        reply.is_ok and hosts == {ours.name.name} and not shown,
        reply,
        f"Host {', '.join(sorted(hosts)) or 'unknown'}",
        f"SNI {', '.join(shown) or 'none'}",
        wanted=f"status 200, Host {ours.name}, no SNI",
    )


async def judge_delegated(t: Target, literal: str) -> Outcome:
    """Whether a document with an address leads there, with it as `Host`."""
    there = t.server(name=literal)
    ours = delegating(t, there.name.name)
    for each in (there, ours):
        t.instruct(each, keys=lambda _: ours.document())
    reply = await t.ask(ours)
    # A request that is signed for a name counts as that name's.
    seen = there if t.seen(there).key_requests else ours
    return judge_host(t, seen, reply, there.name.name)


@check("D03", must, _RESOLVING, needs=[TRUSTED_NAME, OWN_ADDRESS])
async def address_alone(t: Target) -> Outcome:
    """An IPv4 address without a port leads to its port 8448, and without SNI."""
    ours = t.server(name=t.ground.addresses.fresh())
    return judge_literal(t, ours, await t.ask(ours))


@check("D04", must, _RESOLVING, needs=[TRUSTED_NAME, IPV6])
async def address_6(t: Target) -> Outcome:
    """An IPv6 address with a port leads there, as `Host`, and without SNI."""
    ours = t.server(name="[::1]:0")
    return judge_literal(t, ours, await t.ask(ours))


@check("D10", must, _RESOLVING, needs=[*NEEDS, OWN_ADDRESS])
async def delegated_address(t: Target) -> Outcome:
    """A document with an IP address alone leads to its port 8448, as `Host`."""
    return await judge_delegated(t, t.ground.addresses.fresh())


@check("D33", must, _RESOLVING, needs=[TRUSTED_NAME, DNS_ZONE, IPV6])
async def by_ipv6_alone(t: Target) -> Outcome:
    """A name that has an IPv6 address alone is connected to by IPv6."""
    where = t.ground.addresses.by_ipv6()
    ours = _at(t, where, [("AAAA", where.host)])
    return named(t, ours, await t.ask(ours))


@check("D34", should, _ADDRESSES, needs=[TRUSTED_NAME, DNS_ZONE, IPV6])
async def refused_by_ipv6(t: Target) -> Outcome:
    """Where the IPv6 address of a name refuses, its IPv4 address is used."""
    where = t.ground.addresses.by_ipv4_alone()
    ours = _at(t, where, [("AAAA", "::1"), ("A", where.host)])
    return named(t, ours, await t.ask(ours))


@check("D35", should, _ADDRESSES, needs=[TRUSTED_NAME, DNS_ZONE, DEAD_ADDRESS])
async def refused_by_first(t: Target) -> Outcome:
    """Where the first of two addresses of a name refuses, the other is used."""
    where = t.ground.lab.servers.shared.listen
    refusing = t.ground.addresses.fresh()
    live = t.ground.lab.servers.shared.address
    ours = _at(t, where, [("A", refusing), ("A", live)])
    return named(t, ours, await t.ask(ours))


@check(
    "D43", should, _RESOLVING, needs=[*NEEDS, DEAD_ADDRESS], waits=30.0, seconds=90.0
)
async def silent_document(t: Target) -> Outcome:
    """Where the port of the document is silent, SRV is used in the end."""
    name, dead = fresh_name(t), t.ground.addresses.fresh()
    ours = t.server(name=name, dns=[Record(name, "A", dead), *service_of(t, name)])
    replies: list[Reply] = []
    with silent(SocketAddress(dead, _HTTPS_PORT)):
        while len(replies) < _ASKS and not (replies and replies[-1].is_ok):
            replies.append(await t.ask(ours))
    told = [f"{each} after {each.seconds:.1f} s" for each in replies]
    return expect(replies[-1].is_ok, *told, t.seen(ours), wanted="status 200")


def _at(t: Target, where: SocketAddress, addresses: Sequence[tuple[str, str]]) -> Ours:
    """A server whose name has the port of a listener, and these addresses."""
    host = fresh_name(t)
    records = [Record(host, kind, value) for kind, value in addresses]
    return t.server(name=f"{host}:{where.port}", dns=records)
