"""A request that is refused as early as possible, and whose body is bounded.

Rules: a request is admitted (`router`) before its body is read. A body is counted
while it arrives; if it is too large, or there is no room for it, the request is refused
and the rest of the body is not read.

Specification: Server-server API, "API standards".
"""

from functools import lru_cache
from io import BytesIO
from typing import Protocol

from msgspec import Struct
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http import HTTPChannel, datetimeToString

from homeserver.config.values import Config, Limits
from homeserver.http.arriving import ArrivingBodies, Body
from homeserver.http.connections import Connections
from homeserver.http.details import take_request
from homeserver.http.reply import Reply, internal_error, refusal
from homeserver.http.request import Request
from homeserver.http.responder import respond
from homeserver.http.router import Route, Router
from homeserver.net.bounds import Bound
from homeserver.net.exchange import Exchange
from homeserver.protocol.errors import ProtocolError, TooLarge
from homeserver.protocol.transactions import ENVELOPE_BYTES, MAX_TRANSACTION_BYTES

# Of the control API: a transaction of the largest size, and five of them at a time.
_MAX_CONTROL_BODY = MAX_TRANSACTION_BYTES + ENVELOPE_BYTES
_MAX_CONTROL_BODIES = 2**26


class SiteLimits(Struct, frozen=True):
    """The limits of one site."""

    max_body_bytes: int
    """Of one request."""

    request_seconds: float
    """How long the next request may take to arrive completely."""

    bodies: ArrivingBodies
    connections: Connections | None = None
    """None if they are counted elsewhere."""

    @property
    def bounds(self) -> list[Bound]:
        """The bounds on bodies and connections."""
        counted = [] if self.connections is None else [self.connections.bound]
        return [*counted, self.bodies.bound]


def connections_to(
    limits: Limits, clock: IReactorTime, workers: int = 1
) -> Connections:
    """The connections to the federation listener, counted from the TLS handshake.

    Each of so many `workers` has its part of them.
    """
    return Connections(
        "federation",
        max(1, limits.max_connections // workers),
        clock,
        max(1, limits.max_connections_per_address // workers),
        limits.trusts,
    )


def federation_limits(limits: Limits, workers: int = 1) -> SiteLimits:
    """The limits of the federation site, of which each worker has its part."""
    bodies = ArrivingBodies(
        "federation", limits.max_arriving_megabytes * 2**20 // workers, limits.trusts
    )
    return SiteLimits(limits.max_body_bytes, limits.request_seconds, bodies)


def control_limits(config: Config, clock: IReactorTime) -> SiteLimits:
    """The limits of the site of the control API."""
    return SiteLimits(
        _MAX_CONTROL_BODY,
        config.limits.request_seconds,
        ArrivingBodies("control", _MAX_CONTROL_BODIES),
        Connections("control", config.control.max_connections, clock),
    )


class RequestChannel(Protocol):
    """What a request needs of its connection."""

    limits: SiteLimits
    router: Router
    persistent: bool

    @property
    def is_last(self) -> bool:
        """Whether the connection closes after this response."""
        ...

    @property
    def first_line(self) -> tuple[bytes, bytes]:
        """Method and target of the arriving request, `-` before they are complete."""
        ...

    def now(self) -> float:
        """The time in seconds since 1970."""
        ...

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The address of the client."""
        ...

    def open_exchange(self, method: bytes, target: bytes) -> Exchange:
        """The exchange of a request on this connection."""
        ...

    def begin(self, exchange: Exchange) -> None:
        """Start the time of a request that is complete."""
        ...

    def end_with(self, reply: Reply, exchange: Exchange) -> None:
        """Send the last response, unless there was one."""
        ...


@lru_cache(maxsize=1)  # many responses fall into one second
def _date(second: int) -> bytes:
    """A time in seconds since 1970, in the format of HTTP."""
    date: bytes = datetimeToString(second)
    return date


class BoundedRequest(Request):
    """A request that is refused early, and whose body is bounded."""

    channel: RequestChannel  # type: ignore[assignment]
    content: BytesIO | Body

    _is_open = False  # whether it has an exchange

    _log = Logger()
    _route: Route | None = None

    def __init__(self, channel: HTTPChannel, queued: object) -> None:
        # A body is JSON, whatever it is called.
        super().__init__(channel, queued, parsePOSTFormSubmission=False)

    def gotLength(self, length: int | None) -> None:
        """Called by Twisted: the head is complete; judge it if a body follows."""
        self.content = BytesIO()
        if length == 0:
            return
        try:
            self._check(length or 0)
            self._admit()
        except ProtocolError as problem:
            self.refuse(problem)
            return
        except Exception:  # noqa: BLE001 - logged; the peer gets no reason
            self._fail()
            return
        self.content = self.channel.limits.bodies.open(
            self.channel.getPeer().host, self.refuse
        )

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a piece of the body, or refuse the request if it is too much."""
        if self.is_refused:
            return
        try:
            self._check(self.content.tell() + len(data))
            self.content.write(data)
        except ProtocolError as problem:
            self.refuse(problem)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Called by Twisted: the request is complete."""
        try:
            self.content.flush()
        except ProtocolError as problem:
            self.refuse(problem)
        else:
            super().requestReceived(command, path, version)

    def process(self) -> None:
        """Called by Twisted: respond to the complete request."""
        if self.channel.is_last:
            self.channel.persistent = False
            self.setHeader(b"Connection", b"close")
        exchange = self._open_exchange(self.method, self.uri)
        self.channel.begin(exchange)
        if exchange.details is not None:
            exchange.mark("arrival")
            take_request(exchange.details, self)
        self.setHeader(b"Date", _date(int(self.channel.now())))
        try:
            respond(self, exchange, lambda _: self._admitted().answer(self))
        except Exception:  # noqa: BLE001 - logged; the peer gets no reason
            self._fail()

    def refuse(self, problem: ProtocolError) -> None:
        """Answer before the body is read, and end the connection."""
        self.is_refused = True
        self.content.close()
        exchange = self._open_exchange(*self.channel.first_line)
        self.channel.end_with(refusal(exchange, problem), exchange)

    def _admit(self) -> None:
        """Admit a request whose body follows; raises `ProtocolError`."""
        self.method, self.uri = self.channel.first_line
        self.path = self.uri.partition(b"?")[0]
        self._open_exchange(self.method, self.uri)
        self._route = self.channel.router.admit(self, has_body=True)

    def _admitted(self) -> Route:
        """The route of the complete request; raises `ProtocolError`."""
        return self._route or self.channel.router.admit(self, has_body=False)

    def _fail(self) -> None:
        self._log.failure("internal error")
        exchange = self._open_exchange(*self.channel.first_line)
        self.channel.end_with(internal_error(exchange), exchange)

    def _open_exchange(self, method: bytes, target: bytes) -> Exchange:
        """The exchange of the request, opened when it is first needed."""
        if not self._is_open:
            self._is_open = True
            self.exchange = self.channel.open_exchange(method, target)
            if self.exchange.details is not None:
                take_request(self.exchange.details, self)
        return self.exchange

    def _check(self, length: int) -> None:
        limit = self.channel.limits.max_body_bytes
        if length > limit:
            raise TooLarge(f"the body is larger than the limit of {limit} bytes")
