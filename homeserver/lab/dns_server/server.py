"""A name server over UDP and TCP.

Rules: each question that can be read gets one answer, unless the responder is silent.
Every answer is reported with its question and time. Nothing that a client sends raises
an error, and what it can make the server hold is bounded: connections, the time that
one of them is idle, and questions whose answer is delayed.

Specification: RFC 1035, section 4.2; RFC 7766.
"""

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any, cast

from msgspec import Struct
from twisted.internet.address import IPv4Address
from twisted.internet.base import DelayedCall
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IConsumer,
    IListeningPort,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import DatagramProtocol, Factory, connectionDone
from twisted.logger import Logger
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from homeserver.lab.dns_server.message import (
    Query,
    build_response,
    parse_query,
    refusal,
)
from homeserver.lab.dns_server.zone import Question, Reply
from homeserver.net.addresses import SocketAddress

_MAX_CONNECTIONS = 100  # a server under test has a handful
_IDLE_SECONDS = 10.0  # RFC 7766, section 6.2.3: some seconds
_MAX_WAITING = 1000  # questions whose answer is delayed; more get no answer

# The chosen port is free for TCP, and may be another's for UDP.
_ATTEMPTS = 20

Responder = Callable[[Question], "Reply | Awaitable[Reply | None] | None"]
"""Answers a question; None is silence."""


class Answered(Struct, frozen=True):
    """A question and its answer."""

    question: Question
    reply: Reply | None
    """As it was sent; None if nothing was."""

    began: float
    """When the question came, in seconds of the reactor's clock."""

    seconds: float

    def describe(self) -> str:
        """The answer in words."""
        reply = self.reply
        if reply is None:
            return "no answer"
        if reply.is_truncated:
            return "truncated"
        if reply.code != dns.OK:
            return _CODES.get(reply.code, f"code {reply.code}")
        return ", ".join(map(_describe, reply.records)) or "no such record"


# RFC 1035, section 4.1.1.
_CODES = {
    dns.EFORMAT: "malformed question",
    dns.ESERVER: "server failure",
    dns.ENAME: "no such name",
    dns.ENOTIMP: "not implemented",
    dns.EREFUSED: "refused",
}


def _describe(record: dns.RRHeader) -> str:
    payload: Any = record.payload
    if record.type in {dns.A, dns.AAAA}:
        return str(ip_address(payload.address))
    if record.type == dns.SRV:
        return f"{payload.priority} {payload.weight} {payload.port} {payload.target}"
    if record.type == dns.CNAME:
        return f"alias of {payload.name}"
    return str(dns.QUERY_TYPES.get(record.type, record.type))


class DnsServer:
    """Answers questions through a responder."""

    _log = Logger()

    def __init__(
        self,
        responder: Responder,
        reactor: PosixReactorBase,
        observe: Callable[[Answered], object] = lambda _: None,
    ) -> None:
        """`responder` is `Zone.answer`, or what wraps it."""
        self._responder = responder
        self.reactor = reactor
        self._observe = observe
        self._ports: list[IListeningPort] = []
        self._waiting = 0
        self.connections: set[_Stream] = set()

    def start(self, where: SocketAddress) -> SocketAddress:
        """Listen over UDP and TCP on one port; returns it. Port 0 is a free one.

        Raises `CannotListenError`.
        """
        attempts = 1 if where.port else _ATTEMPTS
        while True:
            attempts -= 1
            try:
                return self._listen(where)
            except CannotListenError:
                if not attempts:
                    raise

    def _listen(self, where: SocketAddress) -> SocketAddress:
        tcp = self.reactor.listenTCP(where.port, _Streams(self), interface=where.host)
        port = cast("IPv4Address", tcp.getHost()).port
        try:
            udp = self.reactor.listenUDP(port, _Datagrams(self), where.host)
        except CannotListenError:
            tcp.stopListening()
            raise
        self._ports += [udp, tcp]
        return SocketAddress(where.host, port)

    async def stop(self) -> None:
        """Stop listening, and close what is open."""
        ports, self._ports = self._ports, []
        for port in ports:
            await maybeDeferred(port.stopListening)
        for connection in list(self.connections):
            connection.abort()

    def receive(
        self,
        data: bytes,
        address: str,
        send: Callable[[bytes], bool],
        *,
        by_tcp: bool,
    ) -> None:
        """Answer a message that came from `address`; `send` says whether it can."""
        query = parse_query(data)
        if query is None or self._waiting >= _MAX_WAITING:
            return
        began = self.reactor.seconds()
        question = query.asked(address, by_tcp=by_tcp)
        code = refusal(query)
        if code is not None:
            self._finish(query, Reply(code=code), send, question, began)
            return
        answer = self._answer(query, question, send, began)
        Deferred.fromCoroutine(answer)

    async def _answer(
        self,
        query: Query,
        question: Question,
        send: Callable[[bytes], bool],
        began: float,
    ) -> None:
        self._waiting += 1
        try:
            reply = self._responder(question)
            if reply is not None and not isinstance(reply, Reply):
                reply = await reply
        except Exception:  # noqa: BLE001 - a mistake in a fault ends one answer
            self._log.failure("a question got no answer")
            reply = Reply(code=dns.ESERVER)
        finally:
            self._waiting -= 1
        self._finish(query, reply, send, question, began)

    def _finish(
        self,
        query: Query,
        reply: Reply | None,
        send: Callable[[bytes], bool],
        question: Question,
        began: float,
    ) -> None:
        if reply is not None:
            data, reply = build_response(query, reply, by_tcp=question.by_tcp)
            if not send(data):
                reply = None
        seconds = self.reactor.seconds() - began
        self._observe(Answered(question, reply, began, seconds))


class _Datagrams(DatagramProtocol):
    noisy = False

    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        """As `DatagramProtocol`."""

        def send(answer: bytes) -> bool:
            if self.transport is None:  # it has been stopped meanwhile
                return False
            self.transport.write(answer, addr)
            return True

        address = str(SocketAddress(addr[0], addr[1]))
        self._server.receive(datagram, address, send, by_tcp=False)


class _Streams(Factory):
    noisy = False

    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def buildProtocol(self, addr: object) -> "_Stream | None":
        """As `IProtocolFactory`: None closes the connection at once."""
        if len(self._server.connections) >= _MAX_CONNECTIONS:
            return None
        return _Stream(self._server)


class _Stream(Int16StringReceiver):
    noisy = False
    _idle: DelayedCall

    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connectionMade(self) -> None:
        """As `Protocol`."""
        self._server.connections.add(self)
        self._idle = self._server.reactor.callLater(_IDLE_SECONDS, self.abort)
        # A client that does not read its answers is not read from, either.
        cast("IConsumer", self.transport).registerProducer(
            cast("IPushProducer", self), streaming=True
        )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As `Protocol`."""
        self._server.connections.discard(self)
        if self._idle.active():
            self._idle.cancel()

    def stringReceived(self, string: bytes) -> None:
        """As `Int16StringReceiver`."""
        if self._idle.active():
            self._idle.reset(_IDLE_SECONDS)
        peer = self._tcp.getPeer()
        address = str(SocketAddress(peer.host, peer.port))
        self._server.receive(string, address, self._send, by_tcp=True)

    def abort(self) -> None:
        """Close the connection at once."""
        self._tcp.abortConnection()

    @property
    def _tcp(self) -> ITCPTransport:
        return cast("ITCPTransport", self.transport)

    def _send(self, answer: bytes) -> bool:
        if self not in self._server.connections:  # the client has gone
            return False
        self.sendString(answer)
        return True
