"""The name servers, asked one after the other until one of them answers.

Rules: an answer is of the server that was asked, about the question that was asked, and
whole. A server that cannot be reached, is silent, or answers with an error of its own
(SERVFAIL, REFUSED, ...) is passed over for the next one; only NOERROR and NXDOMAIN are
answers. An answer that UDP cuts off is asked for by TCP, of the same server, on a
connection of its own: many servers end it after each answer.

A question has rounds, each longer than the one before. In a round each server that was
silent so far is asked once. One that failed in another way is not asked again; one that
could not be reached goes last in the questions of the next half minute.

Specification: RFC 1035, sections 4.2 and 7; RFC 7766, section 6.2.
"""

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import ITCPTransport, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, connectionDone
from twisted.names import client, dns
from twisted.names.error import (
    DNSFormatError,
    DNSNotImplementedError,
    DNSQueryRefusedError,
    DNSServerError,
    DomainError,
)
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

# What becomes of a question that does not get as far as a name server: no route, no
# program that listens, no IPv6 on this machine, no address in resolv.conf.
_UNREACHABLE = (
    OSError,
    ValueError,
    error.CannotListenError,
    error.ConnectError,
    error.ConnectionLost,
)

# What RFC 1035 calls the errors that twisted.names knows.
_RESPONSE_CODES: dict[type[DomainError], str] = {
    DNSFormatError: "FORMERR",
    DNSServerError: "SERVFAIL",
    DNSNotImplementedError: "NOTIMP",
    DNSQueryRefusedError: "REFUSED",
}

Server = tuple[str, int]
"""The IP address and the port of a name server."""

# To connect and to answer: a round trip each, and one more where a packet is lost.
_TCP_SECONDS = 3.0

# For how long a server that could not be reached is asked last.
_AVOIDED_SECONDS = 30.0


