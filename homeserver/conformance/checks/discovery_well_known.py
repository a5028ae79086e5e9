"""D: how the target finds servers of ours by well-known documents.

Rules: a host that is delegated to is below the name that delegates. A document that is
wrong leads nowhere; the name itself then leads to our listener.

Specification: Server-server API, "Resolving server names" and "GET
/.well-known/matrix/server".
"""

from collections.abc import Mapping, Sequence

from homeserver.conformance.check import (
    DNS_ZONE,
    IP_LITERAL,
    STANDARD_PORTS,
    TRUSTED_NAME,
    Check,
    Severity,
    check,
    must,
    should,
)
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.seen import headers_of
from homeserver.conformance.target import Target
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Answer
from homeserver.lab.dns_server.records import Record
from homeserver.lab.servers.names import free_port

_RESOLVING = "Server-server API, Resolving server names"
_DOCUMENT = "Server-server API, GET /.well-known/matrix/server"
_PATH = "/.well-known/matrix/server"
_NEEDS = [TRUSTED_NAME, DNS_ZONE, STANDARD_PORTS]
_AFTER = ["D05"]  # a target that reads no document would pass
_FED, _OLD = "_matrix-fed._tcp", "_matrix._tcp"


def _fresh(t: Target) -> str:
    return f"{t.fresh()}.{t.ground.lab.zone.apex}"


def _address(t: Target, host: str) -> Record:
    address = t.ground.lab.servers.shared.address
    return Record(host, "AAAA" if ":" in address else "A", address)


def _service(t: Target, host: str, service: str = _FED) -> list[Record]:
    """A record that leads to our listener, by a target of its own."""
    port = t.ground.lab.servers.shared.listen.port
    value = f"0 0 {port} t.{host}"
    return [Record(f"{service}.{host}", "SRV", value), _address(t, f"t.{host}")]


def _dead_service(t: Target, host: str) -> Record:
    port = free_port(t.ground.lab.servers.shared.listen.host)
    return Record(f"{_FED}.{host}", "SRV", f"0 0 {port} {host}")


def _judge_host(t: Target, ours: Ours, reply: object, host: str) -> Outcome:
    """Whether keys were asked for with this `Host`."""
    hosts = {e for each in t.seen(ours).key_requests for e in headers_of(each, "Host")}
    is_met = getattr(reply, "is_ok", False) and hosts == {host}
    shown = f"Host {', '.join(sorted(hosts)) or 'unknown'}"
    wanted = f"status 200, Host {host}"
    return expect(is_met, reply, t.seen(ours), shown, wanted=wanted)


def _delegating(
    t: Target, to: str, records: Sequence[Record] = (), name: str | None = None
) -> Ours:
    name = name or _fresh(t)
    return t.server(name=name, well_known=to, dns=[_address(t, name), *records])


@check("D05", must, _RESOLVING, needs=_NEEDS)
async def port(t: Target) -> Outcome:
    """A document with a host and a port leads there, with both as `Host`."""
    name = _fresh(t)
    host = f"d.{name}"
    ours = _delegating(t, f"{host}:443", [_address(t, host)], name)
    return _judge_host(t, ours, await t.ask(ours), f"{host}:443")


def _by_service(check_id: str, severity: Severity, service: str) -> Check:
    async def run(t: Target) -> Outcome:
        name = _fresh(t)
        host = f"d.{name}"
        ours = _delegating(t, host, _service(t, host, service), name)
        return _judge_host(t, ours, await t.ask(ours), host)

    label = service.partition(".")[0]
    rule = f"A document with a host leads to the target of its `{label}` record."
    return check(check_id, severity, _RESOLVING, needs=_NEEDS, rule=rule)(run)


SERVICES = [_by_service("D06", must, _FED), _by_service("D07", should, _OLD)]


@check("D08", must, _RESOLVING, needs=_NEEDS)
async def host_alone(t: Target) -> Outcome:
    """A document with a host that has no SRV record leads to its port 8448."""
    name = _fresh(t)
    host = f"d.{name}"
    ours = _delegating(t, host, [_address(t, host)], name)
    return _judge_host(t, ours, await t.ask(ours), host)


