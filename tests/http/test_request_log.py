"""What is told of each request: once, with all that is known, and no secret."""

from collections.abc import Iterator, Sequence

import pytest
from twisted.logger import LogEvent, LogLevel, capturedLogs, formatEvent

from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route, Router
from homeserver.net.exchange import Exchange
from homeserver.protocol.canonical_json import Json, encode
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.federation_side import Endpoint
from tests.support.http_connection import (
    Connection,
    ask,
    at_root,
    chunked,
    request,
    site,
)
from tests.support.manual_resource import Desk
from tests.support.pdus import message
from tests.support.signed_requests import THEM, UnreachableKeys

SEND = "/_matrix/federation/v1/send/1"
ROUTE = "/_matrix/federation/v1/send/{txnId}"


@pytest.fixture
def log() -> Iterator[Sequence[LogEvent]]:
    """What is logged while a test runs."""
    with capturedLogs() as events:
        yield events


def told(log: Sequence[LogEvent]) -> dict[str, object]:
    """The parts of the one line that was logged."""
    [event] = log
    return parts(event)


def parts(event: LogEvent) -> dict[str, object]:
    """The parts of a request's line."""
    exchange: Exchange = event["exchange"]
    return exchange.members()


def put(body: Json, *headers: str, target: str = SEND) -> int:
    """The status that a PUT gets from an endpoint of its own."""
    lines = [f"Authorization: {each}" for each in headers]
    return ask(Endpoint().site, "PUT", target, lines, encode(body)).status


def test_transaction(log: Sequence[LogEvent]) -> None:
    """A transaction is told with its origin and what was made of it."""
    edu: Json = {"edu_type": "m.typing", "content": {}}
    body: Json = {
        "origin": THEM.server_name.name,
        "origin_server_ts": 1,
        "pdus": [message(), {}],
        "edus": [edu],
    }
    assert put(body, THEM.authorize("PUT", SEND, body)) == 200
    assert told(log) == {
        "listener": "federation",
        "method": "PUT",
        "path": SEND,
        "route": ROUTE,
        "address": "192.0.2.1",
        "status": 200,
        "seconds": 0.0,
        "origin": "them.example",
        "is_proven": True,
        "pdus": 2,
        "redacted": 0,
        "rejected": 1,
        "edus": 1,
        "problems": 1,
        "verdict": "2 PDUs (0 redacted, 1 rejected), 1 EDUs, 1 problems",
    }
    assert formatEvent(log[0]) == (
        f"federation: PUT {SEND} of them.example at 192.0.2.1: 200 in 0.0 s: "
        "2 PDUs (0 redacted, 1 rejected), 1 EDUs, 1 problems"
    )


def test_repeated_transaction(log: Sequence[LogEvent]) -> None:
    """A transaction that was there before is told as such."""
    endpoint = Endpoint()
    body: Json = {"pdus": []}
    for _ in range(2):
        lines = [f"Authorization: {THEM.authorize('PUT', SEND, body)}"]
        ask(endpoint.site, "PUT", SEND, lines, encode(body))
    assert [parts(event)["verdict"] for event in log][1:] == ["known already"]


def test_refused_request(log: Sequence[LogEvent]) -> None:
    """A refusal is told with the reason, and with who the request says it is of."""
    assert put({"pdus": []}, THEM.authorize("PUT", SEND, {})) == 401
    event = told(log)
    error = str(event.pop("error"))
    assert error.startswith("signature does not verify: ed25519:t_1 of them.example")
    assert event == {
        "listener": "federation",
        "method": "PUT",
        "path": SEND,
        "route": ROUTE,
        "address": "192.0.2.1",
        "status": 401,
        "seconds": 0.0,
        "origin": "them.example",
        "is_proven": False,
        "errcode": "M_UNAUTHORIZED",
        "reason": "bad_signature",
    }
    assert formatEvent(log[0]) == (
        f"federation: PUT {SEND} of them.example (not proven) at 192.0.2.1: 401 in "
        f"0.0 s: M_UNAUTHORIZED: {error}"
    )


def test_refusal_in_full(log: Sequence[LogEvent]) -> None:
    """The log has what the peer does not learn."""
    lines = [f"Authorization: {THEM.authorize('PUT', SEND, {})}"]
    answer = ask(Endpoint(keyring=UnreachableKeys()).site, "PUT", SEND, lines, b"{}")
    assert answer.json["error"] == "no connection"
    assert str(told(log)["error"]).startswith("127.0.0.1:22: it is not TLS")


def test_refused_request_of_a_proven_origin(log: Sequence[LogEvent]) -> None:
    """What is wrong with a request does not make its origin less proven."""
    body: Json = {"pdus": 5}
    assert put(body, THEM.authorize("PUT", SEND, body)) == 400
    event = told(log)
    assert (event["is_proven"], event["errcode"]) == (True, "M_BAD_JSON")
    assert event["reason"] == "content"


HEADERS = [
    'X-Matrix origin=them.example,key="ed25519:1",sig="%s"',
    'X-Matrix origin=them.example,,sig="%s"',
    "X-Matrix origin=them.example,key=%s",
    "Bearer %s",
    "%s",
]


@pytest.mark.parametrize("header", HEADERS)
def test_no_secret(header: str, log: Sequence[LogEvent]) -> None:
    """Neither a header's secret nor the query of a target is told."""
    assert put({}, header % "c2VjcmV0", target=f"{SEND}?token=c2VjcmV0") >= 400
    assert told(log)["path"] == SEND
    assert "c2VjcmV0" not in str(log)


