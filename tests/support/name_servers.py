"""A name server on loopback that answers as a test says, rightly or wrongly.

It listens on one port over UDP and TCP, answers from its zone, and notes what it was
asked. A name can have an answer of its own, down to the bytes.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, connectionDone
from twisted.names import dns
from twisted.protocols.basic import Int16StringReceiver
from twisted.python.failure import Failure

from homeserver.net.addresses import SocketAddress
from scripts.nameserver import parse_zone
from tests.support.waiting import reactor, wait

_MAX_UDP_BYTES = 512  # RFC 1035: what is longer is cut off, and asked for over TCP


@dataclass(frozen=True)
class Question:
    """One that came."""

    message: dns.Message
    by_tcp: bool = False

    @property
    def name(self) -> str:
        """What it is about, in lower case; empty where it asks nothing."""
        return "".join(str(query.name).lower() for query in self.message.queries)

    def __str__(self) -> str:
        kinds = [dns.QUERY_TYPES[query.type] for query in self.message.queries]
        return " ".join([*kinds, self.name, *(["by TCP"] if self.by_tcp else [])])


Answer = Callable[[Question], bytes | None]
"""Makes the bytes of an answer; None for silence."""


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


def reply(
    question: Question,
    answers: Iterable[dns.RRHeader] = (),
    *,
    code: int = dns.OK,
    soa_seconds: int | None = None,
) -> bytes:
    """The bytes of an answer; truncated where they are too many.

    With `soa_seconds`, it says for how long it holds that there is no such record.
    """
    message = dns.Message(
        question.message.id,
        answer=1,
        recDes=1,
        recAv=1,
        rCode=code,
        maxSize=0 if question.by_tcp else _MAX_UDP_BYTES,
    )
    message.queries = question.message.queries
    message.answers = list(answers)
    if soa_seconds is not None:
        soa = dns.Record_SOA("ns.test", "root.test", minimum=soa_seconds)
        message.authority = [dns.RRHeader("test", dns.SOA, ttl=3600, payload=soa)]
    return message.toStr()


def code(number: int) -> Answer:
    """Answer with nothing but a response code."""
    return lambda question: reply(question, code=number)


def empty(soa_seconds: int | None = None) -> Answer:
    """Answer that there is no such record, of a name that exists."""
    return lambda question: reply(question, soa_seconds=soa_seconds)


def records(*lines: str, ttl: int = 1) -> Answer:
    """Answer with these records, whatever was asked."""
    answers = [each for found in parse_zone(lines).values() for each in found]
    for each in answers:
        each.ttl = ttl
    return lambda question: reply(question, answers)


def srv(*targets: tuple[int, bytes]) -> Answer:
    """Answer with an SRV record for each port and target, down to the bytes."""

    def answer(question: Question) -> bytes:
        owner = question.message.queries[0].name.name
        payloads = [dns.Record_SRV(0, 0, port, target) for port, target in targets]
        return reply(
            question, [dns.RRHeader(owner, dns.SRV, payload=p) for p in payloads]
        )

    return answer


def truncated(answer: Answer) -> Answer:
    """Answer over UDP that the answer is too long for it."""

    def cut_off(question: Question) -> bytes | None:
        return answer(question) if question.by_tcp else always_truncated(question)

    return cut_off


def always_truncated(question: Question) -> bytes:
    """Answer, also over TCP, that the answer is too long."""
    data = bytearray(reply(question))
    data[2] |= 0b10  # TC, RFC 1035 section 4.1.1
    return bytes(data)


def silence(question: Question) -> None:
    """Answer nothing."""


def other_id(question: Question) -> bytes:
    """Answer another question than was asked."""
    data = reply(question)
    return bytes([data[0] ^ 1]) + data[1:]


def other_question(name: str, kind: int = dns.SRV) -> Answer:
    """Answer that there is no such record, of another question than was asked."""

    def answer(question: Question) -> bytes:
        message = dns.Message(question.message.id, answer=1, recAv=1)
        message.queries = [dns.Query(name, kind)]
        return message.toStr()

    return answer


def times(number: int, answer: Answer) -> Answer:
    """Give an answer that repeats the question so many times."""

    def repeat(question: Question) -> bytes:
        message = dns.Message()
        message.fromStr(answer(question) or b"")
        message.queries *= number
        return message.toStr()

    return repeat


def hang_up(question: Question) -> bytes | None:
    """Answer nothing by TCP but the end of the connection, where that is its way."""
    return b"" if question.by_tcp else always_truncated(question)


def garbage(tail: bytes) -> Answer:
    """Answer with the right ID and then bytes that mean nothing."""
    return lambda question: question.message.id.to_bytes(2) + tail


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
    factory = _Connections(server)
    while True:
        tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
        server.port = cast("IPv4Address", tcp.getHost()).port
        try:
            udp = reactor.listenUDP(
                server.port, _Datagrams(server), interface="127.0.0.1"
            )
        except CannotListenError:  # it is another's, for UDP: the next one
            end([tcp])
        else:
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
