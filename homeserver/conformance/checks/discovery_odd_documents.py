"""D: well-known documents that are odd: without TLS, large, endless, and kept.

Rules: as in `discovery_well_known`.

Specification: Server-server API, "Resolving server names" and "GET
/.well-known/matrix/server".
"""

from collections.abc import Callable, Mapping

from homeserver.conformance.check import Check, check, info, robustness, should
from homeserver.conformance.delegation import (
    NEEDS,
    PATH,
    address_of,
    answered_by,
    document_for,
    fresh_name,
    judge_host,
    service_of,
)
from homeserver.conformance.endless import Endless
from homeserver.conformance.ours import Ours
from homeserver.conformance.outcome import NotTestable, Outcome, expect, reported
from homeserver.conformance.plain_server import plain_server
from homeserver.conformance.seen import Seen, headers_of
from homeserver.conformance.target import Target
from homeserver.http.reply import Reply, json_reply
from homeserver.protocol.canonical_json import encode

_RESOLVING = "Server-server API, Resolving server names"
_DOCUMENT = "Server-server API, GET /.well-known/matrix/server"

_LARGE = 200_000  # bytes of a document; those of servers have about thirty

_MakeAnswer = Callable[[str], Reply]
"""Makes the answer to a request for a document; it has the host to delegate to."""

_FETCHES = 3
_VALID_MS = 1000  # of a key document, so that the target comes again
_MARGIN_MS = 200
_WAITS = 20.0  # a target may protect other servers by a pause between two fetches


@check("D20", info, _DOCUMENT, needs=NEEDS)
async def without_tls(t: Target) -> Outcome:
    """A redirect to a document without TLS is followed, or not."""
    name = fresh_name(t)
    host, shared = f"d.{name}", t.ground.lab.servers.shared
    reactor = t.ground.lab.endpoint.parts.shared.reactor
    body = document_for(f"{host}:443").body
    with plain_server(reactor, shared.listen.host, body) as (server, port):
        answer = Reply(b"{}", 302, {"Location": f"http://{host}:{port}{PATH}"})
        ours = answered_by(t, name, f"{host}:443", answer)
        reply = await t.ask(ours)
    followed = f"asked without TLS: {', '.join(server.asked) or 'nothing'}"
    return reported(followed, reply, _hosts(t, ours))


@check("D21", info, _DOCUMENT, needs=NEEDS)
async def large(t: Target) -> Outcome:
    """A document of 200 kB is read, or taken for none."""
    name = fresh_name(t)
    host = f"d.{name}:443"
    answer = json_reply({"m.server": host, "padding": "a" * _LARGE})
    ours = answered_by(t, name, host, answer)
    return reported(await t.ask(ours), _hosts(t, ours))


@check("D22", robustness, "", needs=NEEDS, after=["D05"])
async def endless(t: Target) -> Outcome:
    """A document that does not end is given up, and the next step follows."""
    name = fresh_name(t)
    answer = Endless(encode({"m.server": f"d.{name}:443"})[:-1])
    ours = t.server(
        name=name,
        dns=[address_of(t, name), *service_of(t, name)],
        answers={PATH: answer},
    )
    reply = await t.ask(ours)
    outcome = judge_host(t, ours, reply, name)
    return expect(
        outcome.is_met is True and not answer.is_whole,
        outcome.observed,
        f"{answer.sent} bytes of the document sent",
        wanted=f"{outcome.expected}, and the document not taken whole",
    )


def _fetched(check_id: str, cache: str, rule: str) -> Check:
    """A document that says how long it is to be kept."""

    async def run(t: Target) -> Outcome:
        headers = {"Cache-Control": cache}
        return reported(_count(await _fetch(t, lambda host: _document(host, headers))))

    return check(check_id, info, _RESOLVING, needs=NEEDS, waits=_WAITS, rule=rule)(run)


def _kept(check_id: str, after: str, answer: _MakeAnswer, rule: str) -> Check:
    """One request for a document, though keys are fetched three times."""

    async def run(t: Target) -> Outcome:
        seen = await _fetch(t, answer)
        is_met = len(seen.well_known_requests) == 1
        return expect(is_met, _count(seen), wanted="one request for the document")

    return check(
        check_id,
        should,
        _RESOLVING,
        needs=NEEDS,
        after=[after],
        waits=_WAITS,
        rule=rule,
    )(run)


def _document(host: str, headers: Mapping[str, str]) -> Reply:
    found = document_for(host)
    return Reply(found.body, found.status, {**found.headers, **headers})


KEPT = [
    _kept(
        "D39",
        "D05",
        document_for,
        "A document is kept: three fetches of keys make one request for it.",
    ),
    _kept(
        "D40",
        "D14",
        lambda _: Reply(b"{}", 404),
        "That there is no document is kept: three fetches make one request for it.",
    ),
    _fetched(
        "D41",
        "max-age=1",
        "A document that asks to be kept for a second is kept for so long, or longer.",
    ),
    _fetched(
        "D42",
        "no-store",
        "A document that asks not to be kept is asked for each time, or kept.",
    ),
]


async def _fetch(t: Target, answer: _MakeAnswer) -> Seen:
    """What was seen of three fetches of keys, a second apart or more.

    A connection that is kept would need no discovery, so none is. Raises `NotTestable`.
    """

    def keys(each: Ours) -> Reply:
        document = each.document(valid_until_ts=each.now_ts + _VALID_MS)
        return Reply(encode(document), headers={"Connection": "close"})

    name = fresh_name(t)
    host = f"d.{name}"
    ours = t.server(
        name=name,
        well_known=f"{host}:443",  # for the certificate
        dns=[address_of(t, name), address_of(t, host)],
        answers={PATH: lambda _: answer(f"{host}:443")},
        keys=keys,
    )
    end = t.now_ts + int(_WAITS * 1000)
    while True:
        await t.ask(ours)
        seen = t.seen(ours)
        if len(seen.key_requests) >= _FETCHES:
            return seen
        if t.now_ts >= end:
            raise NotTestable(f"the target does not come for keys: {_count(seen)}")
        await t.wait_until(t.now_ts + _VALID_MS + _MARGIN_MS)


def _count(seen: Seen) -> str:
    keys, documents = len(seen.key_requests), len(seen.well_known_requests)
    return f"{documents} requests for the document, {keys} for keys"


def _hosts(t: Target, ours: Ours) -> str:
    hosts = {e for each in t.seen(ours).key_requests for e in headers_of(each, "Host")}
    return f"Host {', '.join(sorted(hosts)) or 'unknown'}"
