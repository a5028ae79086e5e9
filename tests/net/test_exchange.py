"""What is told of an exchange: in the log, to the metrics, and to a record."""

import pytest
from twisted.internet.task import Clock

from homeserver.net.exchange import NO_ROUTE, Direction, Exchange, Kind
from homeserver.net.exchanges import Exchanges


def test_inbound_line() -> None:
    """A request is told with its server, its status and its time."""
    exchange = Exchange(
        listener="federation",
        method="PUT",
        path="/a",
        address="192.0.2.1",
        peer="them.example",
        status=401,
        seconds=0.12345,
        errcode="M_UNAUTHORIZED",
        error="no",
        is_gone=True,
    )
    assert str(exchange) == (
        "federation: PUT /a of them.example (not proven) at 192.0.2.1: 401 in "
        "0.1235 s (client disconnected): M_UNAUTHORIZED: no"
    )
    exchange = Exchange(method="GET", path="/", status=404, error="no")
    assert str(exchange) == ": GET / at : 404 in 0.0 s: no"
    exchange = Exchange(listener="control", method="GET", path="/", status=200)
    assert str(exchange) == "control: GET / at : 200 in 0.0 s"
    exchange = Exchange(listener="federation", method="GET", path="/")
    assert str(exchange) == "federation: GET / at : no response in 0.0 s"


def test_outbound_line() -> None:
    """A request of ours is told with its destination and what it came to."""
    exchange = Exchange(
        direction="out",
        method="PUT",
        path="/a",
        peer="them.example",
        server="us.example",
        txn_id="1",
        result="failed",
        status=503,
        verdict="again in 1 s",
        reason="no_answer",
    )
    assert str(exchange) == "PUT /a to them.example: failed in 0.0 s: again in 1 s"
    assert exchange.members() == {
        "destination": "them.example",
        "txn_id": "1",
        "result": "failed",
        "status": 503,
        "path": "/a",
        "seconds": 0.0,
        "server": "us.example",
        "reason": "no_answer",
        "verdict": "again in 1 s",
    }


def test_exchanges_are_handed_over_once() -> None:
    """The metrics have each exchange when it is over, with its time."""
    clock = Clock()
    observed: list[Exchange] = []
    exchange = Exchanges(clock, observed.append).open("request", "out", "GET", "/a")
    clock.advance(1.5)
    assert observed == []
    exchange.close(200)
    assert observed == [exchange]
    assert (exchange.status, exchange.seconds) == (200, 1.5)


def test_no_details_without_a_record() -> None:
    """Without a record, no stage is timed."""
    exchange = Exchanges(Clock()).open("request", "out")
    exchange.mark("connection")
    assert exchange.details is None


def test_stages() -> None:
    """A record has the seconds of each stage, in order, and the wall clock."""
    clock = Clock()
    clock.advance(1000.0)
    recorded: list[Exchange] = []
    exchanges = Exchanges(clock)
    exchanges.record = recorded.append
    exchange = exchanges.open("request", "out")
    clock.advance(0.5)
    exchange.mark("resolution")
    clock.advance(2)
    exchange.mark("connection")
    exchange.close()
    [whole] = recorded
    assert whole.details is not None
    assert whole.details.started_ts == 1_000_000
    assert list(whole.details.stages.items()) == [
        ("resolution", 0.5),
        ("connection", 2.0),
    ]


@pytest.mark.parametrize(
    ("kind", "direction", "path", "route"),
    [
        ("request", "out", "/a", "template of /a"),
        ("request", "out", "", NO_ROUTE),
        ("request", "in", "/a", NO_ROUTE),
        ("dns", "out", "/a", NO_ROUTE),
    ],
)
def test_route_of_what_is_sent(
    kind: Kind, direction: Direction, path: str, route: str
) -> None:
    """A record shows the template of the path of a request that is sent."""
    exchanges = Exchanges(Clock())
    exchanges.route_of = "template of {}".format
    assert exchanges.open(kind, direction, "GET", path).route == NO_ROUTE
    exchanges.record = lambda _: None
    assert exchanges.open(kind, direction, "GET", path).route == route


def test_route_that_is_known() -> None:
    """A route is looked for where it is unknown, at the latest at the end."""
    exchanges = Exchanges(Clock())
    exchanges.route_of = "template of {}".format
    exchanges.record = lambda _: None
    late = exchanges.open("request", "out")
    known = exchanges.open("request", "out")
    late.path = known.path = "/a"
    known.route = "/known"
    late.close()
    known.close()
    assert (late.route, known.route) == ("template of /a", "/known")
