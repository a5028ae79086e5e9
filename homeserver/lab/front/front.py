"""A connection that meets the rules of a lab before TLS begins.

Rules: the front reads the ClientHello, finds out whose connection it is, and then
ends it or hands it over with what it has read. A connection that waits here counts
towards the listener's limits, and its time is limited.

Specification: RFC 8446, section 6, for alerts.
"""

from collections.abc import Callable
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace
from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from homeserver.http.closing import EndedByRule
from homeserver.http.tls_listener import AcceptedTls, ListeningTls
from homeserver.lab.faults.connections import Plan
from homeserver.lab.front.client_hello import ClientHello, parse_client_hello
from homeserver.lab.front.transports import CutTransport, SlowTransport
from homeserver.lab.rules.connections import plan_of
from homeserver.lab.rules.rules import Rules
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.tls.certificate import Certificate
from homeserver.net.tls.server import Presented, connection_of

# An honest client sends its ClientHello after a round trip.
_HELLO_SECONDS = 60.0

# A connection that hangs; clients wait for a minute or two.
_HANGING_SECONDS = 600.0

# What a client may send before TLS answers: a ClientHello, and early data.
_MAX_EARLY_BYTES = 2**16

_STALL_BYTES = 5  # the head of the first record of the server

_INTERNAL_ERROR = 80

_BY_RULE = "a rule of the lab"

_VERSIONS = {
    "1.0": SSL.TLS1_VERSION,
    "1.1": SSL.TLS1_1_VERSION,
    "1.2": SSL.TLS1_2_VERSION,
    "1.3": SSL.TLS1_3_VERSION,
}


class Surroundings(Struct, frozen=True):
    """What all fronts share."""

    rules: Rules
    exchanges: Callable[[], Exchanges]
    """Those of connections that end before TLS."""

    clock: IReactorTime
    certificate: Callable[[str, str], Certificate]
    """That of a fault and a server's name.

    Raises `ValueError` where there is no such certificate of the server.
    """