@check("D09", must, _RESOLVING, needs=[*_NEEDS, IP_LITERAL])
async def literal(t: Target) -> Outcome:
    """A document with an IP address and a port leads there, with both as `Host`."""
    there = t.server(name="127.0.0.1:0")
    ours = _delegating(t, there.name.name)
    for each in (there, ours):
        t.instruct(each, keys=lambda _: ours.document())
    reply = await t.ask(ours)
    # A request that is signed for a name counts as that name's.
    seen = there if t.seen(there).key_requests else ours
    return _judge_host(t, seen, reply, there.name.name)


@check("D14", must, _RESOLVING, needs=_NEEDS)
async def nothing(t: Target) -> Outcome:
    """A name with neither document nor record leads to its port 8448."""
    name = _fresh(t)
    ours = t.server(name=name, dns=[_address(t, name)])
    return _judge_host(t, ours, await t.ask(ours), name)


@check("D15", must, _RESOLVING, needs=_NEEDS)
async def before_services(t: Target) -> Outcome:
    """A document goes before the SRV records of the name."""
    name = _fresh(t)
    host = f"d.{name}"
    records = [_address(t, host), _dead_service(t, name)]
    ours = _delegating(t, f"{host}:443", records, name)
    return _judge_host(t, ours, await t.ask(ours), f"{host}:443")


_WRONG: Mapping[str, tuple[str, Reply]] = {
    "D16a": ("with status 404", Reply(b"{}", 404)),
    "D16b": ("with status 500", Reply(b"{}", 500)),
    "D16c": ("that is no JSON", Reply(b"<html></html>")),
    "D16d": ("that is an array", Reply(b"[]")),
    "D16e": ("without `m.server`", Reply(b"{}")),
    "D16f": ("whose `m.server` is a number", Reply(b'{"m.server":8448}')),
    "D16g": ("with the port 99999", Reply(b'{"m.server":"a.test:99999"}')),
    "D16h": ("whose `m.server` is a URL", Reply(b'{"m.server":"https://a.test"}')),
    "D16i": ("whose port is a word", Reply(b'{"m.server":"a.test:port"}')),
    "D16j": ("whose `m.server` is null", Reply(b'{"m.server":null}')),
    "D16k": ("whose `m.server` is empty", Reply(b'{"m.server":""}')),
    "D16l": ("that is no UTF-8", Reply(b'{"m.server":"\xff.test"}')),
    "D19": ("that redirects to itself", Reply(b"{}", 302, {"Location": _PATH})),
}


def _falls_through(check_id: str, what: str, answer: Reply) -> Check:
    async def run(t: Target) -> Outcome:
        name = _fresh(t)
        ours = t.server(
            name=name,
            dns=[_address(t, name), *_service(t, name)],
            answers={_PATH: lambda _: answer},
        )
        return _judge_host(t, ours, await t.ask(ours), name)

    rule = f"A document {what} is taken for none: the next step follows."
    return check(check_id, must, _RESOLVING, needs=_NEEDS, rule=rule)(run)


WRONG = [_falls_through(key, what, answer) for key, (what, answer) in _WRONG.items()]


def _document(host: str, kind: str = "application/json") -> Reply:
    return Reply(b'{"m.server":"%s"}' % host.encode(), headers={"Content-Type": kind})


def _answered(t: Target, name: str, host: str, answer: Reply | Answer) -> Ours:
    """A server whose host answers like this, and which is delegated to another host."""
    return t.server(
        name=name,
        well_known=host,  # for the certificate
        dns=[_address(t, name), _address(t, host.partition(":")[0])],
        answers={_PATH: (lambda _: answer) if isinstance(answer, Reply) else answer},
    )


@check("D17", must, _DOCUMENT, needs=_NEEDS)
async def plain_text(t: Target) -> Outcome:
    """A document with another content type than JSON's is read."""
    name = _fresh(t)
    host = f"d.{name}:443"
    ours = _answered(t, name, host, _document(host, "text/plain"))
    return _judge_host(t, ours, await t.ask(ours), host)


