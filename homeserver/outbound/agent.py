"""The Twisted agent of federation: resolve, connect, verify, and only then send.

Rules: a request goes to a server *name*, as in
`matrix-federation://alpha.test/_matrix/...`. The next route is tried after a failed
connection or verification, never after a byte of a request was sent. Only the sender
decides on retries.

Specification: Server-server API, "Resolving server names" and "Authentication".
"""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IConsumer,
    IReactorTime,
)
from twisted.web.client import URI
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.exchange import Exchange
from homeserver.net.tls.facts import facts_of
from homeserver.net.twisted_private import ClientRequest
from homeserver.outbound.discovery.resolver import Resolver
from homeserver.outbound.transport.budget import OverBudget
from homeserver.outbound.transport.connection import USER_AGENT
from homeserver.outbound.transport.connector import (
    Connector,
    Unreachable,
    VerifiedConnection,
)
from homeserver.outbound.transport.failures import NotVerified
from homeserver.outbound.transport.idle_connections import (
    HttpConnection,
    IdleConnections,
)
from homeserver.protocol.discovery import NotResolvable, Resolution
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.remarks import Remark

SCHEME = b"matrix-federation"


class OutgoingRequest(Struct, frozen=True):
    """One request as it goes out, without `Host` and `User-Agent`."""

    method: bytes
    target: bytes
    headers: Headers
    body: IBodyProducer | bytes | None = None
    reply_bytes: int = 0
    """Of the body of its response, at most; a megabyte is allowed in any case."""

    def build(self) -> ClientRequest:
        """The request for a connection."""
        body = self.body
        producer = _Body(body) if isinstance(body, bytes) else body
        return ClientRequest(
            self.method, self.target, self.headers, producer, persistent=True
        )


Depart = Callable[[OutgoingRequest, Exchange], OutgoingRequest]
"""The request that is sent in place of one, with all of its headers."""


