"""Verified connections that carry no request, for the next one to the same server.

Rules: nothing but a verified connection is here, under all that it is verified and made
for. All our servers share the limit. At the limit the connection that was idle for
longest is closed: with its buffers and its peer's certificate, each takes some sixty
kilobytes, so a thousand of them would take more than all else in this process.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, cast

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from homeserver.net.bounds import Bound
from homeserver.net.twisted_private import ClientProtocol, is_idle
from homeserver.outbound.transport.connector import VerifiedConnection

# Shorter than the idle time-out of servers: a request fails on a connection that the
# peer is closing at that moment.
_IDLE_SECONDS = 30.0

_MAX_IDLE = 100  # six megabytes; another handshake takes three milliseconds
_MAX_OF_ONE = 2  # with one key


class HttpConnection(ClientProtocol):
    """HTTP/1.1 on a verified connection, which is idle after each response."""

    def __init__(
        self,
        verified: VerifiedConnection,
        owner: object,
        key: Hashable,
        idle: "IdleConnections",
    ) -> None:
        """`key` is all that another request must agree with to use it."""
        cast("Any", super()).__init__(idle.keep)
        self.verified = verified
        self.owner = owner
        self.key = owner, key
        self.allow: Callable[[int], None] = lambda _: None
        """As `PeerConnection.allow` of the connection below."""

        self.idle_since = 0.0
        """In seconds of the reactor's clock."""

        self._idle = idle

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by Twisted: the connection is closed."""
        cast("Any", super()).connectionLost(reason)
        self._idle.drop(self)

    def abort(self) -> Deferred[None]:
        """Close at once; fires when it is closed."""
        aborting: Deferred[None] = cast("Any", super()).abort()
        return aborting


class IdleConnections:
    """The idle connections of all our servers."""

    def __init__(self, clock: IReactorTime, limit: int = _MAX_IDLE) -> None:
        self._clock = clock
        self._idle: OrderedDict[HttpConnection, None] = OrderedDict()
        self._by_key: dict[Hashable, list[HttpConnection]] = {}
        self._alarm: IDelayedCall | None = None
        self.bound = Bound(
            "idle_connections",
            "idle connections to other servers",
            limit,
            self._idle.__len__,
        )

    def take(self, owner: object, key: Hashable) -> HttpConnection | None:
        """An open connection of `owner` for a request; None if there is none."""
        while connections := self._by_key.get((owner, key)):
            connection = connections[-1]
            self.drop(connection)
            if is_idle(connection):
                return connection
        return None

    def keep(self, connection: HttpConnection) -> None:
        """Called by Twisted: a response is complete, and its connection open."""
        same = self._by_key.get(connection.key, [])
        if len(same) >= _MAX_OF_ONE:
            self._end(same[0])
        if self.bound.is_reached:
            self.bound.refuse()
            self._end(next(iter(self._idle)))
        connection.idle_since = self._clock.seconds()
        self._idle[connection] = None
        self._by_key.setdefault(connection.key, []).append(connection)
        if self._alarm is None:
            self._alarm = self._clock.callLater(_IDLE_SECONDS, self._end_old)

    def drop(self, connection: HttpConnection) -> None:
        """Keep a connection no more, if it is kept."""
        if connection not in self._idle:
            return
        del self._idle[connection]
        self._by_key[connection.key].remove(connection)
        if not self._by_key[connection.key]:
            del self._by_key[connection.key]
        if not self._idle and self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    async def close(self, owner: object) -> None:
        """Close the idle connections of `owner`."""
        aborting: list[Deferred[None]] = []
        for connection in [each for each in self._idle if each.owner is owner]:
            self.drop(connection)
            aborting.append(connection.abort())
        await gatherResults(aborting)

    def _end(self, connection: HttpConnection) -> None:
        self.drop(connection)
        cast("ITCPTransport", connection.transport).loseConnection()

    def _end_old(self) -> None:
        """Close the connections that were idle for too long."""
        self._alarm = None
        now = self._clock.seconds()
        while self._idle:
            oldest = next(iter(self._idle))
            left = oldest.idle_since + _IDLE_SECONDS - now
            if left > 0:
                self._alarm = self._clock.callLater(left, self._end_old)
                return
            self._end(oldest)