class Front(Protocol):
    """A connection before TLS, and what it hands data to after that."""

    _inside: AcceptedTls | None = None
    """TLS, once the connection was handed over."""

    _slow: SlowTransport | None = None
    _cut: CutTransport | None = None
    _certificate: Certificate | None = None
    """A faulty one, to be presented."""

    _plan: Plan | None = None
    _timer: IDelayedCall | None = None
    _begun: Exchange | None = None
    """Of the connection, from its first byte on."""

    _exchange: Exchange | None = None
    """Of a connection that ends here."""

    def __init__(
        self,
        surroundings: Surroundings,
        listening: ListeningTls,
        address: IPv4Address | IPv6Address,
        right: AcceptedTls,
    ) -> None:
        """`right` is TLS without a fault."""
        self._surroundings = surroundings
        self._clock = surroundings.clock
        self._listening = listening
        self._address = address
        self._right = right
        self._server = ""
        self._received = b""
        self._is_reading = True
        self.waiting_since: float | None = self._clock.seconds()

    def give_way(self) -> None:
        """Close at once, to make room for another connection."""
        self._tcp.abortConnection()

    def connectionMade(self) -> None:
        """As `Protocol`."""
        self._listening.connections.add(self, self._address.host)
        self._wait(_HELLO_SECONDS, self.give_way)
        own = self._listening.tls.listening.own
        if own is None:
            return
        plan = self._decide(own.name)
        if plan.ending in {"refuse", "hang"}:
            self._end(plan)
        elif plan == Plan():
            self._hand_over(plan)

    def dataReceived(self, data: bytes) -> None:
        """As `Protocol`."""
        if self._inside is not None:
            self._inside.dataReceived(data)
        elif self._exchange is None:
            self._begun = self._begun or self._open_exchange()
            self._received += data
            if self._is_reading:
                self._look()
            elif len(self._received) > _MAX_EARLY_BYTES:
                self.give_way()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As `Protocol`."""
        self._stop_waiting()
        self._listening.connections.remove(self)
        if self._exchange is None and self._inside is None and not self._is_reading:
            self._note(f"{_BY_RULE}: delay")
        if self._exchange is not None:
            self._exchange.close()
        if self._slow is not None:
            self._slow.stop()
        if self._inside is not None:
            if self._cut is not None and self._cut.is_over:
                fault = "close-after" if self._cut.closes else "stall"
                why = Failure(EndedByRule(f"{_BY_RULE}: {fault}"))
                self._inside.fail(why)
            self._inside.connectionLost(reason)

    def _look(self) -> None:
        """Go on, once the ClientHello is complete."""
        try:
            hello = parse_client_hello(self._received)
        except ValueError:
            hello = ClientHello(None, [])  # the listener refuses it in its own words
        if hello is None:
            return
        self._is_reading = False
        if self._plan is None:
            presented = self._listening.tls.presented(hello.server_name)
            self._decide("" if presented is None else presented.server)
        plan = cast("Plan", self._plan)
        if plan.has_no_alpn and hello.protocols:
            plan.ending = "alert"
        why = self._make_certificate(plan)
        if plan.ending is not None:
            self._end(plan, why)
        elif plan.delay:
            self._wait(plan.delay, lambda: self._hand_over(plan))
        else:
            self._hand_over(plan)

    def _decide(self, server: str) -> Plan:
        """Find out what is to be done with a connection to a server."""
        self._server = server
        self._plan = plan_of(self._surroundings.rules, self._open_exchange())
        return self._plan

    def _open_exchange(self) -> Exchange:
        exchange = self._surroundings.exchanges().open("connection", "in")
        exchange.address, exchange.server = self._address.host, self._server
        return exchange

    def _make_certificate(self, plan: Plan) -> str | None:
        """Make the faulty certificate; returns why there is none."""
        if plan.certificate is None:
            return None
        try:
            build = self._surroundings.certificate
            self._certificate = build(plan.certificate, self._server)
        except ValueError as problem:  # such as a wildcard for an address
            plan.ending, plan.alert = "alert", _INTERNAL_ERROR
            return f"tls.certificate: {problem}"
        return None

    def _end(self, plan: Plan, why: str | None = None) -> None:
        """End the connection before TLS, or leave it without an answer."""
        self._note(f"{_BY_RULE}: {why or plan.ending}")
        self._received = b""
        if plan.ending == "hang":
            self._wait(_HANGING_SECONDS, self.give_way)
        elif plan.ending == "alert":
            # Fatal; a client takes the alert before it knows a version.
            self._tcp.write(bytes([21, 3, 3, 0, 2, 2, plan.alert]))
            self._tcp.loseConnection()
        else:
            self._tcp.abortConnection()

    def _note(self, error: str) -> None:
        """Note in the record that there was no handshake."""
        self._exchange = exchange = self._begun or self._open_exchange()
        exchange.server = self._server
        exchange.result, exchange.reason = "failed", "handshake_failed"
        exchange.error = error

    def _hand_over(self, plan: Plan) -> None:
        """Let TLS go on with the connection."""
        inside = self._choose_inside(plan)
        if inside is None:
            self.give_way()
            return
        self._stop_waiting()
        self._listening.connections.remove(self)
        self._inside = inside
        if plan.delay:
            inside.exchange = self._begun
        inside.makeConnection(self._choose_transport(plan))
        handshake = connection_of(inside)
        if handshake is not None:  # which may fail before it learns the name
            handshake.server = self._server
        received, self._received = self._received, b""
        if received:
            inside.dataReceived(received)

    def _choose_inside(self, plan: Plan) -> AcceptedTls | None:
        if plan.certificate is None and plan.version is None:
            return self._right
        tls = self._listening.tls.varied(
            self._change, lambda context: _speak(context, plan.version)
        )
        return self._listening.build(tls).buildProtocol(self._address)

    def _change(self, presented: Presented) -> Presented:
        if self._certificate is None:
            return presented
        return replace(presented, certificate=self._certificate)

    def _choose_transport(self, plan: Plan) -> Any:
        transport: Any = self.transport
        if plan.slow is not None:
            self._slow = SlowTransport(transport, plan.slow, self._clock)
            transport = self._slow
        if plan.is_stalled:
            transport = self._cut = CutTransport(transport, _STALL_BYTES, closes=False)
        elif plan.close_after is not None:
            limit = plan.close_after
            transport = self._cut = CutTransport(transport, limit, closes=True)
        return transport

    @property
    def _tcp(self) -> ITCPTransport:
        return cast("ITCPTransport", self.transport)

    def _wait(self, seconds: float, then: Callable[[], object]) -> None:
        self._stop_waiting()
        self._timer = self._clock.callLater(seconds, then)

    def _stop_waiting(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def _speak(context: SSL.Context, version: str | None) -> None:
    """Let a server speak one version alone, also one that OpenSSL finds too old."""
    if version is not None:
        number = _VERSIONS[version]
        context.set_min_proto_version(number)
        context.set_max_proto_version(number)
        context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
