"""D: how the target finds servers of ours by well-known documents.

Rules: a host that is delegated to is below the name that delegates. A document that is
wrong leads nowhere; the name itself then leads to our listener.

Specification: Server-server API, "Resolving server names" and "GET
/.well-known/matrix/server".
"""

from collections.abc import Mapping

from homeserver.conformance.check import (
    IP_LITERAL,
    Check,
    Severity,
    check,
    must,
    should,
)
from homeserver.conformance.checks.discovery_literals import judge_delegated
from homeserver.conformance.delegation import (
    FED,
    NEEDS,
    OLD,
    PATH,
    address_of,
    dead_service,
    delegating,
    fresh_name,
    judge_host,
    service_of,
)
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.reply import UNPROVEN
from homeserver.conformance.target import Target
from homeserver.http.reply import Reply

_RESOLVING = "Server-server API, Resolving server names"
_DOCUMENT = "Server-server API, GET /.well-known/matrix/server"
AFTER = ["D05"]  # a target that reads no document would pass


@check("D05", must, _RESOLVING, needs=NEEDS)
async def port(t: Target) -> Outcome:
    """A document with a host and a port leads there, with both as `Host`."""
    name = fresh_name(t)
    host = f"d.{name}"
    ours = delegating(t, f"{host}:443", [address_of(t, host)], name)
    return judge_host(t, ours, await t.ask(ours), f"{host}:443")


def _by_service(check_id: str, severity: Severity, service: str) -> Check:
    async def run(t: Target) -> Outcome:
        name = fresh_name(t)
        host = f"d.{name}"
        ours = delegating(t, host, service_of(t, host, service), name)
        return judge_host(t, ours, await t.ask(ours), host)

    label = service.partition(".")[0]
    rule = f"A document with a host leads to the target of its `{label}` record."
    return check(check_id, severity, _RESOLVING, needs=NEEDS, rule=rule)(run)


SERVICES = [_by_service("D06", must, FED), _by_service("D07", should, OLD)]


@check("D08", must, _RESOLVING, needs=NEEDS)
async def host_alone(t: Target) -> Outcome:
    """A document with a host that has no SRV record leads to its port 8448."""
    name = fresh_name(t)
    host = f"d.{name}"
    ours = delegating(t, host, [address_of(t, host)], name)
    return judge_host(t, ours, await t.ask(ours), host)


@check("D09", must, _RESOLVING, needs=[*NEEDS, IP_LITERAL])
async def literal(t: Target) -> Outcome:
    """A document with an IP address and a port leads there, with both as `Host`."""
    return await judge_delegated(t, "127.0.0.1:0")


@check("D14", must, _RESOLVING, needs=NEEDS)
async def nothing(t: Target) -> Outcome:
    """A name with neither document nor record leads to its port 8448."""
    name = fresh_name(t)
    ours = t.server(name=name, dns=[address_of(t, name)])
    return judge_host(t, ours, await t.ask(ours), name)


@check("D15", must, _RESOLVING, needs=NEEDS)
async def before_services(t: Target) -> Outcome:
    """A document goes before the SRV records of the name."""
    name = fresh_name(t)
    host = f"d.{name}"
    records = [address_of(t, host), dead_service(t, name)]
    ours = delegating(t, f"{host}:443", records, name)
    return judge_host(t, ours, await t.ask(ours), f"{host}:443")


_WRONG: Mapping[str, tuple[str, Reply]] = {
    "D16a": ("with status 404", Reply(b"{}", 404)),
    "D16b": ("with status 500", Reply(b"{}", 500)),
    "D16c": ("that is no JSON", Reply(b"<html></html>")),
    "D16d": ("that is an array", Reply(b"[]")),
    "D16e": ("without `m.server`", Reply(b"{}")),
    "D16f": ("whose `m.server` is a number", Reply(b'{"m.server":8448}')),
    # A port has five digits at most; that it has a largest number, no text says.
    "D16g": ("with a port of six digits", Reply(b'{"m.server":"a.test:844800"}')),
    "D16h": ("whose `m.server` is a URL", Reply(b'{"m.server":"https://a.test"}')),
    "D16i": ("whose port is a word", Reply(b'{"m.server":"a.test:port"}')),
    "D16j": ("whose `m.server` is null", Reply(b'{"m.server":null}')),
    "D16k": ("whose `m.server` is empty", Reply(b'{"m.server":""}')),
    "D16l": ("that is no UTF-8", Reply(b'{"m.server":"\xff.test"}')),
    "D19": ("that redirects to itself", Reply(b"{}", 302, {"Location": PATH})),
}


def _falls_through(check_id: str, what: str, answer: Reply) -> Check:
    async def run(t: Target) -> Outcome:
        name = fresh_name(t)
        ours = t.server(
            name=name,
            dns=[address_of(t, name), *service_of(t, name)],
            answers={PATH: lambda _: answer},
        )
        return judge_host(t, ours, await t.ask(ours), name)

    rule = f"A document {what} is taken for none: the next step follows."
    return check(check_id, must, _RESOLVING, needs=NEEDS, rule=rule)(run)


WRONG = [_falls_through(key, what, answer) for key, (what, answer) in _WRONG.items()]


def _not_believed(check_id: str, fault: str, rule: str) -> Check:
    async def run(t: Target) -> Outcome:
        there = t.server()
        name = fresh_name(t)
        ours = t.server(
            name=name,
            well_known=there.name.name,
            dns=[address_of(t, name)],
            certificate=fault,
        )
        t.instruct(there, keys=lambda _: ours.document())
        reply = await t.ask(ours)
        return expect(
            reply.status in UNPROVEN and not t.seen(there).requests,
            reply,
            t.seen(there),
            wanted="status 401 or 403, and no request to the host in the document",
        )

    return check(check_id, must, _DOCUMENT, needs=NEEDS, after=AFTER, rule=rule)(run)


NOT_BELIEVED = [
    _not_believed(key, fault, f"A document behind {what} certificate is not used.")
    for key, fault, what in (
        ("D23a", "self-signed", "a self-signed"),
        ("D23b", "other-name", "another name's"),
        ("D23c", "expired", "an expired"),
    )
]


@check("D24", must, _RESOLVING, needs=NEEDS, after=AFTER)
async def once(t: Target) -> Outcome:
    """The host in a document is not asked for a document of its own."""
    there = t.server(name=fresh_name(t), well_known=t.refusing_name())
    ours = delegating(t, there.name.name)
    for each in (there, ours):
        t.instruct(each, keys=lambda _: ours.document())
    reply = await t.ask(ours)
    is_met = reply.is_ok and not t.seen(there).well_known_requests
    wanted = "status 200, and no second document asked for"
    return expect(is_met, reply, t.seen(there), wanted=wanted)


@check("D25", must, _RESOLVING, needs=NEEDS, after=AFTER)
async def no_service(t: Target) -> Outcome:
    """The host in a document with a port is not asked for SRV records."""
    name = fresh_name(t)
    host = f"d.{name}"
    records = [address_of(t, host), dead_service(t, host)]
    ours = delegating(t, f"{host}:443", records, name)
    reply = await t.ask(ours)
    asked = [each for each in t.seen(ours).asked("SRV") if each.endswith(host)]
    shown = f"SRV questions: {', '.join(asked) or 'none'}"
    wanted = "status 200, and no SRV question"
    return expect(reply.is_ok and not asked, reply, shown, wanted=wanted)
