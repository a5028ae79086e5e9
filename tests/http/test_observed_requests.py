"""What observers are given of each request: its exchange, once, as it is in the end."""

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.request_log import RequestLog
from homeserver.http.router import Route, Router
from homeserver.http.site import BoundedSite
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.storage.engine.interface import StoreUnavailable
from tests.support.http_connection import (
    Connection,
    ask,
    at_root,
    limits,
    request,
    site,
)
from tests.support.logged_errors import LoggedErrors
from tests.support.manual_resource import Desk


async def tell(_: Request) -> Reply:
    """Answer with nothing."""
    return json_reply({})


async def fail(_: Request) -> Reply:
    """Fail as the store does."""
    raise StoreUnavailable("the disk is full")


def test_reason_of_a_refusal() -> None:
    """A record has an error once its reason is known, and metrics as well."""
    seen: list[tuple[str, str | None]] = []
    clock = Clock()
    exchanges = Exchanges(clock, lambda each: seen.append(("metrics", each.reason)))
    exchanges.record = lambda each: seen.append(("record", each.reason))

    def refused(exchange: Exchange) -> None:
        exchange.reason = "unknown_path"

    ask(site(Router([]), exchanges=exchanges, refused=refused), "GET", "/")
    assert seen == [("metrics", "unknown_path"), ("record", "unknown_path")]


def test_what_is_observed() -> None:
    """Who observes is given the record of each request, as it is in the end."""
    records: list[Exchange] = []
    clock = Clock()
    root = Router([Route("GET", "/here", tell)])
    request_log = RequestLog("control", Exchanges(clock, records.append))
    connection = Connection(BoundedSite(root, limits(10), request_log, clock))
    connection.send(request("GET", "/here"), request("POST", "/here", body=b"x" * 99))
    assert [
        (each.listener, each.method, each.route, each.status) for each in records
    ] == [("control", "GET", "/here", 200), ("control", "POST", "other", 413)]
    connection.lose()


def test_what_is_not_logged() -> None:
    """What is below the level of the log is observed all the same."""
    records: list[Exchange] = []
    clock = Clock()
    root = Router([Route("GET", "/here", tell), Route("POST", "/here", fail)])
    request_log = RequestLog("federation", Exchanges(clock, records.append), "warn")
    connection = Connection(BoundedSite(root, limits(10), request_log, clock))
    with capturedLogs() as log:
        connection.send(request("GET", "/here"), request("POST", "/here", body=b"x"))
    assert [each.method for each in records] == ["GET", "POST"]
    told = [event for event in log if "exchange" in event]
    assert [(event["exchange"].method, event["log_level"]) for event in told] == [
        ("POST", LogLevel.error)
    ]
    connection.lose()


async def break_down(_: Request) -> Reply:
    """Fail in a way that nobody has thought of."""
    raise KeyError


class Broken(Desk):
    """Routes that fail before there is an answer."""

    def judge(self, request: Request) -> None:
        """Fail."""
        raise KeyError


@pytest.mark.parametrize("root", [at_root(PUT=break_down), Broken()])
def test_a_failure_of_ours_is_observed(
    root: Router, logged_errors: LoggedErrors
) -> None:
    """It has the code and the text with which it was answered."""
    records: list[Exchange] = []
    clock = Clock()
    request_log = RequestLog("control", Exchanges(clock, records.append))
    connection = Connection(BoundedSite(root, limits(10), request_log, clock))
    connection.send(request("PUT", "/", body=b"{}"))
    [answer] = connection.answers()
    assert [(each.errcode, each.error) for each in records] == [
        (answer.json["errcode"], answer.json["error"])
    ]
    assert len(logged_errors.flush(KeyError)) == 1
    connection.lose()
