"""Idle connections to other servers: which one is used again, and which are closed."""

from typing import cast

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from homeserver.net.twisted_private import ClientRequest
from homeserver.outbound.transport.connector import VerifiedConnection
from homeserver.outbound.transport.idle_connections import (
    HttpConnection,
    IdleConnections,
)

LIMIT = 5

_VERIFIED = cast("VerifiedConnection", None)  # nothing here looks into it


class _Connections:
    """Connections in memory, and the idle ones among them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.idle = IdleConnections(self.clock, LIMIT)

    def make(self, key: str, owner: str = "us") -> HttpConnection:
        """A connection that carries no request yet."""
        connection = HttpConnection(_VERIFIED, owner, key, self.idle)
        connection.makeConnection(StringTransport())
        return connection

    def answered(self, key: str, owner: str = "us") -> HttpConnection:
        """A connection whose request was answered."""
        connection = self.make(key, owner)
        headers = Headers({"Host": ["a.test"]})
        connection.request(ClientRequest(b"GET", b"/", headers, None, persistent=True))
        connection.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return connection


def _is_closed(connection: HttpConnection) -> bool:
    return bool(cast("StringTransport", connection.transport).disconnecting)


@pytest.fixture
def those() -> _Connections:
    """No connection yet."""
    return _Connections()


def test_taken_by_owner_and_key(those: _Connections) -> None:
    """A connection is for the next request of its owner with its key, and for one."""
    made = those.answered("a")
    assert those.idle.take("them", "a") is None
    assert those.idle.take("us", "b") is None
    assert those.idle.take("us", "a") is made
    assert those.idle.take("us", "a") is None
    assert those.clock.getDelayedCalls() == []


def test_two_with_one_key(those: _Connections) -> None:
    """Two connections with one key are kept; the newest of them is used first."""
    first, second, third = (those.answered("a") for _ in range(3))
    assert [_is_closed(each) for each in (first, second, third)] == [True, False, False]
    assert those.idle.take("us", "a") is third
    assert those.idle.take("us", "a") is second


def test_limit(those: _Connections) -> None:
    """At the limit, the one that was idle for longest is closed, whoever's it is."""
    oldest = those.answered("0", "them")
    others = [those.answered(f"{n}") for n in range(1, LIMIT)]
    assert those.idle.bound.use() == LIMIT
    assert not _is_closed(oldest)
    others.append(those.answered("new"))
    assert _is_closed(oldest)
    assert not any(map(_is_closed, others))
    assert (those.idle.bound.use(), those.idle.bound.refusals) == (LIMIT, 1)


def test_time(those: _Connections) -> None:
    """Each connection is closed after it was idle for half a minute."""
    first = those.answered("a")
    those.clock.advance(20)
    second = those.answered("b")
    those.clock.advance(10)
    assert (_is_closed(first), _is_closed(second)) == (True, False)
    those.clock.advance(19.9)
    assert not _is_closed(second)
    those.clock.advance(0.1)
    assert _is_closed(second)
    assert those.clock.getDelayedCalls() == []


def test_ended_by_the_peer(those: _Connections) -> None:
    """A connection that its peer ended is not used again."""
    those.answered("a").connectionLost(Failure(ConnectionDone()))
    assert those.idle.take("us", "a") is None


def test_lost_ones_leave_nothing(those: _Connections) -> None:
    """Nothing is kept of connections that are gone, however many there were."""
    for number in range(100):
        made = those.answered(f"{number}")
        taken = those.idle.take("us", f"{number}") if number % 2 else made
        assert taken is made
        made.connectionLost(Failure(ConnectionDone()))
    assert those.idle.bound.use() == 0
    assert those.idle._by_key == {}
    assert those.clock.getDelayedCalls() == []


def test_close(those: _Connections) -> None:
    """The connections of one owner are aborted, and those of others stay."""
    ours, theirs = those.answered("a"), those.answered("a", "them")
    done = list[None]()
    Deferred.fromCoroutine(those.idle.close("us")).addCallback(done.append)
    assert _is_closed(ours)
    assert not _is_closed(theirs)
    assert done == []
    ours.connectionLost(Failure(ConnectionDone()))
    assert done == [None]
    assert those.idle.take("them", "a") is theirs
