"""H: unknown paths and methods, and the forms of requests.

Rules: none of these requests costs the target more than its answer.
"""

from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults

from homeserver.conformance.check import (
    TRUSTED_NAME,
    Check,
    check,
    info,
    must,
    robustness,
)
from homeserver.conformance.connection import Connection, head
from homeserver.conformance.outcome import (
    Late,
    NoAnswer,
    NotTestable,
    Outcome,
    each_of,
    expect,
    reported,
    unmet,
)
from homeserver.conformance.reply import (
    Reply,
    accepted,
    ended,
    refused,
    unlimited,
)
from homeserver.conformance.target import Target
from homeserver.protocol.federation_paths import V1

_UNSUPPORTED = "Server-server API, Unsupported endpoints"
_STANDARDS = "Server-server API, API standards"
_VERSION = f"{V1}/version"

LONG_SECONDS = 10.0
"""Within which a malformed head is answered, or its connection closed."""

IDLE_SECONDS = 5.0
"""Within which a request is answered beside idle connections."""

_CONNECTIONS = 200


def _unrecognized(reply: Reply, code: int) -> Outcome:
    return expect(
        (reply.status, reply.errcode) == (code, "M_UNRECOGNIZED"),
        reply,
        wanted=f"status {code} M_UNRECOGNIZED",
    )


@check("H01", must, _UNSUPPORTED)
async def unknown_path(t: Target) -> Outcome:
    """An unknown path under federation is answered by 404 M_UNRECOGNIZED."""
    return _unrecognized(await t.plain("GET", f"{V1}/{t.fresh('none')}"), 404)


@check("H02", must, _UNSUPPORTED, needs=[TRUSTED_NAME])
async def unknown_path_signed(t: Target) -> Outcome:
    """A signed request of an unknown path is answered by 404 M_UNRECOGNIZED."""
    path = f"{V1}/{t.fresh('none')}"
    return _unrecognized(await t.request(t.server(), "GET", path), 404)


@check("H03", must, _UNSUPPORTED)
async def wrong_method(t: Target) -> Outcome:
    """A known path with a method that it has not is answered by 405 M_UNRECOGNIZED."""
    return _unrecognized(await t.plain("DELETE", _VERSION), 405)


@check("H04", must, _UNSUPPORTED)
async def unknown_key_path(t: Target) -> Outcome:
    """An unknown path under keys is answered by 404 M_UNRECOGNIZED."""
    return _unrecognized(await t.plain("GET", f"/_matrix/key/{t.fresh('none')}"), 404)


def _untyped(
    headers: list[tuple[str, str]], body: bytes | None
) -> tuple[list[tuple[str, str]], bytes | None]:
    return [each for each in headers if each[0] != "Content-Type"], body


def _in_chunks(
    headers: list[tuple[str, str]], body: bytes | None
) -> tuple[list[tuple[str, str]], bytes | None]:
    data = body or b""
    half = len(data) // 2
    chunks = (data[:half], data[half:], b"")
    sent = b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks)
    return [*headers, ("Transfer-Encoding", "chunked")], sent


@check("H06", must, _STANDARDS, needs=[TRUSTED_NAME])
async def no_content_type(t: Target) -> Outcome:
    """A body without Content-Type is read as JSON."""
    return accepted(await t.ask(t.server(), wire=_untyped))


@check("H07", must, "RFC 9112, 7.1", needs=[TRUSTED_NAME])
async def chunked(t: Target) -> Outcome:
    """A body in chunks is read."""
    return accepted(await t.ask(t.server(), wire=_in_chunks))


@check("H08", must, "RFC 9110, 10.1.1", needs=[TRUSTED_NAME])
async def expects_continue(t: Target) -> Outcome:
    """A request that expects 100-continue is answered by that, or at once by 200."""
    reply = await t.ask(t.server(), headers={"Expect": "100-continue"})
    before = ", ".join(map(str, reply.interim)) or "none"
    return expect(reply.is_ok, reply, f"interim responses: {before}")


@check("H09", info, "RFC 9112, 3.2.2")
async def absolute_form(t: Target) -> Outcome:
    """A request target with scheme and host is understood, or refused."""
    host = t.route.host_header
    return reported(await t.send("GET", f"https://{host}{_VERSION}"))