def _redirected(check_id: str, status: int) -> Check:
    async def run(t: Target) -> Outcome:
        name = _fresh(t)
        host = f"d.{name}:443"
        there = t.server(name=_fresh(t), answers={_PATH: lambda _: _document(host)})
        answer = Reply(b"{}", status, {"Location": f"https://{there.name}{_PATH}"})
        ours = _answered(t, name, host, answer)
        return _judge_host(t, ours, await t.ask(ours), host)

    rule = f"A redirect to another host with status {status} is followed."
    return check(check_id, should, _RESOLVING, needs=_NEEDS, rule=rule)(run)


REDIRECTS = [
    _redirected(f"D18{letter}", status)
    for letter, status in zip("abcde", (301, 302, 303, 307, 308), strict=True)
]


@check("D18f", should, "RFC 9110, 10.2.2", needs=_NEEDS)
async def relative_redirect(t: Target) -> Outcome:
    """A redirect to a relative place is followed."""
    name = _fresh(t)
    host = f"d.{name}:443"

    def answer(request: Request) -> Reply:
        is_second = b"?" in request.uri
        return _document(host) if is_second else Reply(b"{}", 302, {"Location": "?2"})

    ours = _answered(t, name, host, answer)
    return _judge_host(t, ours, await t.ask(ours), host)


def _not_believed(check_id: str, fault: str, rule: str) -> Check:
    async def run(t: Target) -> Outcome:
        there = t.server()
        name = _fresh(t)
        ours = t.server(
            name=name,
            well_known=there.name.name,
            dns=[_address(t, name)],
            certificate=fault,
        )
        t.instruct(there, keys=lambda _: ours.document())
        reply = await t.ask(ours)
        return expect(
            reply.status == 401 and not t.seen(there).requests,
            reply,
            t.seen(there),
            wanted="status 401, and no request to the host in the document",
        )

    return check(check_id, must, _DOCUMENT, needs=_NEEDS, after=_AFTER, rule=rule)(run)


NOT_BELIEVED = [
    _not_believed(key, fault, f"A document behind {what} certificate is not used.")
    for key, fault, what in (
        ("D23a", "self-signed", "a self-signed"),
        ("D23b", "other-name", "another name's"),
        ("D23c", "expired", "an expired"),
    )
]


@check("D24", must, _RESOLVING, needs=_NEEDS, after=_AFTER)
async def once(t: Target) -> Outcome:
    """The host in a document is not asked for a document of its own."""
    there = t.server(name=_fresh(t), well_known=t.refusing_name())
    ours = _delegating(t, there.name.name)
    for each in (there, ours):
        t.instruct(each, keys=lambda _: ours.document())
    reply = await t.ask(ours)
    is_met = reply.is_ok and not t.seen(there).well_known_requests
    wanted = "status 200, and no second document asked for"
    return expect(is_met, reply, t.seen(there), wanted=wanted)


@check("D25", must, _RESOLVING, needs=_NEEDS, after=_AFTER)
async def no_service(t: Target) -> Outcome:
    """The host in a document with a port is not asked for SRV records."""
    name = _fresh(t)
    host = f"d.{name}"
    records = [_address(t, host), _dead_service(t, host)]
    ours = _delegating(t, f"{host}:443", records, name)
    reply = await t.ask(ours)
    asked = [each for each in t.seen(ours).asked("SRV") if each.endswith(host)]
    shown = f"SRV questions: {', '.join(asked) or 'none'}"
    wanted = "status 200, and no SRV question"
    return expect(reply.is_ok and not asked, reply, shown, wanted=wanted)


@check("D45", must, _DOCUMENT, needs=_NEEDS)
async def request(t: Target) -> Outcome:
    """A document is asked for by GET, with the name as `Host`, and unsigned."""
    ours = _delegating(t, f"{_fresh(t)}:443")
    await t.ask(ours)
    asked = t.seen(ours).well_known_requests
    hosts = {host for each in asked for host in headers_of(each, "Host")}
    signed = [e for each in asked for e in headers_of(each, "Authorization")]
    methods = {each.method for each in asked}
    return expect(
        methods == {"GET"} and hosts == {ours.name.name} and not signed,
        f"{', '.join(methods)} with Host {', '.join(hosts) or 'unknown'}",
        f"{len(signed)} headers Authorization",
        wanted=f"GET with Host {ours.name}, without Authorization",
    )
