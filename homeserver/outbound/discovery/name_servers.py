"""DNS queries to the configured name servers, with failover.

Rules: an answer comes from the server that was queried, repeats the question, and is
complete. Only NOERROR and NXDOMAIN are answers. After a time-out, a network error or an
error response (SERVFAIL, REFUSED, ...) the next server is queried. A truncated answer
is queried again over TCP, from the same server, on a new connection, because many
servers close it after each answer.

A query has rounds with growing time-outs. A round queries each server that has only
timed out so far. A server that failed in another way is not queried again. A server
that could not be reached or timed out is queried last for the next half minute.

Specification: RFC 1035, sections 4.2 and 7; RFC 7766, section 6.2.
"""

from collections.abc import Callable, Sequence
from typing import cast

from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import ITCPTransport, IUDPTransport
from twisted.internet.posixbase import PosixReactorBase
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

from homeserver.net.handled import handled
from homeserver.net.system_errors import in_words
from homeserver.net.time_limit import within

# The query did not reach a name server: no route, a closed port, no IPv6 on this
# machine, no address in resolv.conf.
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

# To connect and to answer: a round trip each, and one more if a packet is lost.
_TCP_SECONDS = 3.0

# For how long a server that could not be reached is queried last.
_AVOIDED_SECONDS = 30.0


class DnsClient(client.Resolver):
    """Twisted's client, with failover between servers."""

    def __init__(
        self, servers: Callable[[], Sequence[Server]], reactor: PosixReactorBase
    ) -> None:
        """`servers` has those to query now; at least one."""
        super().__init__(servers=servers(), reactor=reactor)
        self._servers_now = servers
        self._avoided: dict[Server, float] = {}

    def queryUDP(
        self, queries: Sequence[dns.Query], timeout: Sequence[float] | None = None
    ) -> Deferred[dns.Message]:
        """The complete answer to one query, over UDP or TCP.

        `timeout` has the seconds of each round. Fails with the last failure.
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
                    problem = handled(failure)
                    silent.append(server)
                    self._avoid(server)
                except _UNREACHABLE as failure:
                    problem = handled(failure)
                    self._avoid(server)
                except DomainError as failure:
                    problem = handled(failure)
            left = silent
        try:
            raise problem
        finally:
            del problem  # its frames hold this one

    async def _ask(
        self, server: Server, query: dns.Query, seconds: float
    ) -> dns.Message:
        """The answer of one server to one query."""
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
        # A random port for each query, which a forged answer would have to guess.
        port = self._reactor.listenUDP(0, protocol, interface=interface)
        # In one round of epoll, it may have the descriptor of a connection that ended
        # in that round, and be given an event of it: Twisted's port raises an error
        # then, which closes it.
        port.doWrite = lambda: None
        try:
            protocol.ask(server)
            return await within(seconds, self._reactor, protocol.answer)
        finally:
            port.stopListening()

    async def _ask_by_tcp(self, server: Server, question: dns.Message) -> dns.Message:
        protocol = _Stream(question)
        endpoint = TCP4ClientEndpoint(self._reactor, *server)  # takes IPv6 as well

        async def ask() -> dns.Message:
            await endpoint.connect(Factory.forProtocol(lambda: protocol))
            return await protocol.answer

        try:
            return await within(_TCP_SECONDS, self._reactor, ask())
        finally:
            if protocol.transport is not None:
                cast("ITCPTransport", protocol.transport).abortConnection()

    def _in_order(self) -> list[Server]:
        """The servers as configured, with those that failed lately at the end."""
        now = self._reactor.seconds()
        return sorted(
            self._servers_now(),
            key=lambda server: self._avoided.get(server, 0.0) > now,
        )

    def _avoid(self, server: Server) -> None:
        self._avoided[server] = self._reactor.seconds() + _AVOIDED_SECONDS


def _read(data: bytes, question: dns.Message) -> dns.Message | None:
    """The answer to a question; None if it is not, and another may still come."""
    message = dns.Message()
    try:
        message.fromStr(data)
    except Exception:  # noqa: BLE001 - the parser raises anything on bad bytes
        return None
    return message if message.answer and message.id == question.id else None


def _check(message: dns.Message, question: dns.Message) -> None:
    """Raise `DNSFormatError` for an answer to another question.

    An error response need not repeat the question; an answer must.
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

    def receive(self, data: bytes) -> None:
        """Take a message as the answer, if it is one."""
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
        """Fail the question, if it has no answer yet."""
        if not self.answer.called:
            self.answer.errback(reason)


class _Datagrams(_Asking, DatagramProtocol):
    """A question over UDP."""

    noisy = False
    _is_asked = False

    def ask(self, server: Server) -> None:
        """Send the question; raises `OSError` if there is no route to the server."""
        transport = cast("IUDPTransport", self.transport)
        # From now on the system drops datagrams from anyone else.
        transport.connect(*server)
        transport.write(self.question.toStr(), None)
        self._is_asked = True

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """As `DatagramProtocol`."""
        self.receive(datagram)

    def stopProtocol(self) -> None:
        """As `DatagramProtocol`: the socket failed, or was closed after the answer.

        It fails if the port of the server is closed.
        """
        if self._is_asked:
            self.fail(Failure(error.ConnectionRefusedError()))


class _Stream(_Asking, Int16StringReceiver):
    """A question over TCP."""

    noisy = False

    def connectionMade(self) -> None:
        """As `Protocol`."""
        self.sendString(self.question.toStr())

    def stringReceived(self, string: bytes) -> None:
        """As `Int16StringReceiver`."""
        self.receive(string)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As `Protocol`."""
        self.fail(
            Failure(error.ConnectionLost("it ended the connection without an answer"))
        )


def describe(problem: Exception) -> str:
    """A failure of name servers in words."""
    if isinstance(problem, defer.TimeoutError):
        return "the name server did not answer in time"
    if isinstance(problem, DomainError):
        code = _RESPONSE_CODES.get(type(problem), type(problem).__name__)
        return f"the name server answers {code}"
    return f"the name server cannot be asked: {in_words(problem)}"