@check("H10", must, "RFC 9112, 9.3")
async def two_requests(t: Target) -> Outcome:
    """A connection is kept for a second request, unless its answer says otherwise."""
    connection = await t.connect()
    headers = [("Host", t.route.host_header), ("Connection", "keep-alive")]
    try:
        connection.send(head("GET", _VERSION, t.complete(headers, None)))
        first = unlimited(await connection.read())
        if first.is_last:
            said = f"by HTTP/{first.version}, Connection: {first.header('Connection')}"
            raise NotTestable(f"the target keeps no connection, as it says {said}")
        connection.send(head("GET", _VERSION, t.complete(headers, None)))
        second = unlimited(await connection.read())
    finally:
        connection.close()
    return expect(first.is_ok and second.is_ok, first, second)


@check("H11", robustness, "")
async def long_header(t: Target) -> Outcome:
    """A header line of 20 kB is answered in 10 s, or closed, and others are served."""
    headers = [("X-Long", "x" * 20_000)]
    outcome = await ended(t.send("GET", _VERSION, headers, seconds=LONG_SECONDS))
    other = await t.plain("GET", _VERSION)
    return each_of([("the long one", outcome), ("another", accepted(other))])


@check("H12", robustness, "RFC 9112, 6.1")
async def two_lengths(t: Target) -> Outcome:
    """A request with Content-Length and chunks is refused, or its connection closed."""
    headers = [
        ("Connection", "keep-alive"),
        ("Content-Type", "application/json"),
        ("Content-Length", "2"),
        ("Transfer-Encoding", "chunked"),
    ]
    path = f"{V1}/send/{t.fresh('t')}"
    wanted = "status 400, or a closed connection"
    connection = await t.connect()
    try:
        complete = t.complete(headers, None)
        connection.send(head("PUT", path, complete) + b"2\r\n{}\r\n0\r\n\r\n")
        reply = unlimited(await connection.read("PUT", LONG_SECONDS))
        is_met = reply.status == 400 or await connection.closed(LONG_SECONDS)
    except Late as problem:
        return unmet(problem, wanted=wanted)
    except NoAnswer as problem:
        return Outcome(is_met=True, observed=str(problem))
    finally:
        connection.close()
    return expect(is_met, reply, "" if is_met else "a kept connection", wanted=wanted)


@check("H13", robustness, "", needs=[TRUSTED_NAME], is_alone=True)
async def idle_connections(t: Target) -> Outcome:
    """Beside 200 idle connections, a request is answered within 5 s."""
    opened = await _open(t, _CONNECTIONS)
    try:
        reply = await t.ask(t.server())
    finally:
        for each in opened:
            each.close()
    return expect(
        reply.is_ok and reply.seconds < IDLE_SECONDS,
        reply,
        f"after {reply.seconds:.1f} s, beside {len(opened)} connections",
        wanted=f"status 200 within {IDLE_SECONDS:g} s",
    )


async def _open(t: Target, number: int) -> Sequence[Connection]:
    opening = [Deferred.fromCoroutine(_try(t)) for _ in range(number)]
    found = await gatherResults(opening, consumeErrors=True)
    return [each for each in found if each is not None]


async def _try(t: Target) -> Connection | None:
    try:
        return await t.connect()
    except NoAnswer:
        return None


@check("H14", robustness, "", needs=[TRUSTED_NAME])
async def deep_json(t: Target) -> Outcome:
    """JSON of 10,000 levels is refused by 4xx."""
    return refused(await t.ask(t.server(), spoil=["depth"]))


def _choice(check_id: str, rule: str, method: str, path: str) -> Check:
    async def run(t: Target) -> Outcome:
        return reported(await t.plain(method, path))

    return check(check_id, info, _UNSUPPORTED, rule=rule)(run)


CHOICES = [
    _choice(
        "H15", "A slash after a path changes nothing, or all.", "GET", f"{_VERSION}/"
    ),
    _choice("H16", "HEAD is answered as GET without a body, or not.", "HEAD", _VERSION),
    _choice("H16.options", "OPTIONS is answered, or refused.", "OPTIONS", _VERSION),
]