ROUTES: list[tuple[str, str]] = [
    ("/_matrix/key/v1", "/_matrix/key/v1"),
    ("/_matrix/key/v1/", "/_matrix/key/v1"),
    ("/_matrix/key/v2/server", "/_matrix/key/v2/server"),
    ("/_matrix/key/v2/server/ed25519:a", "/_matrix/key/v2/server/{keyId}"),
    ("/_matrix/federation/v1/version", "/_matrix/federation/v1/version"),
    ("/_matrix/federation/v1/query/a", "/_matrix/federation/v1/query/{queryType}"),
    (SEND, ROUTE),
    (f"{SEND}/", ROUTE),
    ("/.well-known/matrix/server", "/.well-known/matrix/server"),
    ("/", "other"),
    ("/_matrix/federation/v1/send", "other"),
    ("/_matrix/federation/v1/send/a/b", "other"),
    ("/_matrix/federation/v2/version", "other"),
]


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
@pytest.mark.parametrize(("target", "route"), ROUTES)
def test_route(method: str, target: str, route: str, log: Sequence[LogEvent]) -> None:
    """The route is the template, whatever is asked for and by whatever method."""
    ask(Endpoint().site, method, target)
    assert told(log)["route"] == route


CUT_OFF: list[tuple[str, bytes, int, str, str, str]] = [
    ("nonsense", b"nonsense\r\n\r\n", 400, "-", "-", "other"),
    ("header", b"GET /a?b HTTP/1.1\r\nnonsense\r\n\r\n", 400, "GET", "/a", "other"),
    ("length", request("PUT", "/a", ["Content-Length: 99"]), 413, "PUT", "/a", "other"),
    ("chunks", chunked("/?a", b"x" * 99), 413, "PUT", "/", "/"),
    ("no such route", request("PUT", "/a", body=b"x"), 404, "PUT", "/a", "other"),
]


@pytest.mark.parametrize(
    ("data", "status", "method", "path", "route"),
    [row[1:] for row in CUT_OFF],
    ids=[row[0] for row in CUT_OFF],
)
def test_request_that_is_cut_off(
    data: bytes,
    status: int,
    method: str,
    path: str,
    route: str,
    log: Sequence[LogEvent],
) -> None:
    """What is answered before it is whole is told once, as far as it came."""
    connection = Connection(site(Desk(), max_body_bytes=10))
    connection.send(data, b"\r\n", request("GET", "/b"))
    event = told(log)
    assert (event["method"], event["path"]) == (method, path)
    assert (event["status"], event["route"]) == (status, route)
    assert event["error"]
    connection.lose()


def test_first_line_of_the_request_before(log: Sequence[LogEvent]) -> None:
    """What is cut off is not told as the request before it on the connection."""
    connection = Connection(site(Desk()))
    connection.send(request("GET", "/"), b"nonsense\r\n\r\n")
    assert [parts(event)["path"] for event in log] == ["/", "-"]
    connection.lose()


SHOWN: list[tuple[str, str]] = [
    ("/%0A%1B", "/%0A%1B"),
    ("/" + "a" * 5000, "/" + "a" * 199),
    ("/\xff", "-"),  # is none
]


@pytest.mark.parametrize(("path", "shown"), SHOWN)
def test_path_is_shown(path: str, shown: str, log: Sequence[LogEvent]) -> None:
    """A path is told as it came, and cut where it is long."""
    ask(site(at_root()), "GET", path)
    assert told(log)["path"] == shown


def test_duration(log: Sequence[LogEvent]) -> None:
    """The time is told that it took from the request to its answer."""
    desk = Desk(waits=True)
    endpoint = Endpoint()
    connection = Connection(site(desk, clock=endpoint.clock))
    connection.send(request("GET", "/"))
    endpoint.clock.advance(1.25)
    desk.results[0].callback(None)
    assert told(log)["seconds"] == 1.25


def test_clock_that_was_set_back(log: Sequence[LogEvent]) -> None:
    """No time is less than none."""
    desk = Desk(waits=True)
    endpoint = Endpoint()
    connection = Connection(site(desk, clock=endpoint.clock))
    connection.send(request("GET", "/"))
    endpoint.clock.rightNow -= 5
    desk.results[0].callback(None)
    assert told(log)["seconds"] == 0.0


def test_client_that_is_gone(log: Sequence[LogEvent]) -> None:
    """A request whose client did not wait is told once, when its work is done."""
    desk = Desk(waits=True)
    connection = Connection(site(desk))
    connection.send(request("GET", "/"))
    connection.lose()
    assert log == []
    desk.results[0].callback(None)
    assert told(log)["is_gone"]
    assert "200 in 0.0 s (client disconnected)" in str(formatEvent(log[0]))


async def tell(_: Request) -> Reply:
    """Answer with nothing."""
    return json_reply({})


async def fail(_: Request) -> Reply:
    """Fail as the store does."""
    raise StoreUnavailable("the disk is full")


LEVELS: list[tuple[str, str, Answer, LogLevel]] = [
    ("any", "/_matrix/key/v1", tell, LogLevel.info),
    ("health", "/health", tell, LogLevel.debug),
    ("metrics", "/metrics", tell, LogLevel.debug),
    ("internal error", "/health2", fail, LogLevel.error),
]


@pytest.mark.parametrize(
    ("path", "answer", "level"),
    [row[1:] for row in LEVELS],
    ids=[row[0] for row in LEVELS],
)
def test_level(
    path: str, answer: Answer, level: LogLevel, log: Sequence[LogEvent]
) -> None:
    """Routine is for debugging; an internal error is an error."""
    ask(site(Router([Route("GET", path, answer)])), "GET", path)
    [event] = log
    assert event["log_level"] is level


def test_store_that_is_not_available(log: Sequence[LogEvent]) -> None:
    """The log says what is wrong with the store, in the line of the request."""
    ask(site(at_root(GET=fail)), "GET", "/")
    event = told(log)
    assert (event["status"], event["error"]) == (503, "the disk is full")
