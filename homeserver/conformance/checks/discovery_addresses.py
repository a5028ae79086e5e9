"""D: how the target finds servers of ours by the address or the port in their names.

Specification: Server-server API, "Resolving server names".
"""

from homeserver.conformance.check import (
    DNS_ZONE,
    IP_LITERAL,
    TRUSTED_NAME,
    check,
    info,
    must,
    robustness,
)
from homeserver.conformance.checks.discovery_literals import judge_literal
from homeserver.conformance.checks.discovery_srv import named
from homeserver.conformance.checks.x_matrix import changed, written
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import Late, Outcome, expect, reported, unmet
from homeserver.conformance.seen import headers_of
from homeserver.conformance.target import Target
from homeserver.control.signed_parts import SignBody
from homeserver.lab.dns_server.records import Record
from homeserver.lab.record.match import Match
from homeserver.lab.rules.rule import RuleBody
from homeserver.lab.servers.names import free_port
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing import sign

_RESOLVING = "Server-server API, Resolving server names"

SECONDS = 30.0
"""Within which a question that is never answered is given up."""


@check("D01", must, _RESOLVING, needs=[TRUSTED_NAME, DNS_ZONE])
async def port(t: Target) -> Outcome:
    """A name with a port leads to that port, without well-known and SRV."""
    listen = t.ground.lab.servers.shared.listen
    host = f"{t.fresh()}.{t.ground.lab.zone.apex}"
    elsewhere = f"0 0 {free_port(listen.host)} {host}"
    ours = t.server(
        name=f"{host}:{listen.port}",
        dns=[
            _address(t, host),
            Record(f"_matrix-fed._tcp.{host}", "SRV", elsewhere),
            Record(f"_matrix._tcp.{host}", "SRV", elsewhere),
        ],
    )
    outcome = named(t, ours, await t.ask(ours))
    seen = t.seen(ours)
    more = [*seen.asked("SRV"), *(each.path for each in seen.well_known_requests)]
    return expect(
        outcome.is_met is True and not more,
        outcome.observed,
        f"asked as well: {', '.join(more) or 'nothing'}",
        wanted=f"{outcome.expected}, and neither well-known nor SRV",
    )


@check("D02", must, _RESOLVING, needs=[TRUSTED_NAME, IP_LITERAL])
async def address(t: Target) -> Outcome:
    """An IPv4 address with a port leads there, as `Host`, and without SNI."""
    ours = t.server(name="127.0.0.1:0")
    return judge_literal(t, ours, await t.ask(ours))


@check("D32", must, _RESOLVING, needs=[TRUSTED_NAME, DNS_ZONE])
async def aliases(t: Target) -> Outcome:
    """A name that is an alias of an alias leads to the address behind them."""
    port = t.ground.lab.servers.shared.listen.port
    host = f"{t.fresh()}.{t.ground.lab.zone.apex}"
    ours = t.server(
        name=f"{host}:{port}",
        dns=[
            Record(host, "CNAME", f"a.{host}"),
            Record(f"a.{host}", "CNAME", f"b.{host}"),
            _address(t, f"b.{host}"),
        ],
    )
    return named(t, ours, await t.ask(ours))


@check("D36", info, _RESOLVING, needs=[TRUSTED_NAME, DNS_ZONE])
async def failing_names(t: Target) -> Outcome:
    """A name whose SRV question fails is taken as without records, or not found."""
    ours = t.server(has_port=False)
    failing = RuleBody({"dns.servfail": True}, Match(kind="dns", method="SRV"))
    t.instruct(ours, rules=[failing])
    return reported(await t.ask(ours), t.seen(ours))


@check("D37", robustness, "", needs=[TRUSTED_NAME, DNS_ZONE], waits=10.0, seconds=90.0)
async def silent_names(t: Target) -> Outcome:
    """A name whose SRV question is not answered costs a request 30 s at most."""
    ours = t.server(has_port=False)
    silence = RuleBody({"dns.silence": True}, Match(kind="dns", method="SRV"))
    t.instruct(ours, rules=[silence])
    try:
        reply = await t.ask(ours, seconds=SECONDS)
    except Late as problem:
        return unmet(problem, wanted="any answer")
    return expect(not reply.is_failure, reply, f"after {reply.seconds:.1f} s")


@check("D38", info, "Appendices, Server Name", needs=[TRUSTED_NAME, DNS_ZONE])
async def capitals(t: Target) -> Outcome:
    """A name in capitals is found, and believed or not."""
    ours = t.server()
    shouted = ours.name.name.upper()

    def keys(each: Ours) -> Json:
        document = each.document(signed_by=[], server_name=shouted)
        return sign(document, ServerName.parse(shouted), [each.key])

    t.instruct(ours, keys=keys)
    reply = await t.ask(
        ours,
        content={**t.transaction(ours), "origin": shouted},
        sign=SignBody(origin=shouted),
        authorization=written(changed(origin=shouted)),
    )
    seen = t.seen(ours)
    hosts = {host for each in seen.key_requests for host in headers_of(each, "Host")}
    return reported(reply, f"Host {', '.join(sorted(hosts)) or 'unknown'}")


@check("D46", must, "Server-server API, Publishing Keys", needs=[TRUSTED_NAME])
async def key_request(t: Target) -> Outcome:
    """Keys are asked for by GET at `/_matrix/key/v2/server`, without a query."""
    ours = t.server()
    reply = await t.ask(ours)
    asked = [
        f"{each.method} {'' if each.details is None else each.details.target}"
        for each in t.seen(ours).key_requests
    ]
    wanted = "GET /_matrix/key/v2/server"
    return expect(
        reply.is_ok and wanted in asked,
        reply,
        f"asked for keys by {', '.join(asked) or 'nothing'}",
        wanted=f"status 200, after {wanted}",
    )


def _address(t: Target, host: str) -> Record:
    address = t.ground.lab.servers.shared.address
    return Record(host, "AAAA" if ":" in address else "A", address)