@implementer(IAgent)
class FederationAgent:
    """Sends requests to server names, over verified connections."""

    def __init__(
        self,
        clock: IReactorTime,
        resolver: Resolver,
        connector: Connector,
        idle: IdleConnections | None = None,
        depart: Depart = lambda outgoing, _: outgoing,
    ) -> None:
        """`idle` has the idle connections, of others as well."""
        self._depart = depart
        self._clock = clock
        self._resolver = resolver
        self._connector = connector
        self._forgotten: Counter[ServerName] = Counter()
        self._idle = idle or IdleConnections(clock)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """As `IAgent`: send a request to `matrix-federation://SERVER-NAME/TARGET`.

        `Host` is set from the route. Fails with `SchemeNotSupported`, with
        `InvalidParam` for an invalid server name, and as `send` does.
        """

        async def request() -> IResponse:
            try:
                parsed = URI.fromBytes(uri)
            except ValueError:
                raise InvalidParam(f"not a URL: {quote(uri)}") from None
            if parsed.scheme != SCHEME:
                raise SchemeNotSupported(f"not {SCHEME.decode()}: {parsed.scheme!r}")
            name = ServerName.parse(parsed.netloc.decode("ascii", "replace"))
            completed = Headers() if headers is None else headers.copy()
            outgoing = OutgoingRequest(
                method, parsed.originForm, completed, bodyProducer
            )
            response, _ = await self.send(name, outgoing, OURSELVES, Exchange())
            return response

        return Deferred.fromCoroutine(request())

    async def send(
        self,
        name: ServerName,
        outgoing: OutgoingRequest,
        cause: Cause,
        exchange: Exchange,
        connected: Callable[[VerifiedConnection], object] = lambda _: None,
    ) -> tuple[IResponse, VerifiedConnection]:
        """Send one request to `name` and wait for the head of its response.

        `Host` and `User-Agent` are added to its headers. The connection is written
        into `exchange`, and `connected` is called with it before the request is sent.
        Raises `Unreachable` if the request was not sent, and Twisted's errors
        (`RequestNotSent`, `RequestTransmissionFailed`, `ResponseFailed`) if the
        connection failed.
        """
        resolution = await self._resolve(name, cause)
        exchange.mark("resolution")
        host_header = resolution.routes[0].host_header
        # By name, because a connection is verified for a name; and by the client
        # certificate that it shows.
        key = name, host_header, self._forgotten[name], self._connector.certificate()
        protocol = self._idle.take(self, key)
        exchange.is_reused = protocol is not None
        if protocol is None:
            wire, verified = await self._connector.connect(
                resolution, cause, exchange.server
            )
            protocol = HttpConnection(verified, self, key, self._idle)
            wire.hand_over(protocol)
            protocol.allow = wire.allow
        protocol.allow(outgoing.reply_bytes)
        headers = outgoing.headers
        headers.setRawHeaders("Host", [host_header])
        headers.setRawHeaders("User-Agent", [USER_AGENT])
        connection = protocol.verified
        if cause.is_ours and not connection.is_recorded:
            connection = await self._record(protocol, connection)
        connected(connection)
        outgoing = self._depart(outgoing, exchange)
        _note(exchange, connection, protocol)
        response = await protocol.request(outgoing.build(), exchange.details)
        exchange.mark("response")
        return response, connection

    def asking_for(self, sni: str) -> "FederationAgent":
        """An agent with connections of its own, whose handshakes ask for a host."""
        return FederationAgent(
            self._clock,
            self._resolver,
            self._connector.asking_for(sni),
            self._idle,
            self._depart,
        )

    async def reach(self, name: ServerName, cause: Cause) -> VerifiedConnection:
        """Make a new connection to `name`, record its peer, and close it.

        Raises `Unreachable`.
        """
        resolution = await self._resolve(name, cause)
        wire, connection = await self._connector.connect(resolution, cause)
        wire.abort()
        try:
            return await self._connector.record(connection)
        except NotVerified as problem:
            raise _unverified(connection, problem) from None

    def forget(self, name: ServerName) -> None:
        """Use no connection again that was verified for `name` before."""
        self._forgotten[name] += 1
        self._connector.forget(name)

    async def _record(
        self, protocol: HttpConnection, connection: VerifiedConnection
    ) -> VerifiedConnection:
        """Record the peer of a connection that was made for a client."""
        try:
            recorded = await self._connector.record(connection)
        except BaseException as problem:
            protocol.abort()
            if isinstance(problem, NotVerified):
                raise _unverified(connection, problem) from None
            raise
        protocol.verified = recorded
        return recorded

    async def _resolve(self, name: ServerName, cause: Cause) -> Resolution:
        try:
            return await self._resolver.resolve(name, cause)
        except NotResolvable as problem:
            raise Unreachable(
                name, [str(problem)], "not_resolved", reasons=[problem.reason]
            ) from None
        except OverBudget as problem:
            raise Unreachable(
                name, [str(problem)], "over_budget", reasons=[problem.reason]
            ) from None

    async def close(self) -> None:
        """Close the idle connections."""
        await self._idle.close(self)


def _note(
    exchange: Exchange,
    connection: VerifiedConnection,
    protocol: HttpConnection,
) -> None:
    """Write the connection of a request into its exchange."""
    exchange.mark("connection")
    exchange.address, exchange.via = connection.address, str(connection.route)
    exchange.verified_by, exchange.is_proven = connection.peer.verified_by, True
    problem = connection.peer.problem
    if problem is not None:
        text = f"{problem}; servers that know no key documents do not reach it"
        exchange.remarks = [Remark("certificate", text)]
    if exchange.details is not None:
        exchange.details.tls = facts_of(protocol.transport)


def _unverified(connection: VerifiedConnection, problem: NotVerified) -> Unreachable:
    """A connection whose peer could not be recorded as the server."""
    return Unreachable(
        connection.peer.server_name,
        [f"{connection.route}: {problem}"],
        conflict=problem.conflict,
        reasons=problem.reasons,
    )


@implementer(IBodyProducer)
class _Body:
    """A body in memory."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.length = len(body)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """As `IBodyProducer`."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """As `IBodyProducer`; nothing is left to write."""

    def resumeProducing(self) -> None:
        """As `IBodyProducer`."""

    def stopProducing(self) -> None:
        """As `IBodyProducer`."""
