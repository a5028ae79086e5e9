"""D: how the target asks for the well-known documents of servers of ours.

Rules: as in `discovery_well_known`.

Specification: Server-server API, "Resolving server names" and "GET
/.well-known/matrix/server".
"""

from homeserver.conformance.check import (
    Check,
    check,
    must,
    should,
)
from homeserver.conformance.delegation import (
    NEEDS,
    PATH,
    answered_by,
    delegating,
    document_for,
    fresh_name,
    judge_host,
)
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.seen import headers_of
from homeserver.conformance.target import Target
from homeserver.http.reply import Reply
from homeserver.http.request import Request

_RESOLVING = "Server-server API, Resolving server names"
_DOCUMENT = "Server-server API, GET /.well-known/matrix/server"


@check("D17", must, _DOCUMENT, needs=NEEDS)
async def plain_text(t: Target) -> Outcome:
    """A document with another content type than JSON's is read."""
    name = fresh_name(t)
    host = f"d.{name}:443"
    ours = answered_by(t, name, host, document_for(host, "text/plain"))
    return judge_host(t, ours, await t.ask(ours), host)


def _redirected(check_id: str, status: int) -> Check:
    async def run(t: Target) -> Outcome:
        name = fresh_name(t)
        host = f"d.{name}:443"
        there = t.server(
            name=fresh_name(t), answers={PATH: lambda _: document_for(host)}
        )
        answer = Reply(b"{}", status, {"Location": f"https://{there.name}{PATH}"})
        ours = answered_by(t, name, host, answer)
        return judge_host(t, ours, await t.ask(ours), host)

    rule = f"A redirect to another host with status {status} is followed."
    return check(check_id, should, _RESOLVING, needs=NEEDS, rule=rule)(run)


REDIRECTS = [
    _redirected(f"D18{letter}", status)
    for letter, status in zip("abcde", (301, 302, 303, 307, 308), strict=True)
]


@check("D18f", should, "RFC 9110, 10.2.2", needs=NEEDS)
async def relative_redirect(t: Target) -> Outcome:
    """A redirect to a relative place is followed."""
    name = fresh_name(t)
    host = f"d.{name}:443"

    def answer(request: Request) -> Reply:
        is_second = b"?" in request.uri
        return (
            document_for(host) if is_second else Reply(b"{}", 302, {"Location": "?2"})
        )

    ours = answered_by(t, name, host, answer)
    return judge_host(t, ours, await t.ask(ours), host)


@check("D45", must, _DOCUMENT, needs=NEEDS)
async def request(t: Target) -> Outcome:
    """A document is asked for by GET, with the name as `Host`, and unsigned."""
    ours = delegating(t, f"{fresh_name(t)}:443")
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
