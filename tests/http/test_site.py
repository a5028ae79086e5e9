"""Connections to a site: which are kept, in what order they are served, how they end.

A connection has one request at a time. A draining site answers what is in progress and
closes all the rest.
"""

from itertools import permutations

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.site import BoundedSite
from tests.support.byte_cuts import CUTS, Cut
from tests.support.http_connection import Connection, ask, at_root, request, site
from tests.support.manual_resource import Desk

LIMIT = 10


def test_keeps_a_connection() -> None:
    """Requests of HTTP/1.1 follow each other on one connection."""
    connection = Connection(site(Desk()))
    connection.send(request("GET", "/"), request("GET", "/"))
    assert [answer.json["number"] for answer in connection.answers()] == [0, 1]
    assert not connection.is_closed


CLOSING: list[tuple[str, bytes]] = [
    ("HTTP/1.0", request("GET", "/", version="HTTP/1.0")),
    ("told to", request("GET", "/", ["Connection: close"])),
]


@pytest.mark.parametrize(
    "data", [row[1] for row in CLOSING], ids=[row[0] for row in CLOSING]
)
def test_closes_a_connection(data: bytes) -> None:
    """A client of HTTP/1.0, or one that says so, gets one answer on a connection."""
    desk = Desk()
    connection = Connection(site(desk))
    connection.send(data, request("GET", "/"))
    assert [answer.status for answer in connection.answers()] == [200]
    assert connection.is_closed
    assert len(desk.taken) == 1


@pytest.mark.parametrize("cut", CUTS)
def test_pipelined_requests_wait_for_each_other(cut: Cut) -> None:
    """The next request on a connection is not looked at before the first's answer."""
    desk = Desk(waits=True)
    connection = Connection(site(desk))
    connection.send(
        *cut(request("PUT", "/", body=b"1") + request("PUT", "/", body=b"2"))
    )
    assert desk.taken == [b"1"]
    desk.results[0].callback(None)
    assert desk.taken == [b"1", b"2"]
    desk.results[1].callback(None)
    assert [answer.json["number"] for answer in connection.answers()] == [0, 1]


def test_pipelined_requests_are_not_hoarded() -> None:
    """A client that sends on while it is owed an answer is not read without end."""
    desk = Desk(waits=True)
    connection = Connection(site(desk))
    connection.send(request("GET", "/"), b"x" * 50_000)
    assert connection.transport.producerState == "paused"


def test_pipelined_request_that_is_refused() -> None:
    """A refusal comes after the answers to the requests before it."""
    desk = Desk(waits=True)
    connection = Connection(site(desk, max_body_bytes=LIMIT))
    connection.send(request("GET", "/") + request("PUT", "/", body=b"x" * 11))
    assert connection.answers() == []
    desk.results[0].callback(None)
    assert [answer.status for answer in connection.answers()] == [200, 413]


def test_nothing_is_read_while_nobody_reads() -> None:
    """Who does not read its answers is not read from, a request at work or not."""
    answer: Deferred[Reply] = Deferred()

    async def take(_: Request) -> Reply:
        return await answer

    connection = Connection(site(at_root(GET=take)))
    connection.send(request("GET", "/"))
    producer = connection.transport.producer
    assert producer is not None
    producer.pauseProducing()
    assert connection.transport.producerState == "paused"
    answer.callback(json_reply({}))
    producer.resumeProducing()
    assert connection.transport.producerState == "producing"
    assert [each.status for each in connection.answers()] == [200]


def test_site_keeps_no_access_log() -> None:
    """No line is formatted for a request that was answered."""
    kept = site(Desk())
    kept.logPath = b"never opened"
    assert isinstance(kept, BoundedSite)
    assert ask(kept, "GET", "/").status == 200


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_drain_waits_for_all(order: tuple[int, ...]) -> None:
    """All requests in progress are waited for, in whatever order they end.

    So are their answers: until each connection is closed, they may be on their way.
    """
    desk = Desk(waits=True)
    busy = site(desk)
    connections = [Connection(busy) for _ in order]
    for connection in connections:
        connection.send(request("GET", "/"))
    drained = Deferred.fromCoroutine(busy.drain())
    for number in order:
        desk.results[number].callback(None)
        assert connections[number].is_closed
        assert not drained.called
        connections[number].lose()
    assert drained.called
    for connection in connections:
        [answer] = connection.answers()
        assert answer.status == 200
        assert answer.headers["connection"] == "close"


class DrainTests(SynchronousTestCase):
    """Waiting for what is in progress, and closing all the rest."""

    def setUp(self) -> None:
        """Make a site whose answers wait."""
        self.desk = Desk(waits=True)
        self.site = site(self.desk)

    def _ask(self) -> Connection:
        connection = Connection(self.site)
        connection.send(request("GET", "/"))
        return connection

    def _drain(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.site.drain())

    def test_nobody(self) -> None:
        """There is nothing to wait for where nobody is."""
        self._ask().lose()
        self.successResultOf(self._drain())

    def test_nothing_in_progress(self) -> None:
        """Connections on which nothing was asked, or all is answered, are closed."""
        answered, silent = self._ask(), Connection(self.site)
        self.desk.results[0].callback(None)
        drained = self._drain()
        for connection in (answered, silent):
            self.assertTrue(connection.is_closed)
            self.assertNoResult(drained)  # the answer may be on its way
            connection.lose()
        self.successResultOf(drained)

    def test_last_answer(self) -> None:
        """What is asked after the last answer is not heard."""
        connection = self._ask()
        self._drain()
        connection.send(request("GET", "/"))
        self.desk.results[0].callback(None)
        self.assertEqual(len(connection.answers()), 1)
        self.assertEqual(len(self.desk.results), 1)

    def test_client_gone(self) -> None:
        """Who is gone is not waited for."""
        connection = self._ask()
        drained = self._drain()
        connection.lose()
        self.successResultOf(drained)
        self.desk.results[0].callback(None)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_request_on_its_way(self) -> None:
        """A request that has begun to arrive is answered when it is there."""
        connection = Connection(self.site)
        connection.send(b"GET / HTTP/1.1\r\nHost: us.example\r\nX: ")
        drained = self._drain()
        self.assertFalse(connection.is_closed)
        connection.send(b"y\r\n\r\n")
        self.desk.results[0].callback(None)
        [answer] = connection.answers()
        self.assertEqual(answer.headers["connection"], "close")
        self.assertTrue(connection.is_closed)
        connection.lose()
        self.successResultOf(drained)

    def test_refused_request(self) -> None:
        """One that was refused before it was there is not waited for."""
        self.site = site(self.desk, max_body_bytes=LIMIT)
        connection = Connection(self.site)
        connection.send(request("PUT", "/", body=b"x" * 11))
        drained = self._drain()
        connection.lose()
        self.successResultOf(drained)
