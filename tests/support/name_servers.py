"""A name server on loopback that answers as a test says.

It listens on one port over UDP and TCP, answers from its zone, and notes what it was
asked. A name can have an answer of its own, such as those of `dns_answers`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, connectionDone
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from homeserver.net.addresses import SocketAddress
from scripts.nameserver import parse_zone
from scripts.processes import LOOPBACK, free_ports
from tests.support.dns_answers import Answer, Question, reply
from tests.support.waiting import reactor, wait


class NameServer:
    """Answers from a zone, whose lines are those of `scripts.nameserver`."""

    def __init__(self, *zone: str) -> None:
        self.special: dict[str, Answer] = {}
        """Answers of their own, by name."""

        self.asked: list[str] = []
        """The questions, such as `SRV _matrix._tcp.a.test`, or `SRV a.test by TCP`."""

        self.delay = 0.0
        """Seconds that each answer takes."""

        self.most_unanswered = 0
        """Of the questions that waited for an answer at the same time.

        One that is repeated, as on a slow machine, is one.
        """

        self._unanswered: Counter[str] = Counter()
        self._zone: dict[str, Sequence[dns.RRHeader]] = {}
        self.ends_tcp = False
        """Whether a connection is ended after each answer."""

        self.port = 0
        self.connections: set[ITCPTransport] = set()
        self.serve(*zone)

    @property
    def address(self) -> SocketAddress:
        """Where it listens."""
        return SocketAddress("127.0.0.1", self.port)

    def serve(self, *lines: str) -> None:
        """Take lines into the zone, in place of what their names had."""
        self._zone.update(parse_zone(lines))

    def receive(self, question: Question, send: Callable[[bytes], None]) -> None:
        """Note a question, and answer it when it is time."""
        self.asked.append(str(question))
        self._unanswered[str(question)] += 1
        self.most_unanswered = max(self.most_unanswered, len(+self._unanswered))

        def answer() -> None:
            self._unanswered[str(question)] -= 1
            data = self.special.get(question.name, self._from_zone)(question)
            if data is not None:
                send(data)

        if self.delay:
            reactor.callLater(self.delay, answer)
        else:
            answer()

    def _from_zone(self, question: Question) -> bytes:
        """The records that were asked for, with the aliases on the way to them."""
        name = question.name
        if not name:
            return reply(question, code=dns.EFORMAT)
        kind = question.message.queries[0].type
        if name not in self._zone:
            return reply(question, code=dns.ENAME, soa_seconds=60)
        answers: list[dns.RRHeader] = []
        for _ in range(20):  # more than anybody follows, where they lead in a circle
            here = self._zone.get(name, [])
            answers += [each for each in here if each.type in {kind, dns.CNAME}]
            aliases = [each for each in here if each.type == dns.CNAME]
            if not aliases or kind == dns.CNAME:
                break
            name = str(cast("dns.Record_CNAME", aliases[0].payload).name).lower()
        return reply(question, answers)


@contextmanager
def serving(server: NameServer, *, tcp: bool = True) -> Iterator[NameServer]:
    """Let a name server listen on a free port, maybe over UDP alone."""
    ports = _listen(server)
    if not tcp:
        end([ports.pop()])
    try:
        yield server
    finally:
        for connection in list(server.connections):
            connection.abortConnection()
        end(ports)


def end(ports: Iterable[IListeningPort]) -> None:
    """Stop listening."""

    async def stop() -> None:
        await stopped

    stopped = gatherResults([maybeDeferred(port.stopListening) for port in ports])
    reactor.iterate()  # all that it takes; to wait for it would take longer
    wait(stop())


def _listen(server: NameServer) -> list[IListeningPort]:
    # It is free over UDP too, as neither connections nor lookups are given such a port.
    [server.port] = free_ports(1)
    tcp = reactor.listenTCP(server.port, _Connections(server), interface=LOOPBACK)
    udp = reactor.listenUDP(server.port, _Datagrams(server), interface=LOOPBACK)
    return [udp, tcp]


class _Datagrams(DatagramProtocol):
    noisy = False

    def __init__(self, server: NameServer) -> None:
        self._server = server

    def datagramReceived(self, datagram: bytes, addr: tuple[str, int]) -> None:
        def send(answer: bytes) -> None:
            if self.transport is not None:  # or the test is over
                self.transport.write(answer, addr)

        message = dns.Message()
        message.fromStr(datagram)
        self._server.receive(Question(message), send)


class _Connections(Factory):
    noisy = False

    def __init__(self, server: NameServer) -> None:
        self._server = server

    def buildProtocol(self, addr: object) -> Int16StringReceiver:
        return _Connection(self._server)


class _Connection(Int16StringReceiver):
    def __init__(self, server: NameServer) -> None:
        self._server = server

    def connectionMade(self) -> None:
        self._server.connections.add(cast("ITCPTransport", self.transport))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._server.connections.discard(cast("ITCPTransport", self.transport))

    def stringReceived(self, string: bytes) -> None:
        message = dns.Message()
        message.fromStr(string)
        self._server.receive(Question(message, by_tcp=True), self._answer)

    def _answer(self, data: bytes) -> None:
        if data:
            self.sendString(data)
        if self._server.ends_tcp:
            cast("ITCPTransport", self.transport).loseConnection()