class DnsClient(client.Resolver):
    """Twisted's client, but that it goes from server to server."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._avoided: dict[Server, float] = {}

    def queryUDP(
        self, queries: Sequence[dns.Query], timeout: Sequence[float] | None = None
    ) -> Deferred[dns.Message]:
        """The whole answer to one question, which may have come by TCP.

        `timeout` has the seconds of each round. Fails with what the last server did
        in place of an answer.
        """
        [query] = queries
        rounds = cast("Sequence[float]", self.timeout) if timeout is None else timeout
        return Deferred.fromCoroutine(self._ask_servers(query, rounds))

    async def _ask_servers(
        self, query: dns.Query, rounds: Sequence[float]
    ) -> dns.Message:
        problem: Exception = OSError("there is no name server")
        left = self._in_order()
        for seconds in rounds:
            silent: list[Server] = []
            for server in left:
                try:
                    return await self._ask(server, query, seconds)
                except defer.TimeoutError as failure:
                    problem = failure
                    silent.append(server)
                    self._avoid(server)
                except _UNREACHABLE as failure:
                    problem = failure
                    self._avoid(server)
                except DomainError as failure:
                    problem = failure
            left = silent
        raise problem

    async def _ask(
        self, server: Server, query: dns.Query, seconds: float
    ) -> dns.Message:
        """The answer of one server to one question."""
        question = dns.Message(dns.randomSource(), recDes=1)
        question.queries = [query]
        message = await self._ask_by_udp(server, question, seconds)
        if message.trunc:
            message = await self._ask_by_tcp(server, question)
            if message.trunc:
                raise DNSFormatError(message)
        if message.rCode not in {dns.OK, dns.ENAME}:
            raise self.exceptionForCode(message.rCode)(message)
        self._avoided.pop(server, None)
        return message

    async def _ask_by_udp(
        self, server: Server, question: dns.Message, seconds: float
    ) -> dns.Message:
        protocol = _Datagrams(question)
        interface = "::" if ":" in server[0] else ""
        # The system draws a port for each question: a forged answer has to guess it.
        port = self._reactor.listenUDP(0, protocol, interface=interface)
        # In one round of epoll, it may have the descriptor of a connection that ended
        # in that round, and be given an event of it: Twisted's port raises an error
        # then, which closes it.
        port.doWrite = lambda: None
        try:
            protocol.ask(server)
            return await protocol.answer.addTimeout(seconds, self._reactor)
        finally:
            port.stopListening()

    async def _ask_by_tcp(self, server: Server, question: dns.Message) -> dns.Message:
        protocol = _Stream(question)
        endpoint = TCP4ClientEndpoint(self._reactor, *server)  # takes IPv6 as well

        async def ask() -> dns.Message:
            await endpoint.connect(Factory.forProtocol(lambda: protocol))
            return await protocol.answer

        try:
            return await Deferred.fromCoroutine(ask()).addTimeout(
                _TCP_SECONDS, self._reactor
            )
        finally:
            if protocol.transport is not None:
                cast("ITCPTransport", protocol.transport).abortConnection()

    def _in_order(self) -> list[Server]:
        """The servers in the order of the configuration, those that failed last."""
        now = self._reactor.seconds()
        return sorted(
            [*self.servers, *self.dynServers],
            key=lambda server: self._avoided.get(server, 0.0) > now,
        )

    def _avoid(self, server: Server) -> None:
        self._avoided[server] = self._reactor.seconds() + _AVOIDED_SECONDS


def _read(data: bytes, question: dns.Message) -> dns.Message | None:
    """The answer to a question; None for what is none: another may still come."""
    message = dns.Message()
    try:
        message.fromStr(data)
    except Exception:  # noqa: BLE001 - whatever the bytes make of the parser
        return None
    return message if message.answer and message.id == question.id else None


def _check(message: dns.Message, question: dns.Message) -> None:
    """Raise `DNSFormatError` for an answer to another question.

    An error need not repeat what was asked; what is said of records has to.
    """
    asked = [(str(q.name).lower(), q.type) for q in question.queries]
    answered = [(str(q.name).lower(), q.type) for q in message.queries]
    if message.rCode == dns.OK and answered != asked:
        raise DNSFormatError(message)


class _Asking:
    """A question that waits for its answer."""

    def __init__(self, question: dns.Message) -> None:
        self.question = question
        self.answer: Deferred[dns.Message] = Deferred()

    def hear(self, data: bytes) -> None:
        """Take what came for the answer, if it is one."""
        message = _read(data, self.question)
        if message is None or self.answer.called:
            return
        try:
            _check(message, self.question)
        except DNSFormatError:
            self.answer.errback(Failure())
        else:
            self.answer.callback(message)

    def fail(self, reason: Failure) -> None:
        """Nothing comes any more."""
        if not self.answer.called:
            self.answer.errback(reason)


class _Datagrams(_Asking, DatagramProtocol):
    """A question over UDP."""

    noisy = False
    _is_asked = False

    def ask(self, server: Server) -> None:
        """Send it; raises `OSError` where no way leads to the server."""
        transport = cast("IUDPTransport", self.transport)
        # From now on the system passes on what this server sends and nothing else.
        transport.connect(*server)
        transport.write(self.question.toStr(), None)
        self._is_asked = True

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """As Twisted tells it."""
        self.hear(datagram)

    def stopProtocol(self) -> None:
        """As Twisted tells it: the socket failed, unless it was we who closed it.

        It does so where nothing listens at the server's port.
        """
        if self._is_asked:
            self.fail(Failure(error.ConnectionRefusedError()))


class _Stream(_Asking, Int16StringReceiver):
    """A question over TCP."""

    noisy = False

    def connectionMade(self) -> None:
        """As Twisted tells it."""
        self.sendString(self.question.toStr())

    def stringReceived(self, string: bytes) -> None:
        """As Twisted tells it."""
        self.hear(string)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As Twisted tells it."""
        self.fail(
            Failure(error.ConnectionLost("it ended the connection without an answer"))
        )


def describe(problem: Exception) -> str:
    """What name servers did in place of an answer, in words."""
    if isinstance(problem, defer.TimeoutError):
        return "the name server did not answer in time"
    if isinstance(problem, DomainError):
        code = _RESPONSE_CODES.get(type(problem), type(problem).__name__)
        return f"the name server answers {code}"
    return f"the name server cannot be asked: {problem}"
