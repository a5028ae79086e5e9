"""The lab's name server on real sockets, asked by clients that others wrote."""

import json
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.names import client, dns
from zope.interface import implementer

from homeserver.lab.dns_server import server as server_module
from homeserver.lab.dns_server.client import LabResolver, as_resolver
from homeserver.lab.dns_server.message import build_response, parse_query
from homeserver.lab.dns_server.records import Record
from homeserver.lab.dns_server.server import Answered, DnsServer, Responder
from homeserver.lab.dns_server.zone import Question, Reply, Zone
from homeserver.net.addresses import SocketAddress
from homeserver.net.cause import OURSELVES
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.protocol.discovery import LookupFailed
from tests.support.waiting import pause, reactor, wait, wait_for_thread

RECORDS = [
    Record("a.lab.test", "A", "127.0.0.1"),
    Record("a.lab.test", "AAAA", "::1"),
    Record("_matrix-fed._tcp.a.lab.test", "SRV", "10 5 8448 a.lab.test"),
    Record("alias.lab.test", "CNAME", "a.lab.test"),
    *(Record("many.lab.test", "A", f"127.0.0.{n}") for n in range(1, 101)),
]


@dataclass
class Lab:
    """A name server, and what it reports."""

    server: DnsServer
    where: SocketAddress
    answered: list[Answered] = field(default_factory=list)

    def exchange(self, data: bytes, *, by_tcp: bool = False) -> bytes:
        """What a message gets by return, from a socket of the system."""
        return wait_for_thread(lambda: self._talk(data, by_tcp=by_tcp))

    def _talk(self, data: bytes, *, by_tcp: bool) -> bytes:
        kind = socket.SOCK_STREAM if by_tcp else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as talking:
            talking.settimeout(5)
            talking.connect((self.where.host, self.where.port))
            talking.sendall(struct.pack("!H", len(data)) + data if by_tcp else data)
            answer = talking.recv(65535)
            if by_tcp:
                while len(answer) < 2 + struct.unpack("!H", answer[:2])[0]:
                    answer += talking.recv(65535)
            return answer[2:] if by_tcp else answer


def start(responder: Responder, host: str = "127.0.0.1") -> Lab:
    """A name server that listens."""
    answered: list[Answered] = []
    server = DnsServer(responder, reactor, answered.append)
    return Lab(server, server.start(SocketAddress(host, 0)), answered)


@pytest.fixture
def lab() -> Iterator[Lab]:
    """A name server with the zone."""
    zone = Zone("lab.test")
    zone.add(RECORDS)
    started = start(zone.answer)
    yield started
    wait(started.server.stop())


def query(name: str, code: int, *, edns: int | None = None, flags: int = 0) -> bytes:
    """The bytes of a question."""
    labels = b"".join(
        bytes([len(part)]) + part for part in name.encode().split(b".") if part
    )
    head = struct.pack("!HHHHHH", 4711, flags | 0x0100, 1, 0, 0, int(edns is not None))
    opt = b"" if edns is None else b"\0" + struct.pack("!HHIH", dns.OPT, edns, 0, 0)
    return head + labels + b"\0" + struct.pack("!HH", code, dns.IN) + opt


def parse(data: bytes) -> dns.Message:
    """A message as twisted.names reads it."""
    message = dns.Message()
    message.fromStr(data)
    return message


TYPES = [
    ("lookupAddress", "a.lab.test", "A"),
    ("lookupIPV6Address", "a.lab.test", "AAAA"),
    ("lookupService", "_matrix-fed._tcp.a.lab.test", "SRV"),
    ("lookupCanonicalName", "alias.lab.test", "CNAME"),
]


@pytest.mark.parametrize(("method", "name", "kind"), TYPES)
def test_a_client_of_twisted_finds_each_type(
    lab: Lab, method: str, name: str, kind: str
) -> None:
    """Every record type that discovery asks for arrives, and is reported."""
    resolver = client.Resolver(servers=[(lab.where.host, lab.where.port)])

    async def ask() -> list[dns.RRHeader]:
        answers, _, _ = await getattr(resolver, method)(name)
        return list(answers)

    [record] = wait(ask())
    assert dns.QUERY_TYPES[record.type] == kind
    assert record.ttl == 0
    [answered] = lab.answered
    assert (answered.question.name, answered.question.type) == (name, kind)
    assert answered.question.address.startswith("127.0.0.1:")
    assert not answered.question.by_tcp


NODE = """
const dns = require('node:dns').promises
const resolver = new dns.Resolver()
resolver.setServers([process.argv.at(-1)])
const code = promise => promise.then(found => found, error => error.code)
Promise.all([
  code(resolver.resolve4('a.lab.test')), code(resolver.resolve6('a.lab.test')),
  code(resolver.resolveSrv('_matrix-fed._tcp.a.lab.test')),
  code(resolver.resolve4('alias.lab.test')),
  code(resolver.resolveCname('alias.lab.test')),
  code(resolver.resolve4('many.lab.test')), code(resolver.resolve4('no.lab.test')),
  code(resolver.resolveSrv('a.lab.test')),
]).then(found => console.log(JSON.stringify(found)))
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node_understands_every_answer(lab: Lab) -> None:
    """c-ares, which Node has, finds records, follows aliases and goes over to TCP."""

    def run() -> str:
        command = ["node", "-e", NODE, str(lab.where)]
        return subprocess.check_output(command, text=True, timeout=20)

    found = json.loads(wait_for_thread(run))
    v4, v6, srv, via_alias, alias, many, no_name, no_record = found
    assert (v4, v6) == (["127.0.0.1"], ["::1"])
    assert srv == [{"name": "a.lab.test", "port": 8448, "priority": 10, "weight": 5}]
    assert (via_alias, alias) == (["127.0.0.1"], ["a.lab.test"])
    assert len(many) == 100
    assert (no_name, no_record) == ("ENOTFOUND", "ENODATA")
    assert any(answered.question.by_tcp for answered in lab.answered)


# An A record of a name that is written once takes 16 bytes.
@pytest.mark.parametrize(
    ("edns", "by_tcp", "is_whole"),
    [
        (None, False, False),
        (512, False, False),
        (4096, False, False),
        (None, True, True),
    ],
)
def test_a_long_answer_is_asked_for_over_tcp(
    lab: Lab, edns: int | None, *, by_tcp: bool, is_whole: bool
) -> None:
    """An answer that is too long for UDP has no record, and is valid in itself."""
    data = lab.exchange(query("many.lab.test", dns.A, edns=edns), by_tcp=by_tcp)
    message = parse(data)
    assert bool(message.trunc) is not is_whole
    assert len(message.answers) == (100 if is_whole else 0)
    assert len(message.queries) == 1
    assert len(message.additional) == (edns is not None)
    assert by_tcp or len(data) <= 512


def test_a_client_with_edns_gets_more_over_udp(lab: Lab) -> None:
    """With 1232 bytes, seventy records fit that do not fit into 512."""
    zone = Zone("lab.test")
    zone.add(Record("some.lab.test", "A", f"127.0.0.{n}") for n in range(1, 71))

    def answer(data: bytes) -> dns.Message:
        asked = parse_query(data)
        assert asked is not None
        reply = zone.answer(asked.asked("", by_tcp=False))
        return parse(build_response(asked, reply, by_tcp=False))

    assert answer(query("some.lab.test", dns.A)).trunc
    assert answer(query("some.lab.test", dns.A, edns=600)).trunc
    assert len(answer(query("some.lab.test", dns.A, edns=4096)).answers) == 70


def test_the_case_of_a_name_is_kept(lab: Lab) -> None:
    """A client that varies the case of its letters finds its own question again."""
    data = lab.exchange(query("A.lAb.tEST", dns.A))
    assert b"\x01A\x03lAb\x04tEST\x00" in data
    message = parse(data)
    assert [str(record.name) for record in message.answers] == ["A.lAb.tEST"]


REFUSED = [
    ("notify", query("a.lab.test", dns.A, flags=4 << 11), dns.ENOTIMP),
    ("no question", struct.pack("!HHHHHH", 1, 0, 0, 0, 0, 0), dns.EFORMAT),
    ("two questions", struct.pack("!HHHHHH", 1, 0, 2, 0, 0, 0), dns.EFORMAT),
    ("an answer", struct.pack("!HHHHHH", 1, 0, 1, 1, 0, 0), dns.EFORMAT),
    ("cut off", query("a.lab.test", dns.A)[:-3], dns.EFORMAT),
    ("cut name", query("a.lab.test", dns.A)[:15], dns.EFORMAT),
    (
        "a pointer to itself",
        struct.pack("!HHHHHH", 1, 0, 1, 0, 0, 0) + b"\xc0\x0c\0\1" + b"\0\1" * 100,
        dns.EFORMAT,
    ),
    (
        "a name of 300 bytes",
        query(".".join(["a" * 59] * 5), dns.A),
        dns.EFORMAT,
    ),
    ("cut OPT", query("a.lab.test", dns.A, edns=512)[:-1], dns.EFORMAT),
    (
        "two OPT",
        query("a.lab.test", dns.A, edns=512)[:11]
        + b"\2"
        + query("a.lab.test", dns.A, edns=512)[12:]
        + query("", dns.A, edns=512)[17:],
        dns.EFORMAT,
    ),
    ("a transfer", query("lab.test", dns.AXFR), dns.EREFUSED),
    ("another class", query("a.lab.test", dns.A)[:-2] + b"\0\3", dns.EREFUSED),
]


@pytest.mark.parametrize("by_tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize(
    ("data", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_what_is_no_question_gets_its_code(
    lab: Lab, data: bytes, code: int, *, by_tcp: bool
) -> None:
    """Malformed and unknown messages are answered with the code for them."""
    answer = lab.exchange(data, by_tcp=by_tcp)
    assert answer[:2] == data[:2]
    assert parse(answer).rCode == code


def test_a_later_version_of_edns_is_refused(lab: Lab) -> None:
    """The extended code BADVERS stands in the OPT record (RFC 6891)."""
    data = query("a.lab.test", dns.A, edns=4096)
    later = data[:-5] + b"\1" + data[-4:]
    message = parse(lab.exchange(later))
    assert message.rCode == 0
    [opt] = message.additional
    assert opt.ttl >> 24 == 1
    assert not message.answers


def test_replies_get_no_reply(lab: Lab) -> None:
    """Two name servers do not answer one another for ever."""
    sent: list[bytes] = []
    for data in [query("a.lab.test", dns.A, flags=0x8000), b"\1\2\3"]:
        lab.server.receive(data, "c:1", sent.append, by_tcp=True)
    assert (sent, lab.answered) == ([], [])


@given(st.binary(max_size=100), st.integers(0, 60), st.binary(max_size=4))
def test_no_bytes_raise_an_error(tail: bytes, cut: int, middle: bytes) -> None:
    """Every message gets an answer that can be read, or none."""
    zone = Zone("lab.test")
    zone.add(RECORDS)
    data = query("a.lab.test", dns.A, edns=512)[:cut] + middle + tail
    asked = parse_query(data)
    if asked is not None:
        reply = zone.answer(asked.asked("", by_tcp=False))
        assert parse(build_response(asked, reply, by_tcp=False)).id == asked.id


def test_dots_inside_a_label_are_no_ends_of_it(lab: Lab) -> None:
    """A label with a dot in it is not mistaken for two, and comes back as it was."""
    odd = b"\x05a.lab\x04test\x00" + struct.pack("!HH", dns.A, dns.IN)
    data = struct.pack("!HHHHHH", 7, 0, 1, 0, 0, 0) + odd
    answer = lab.exchange(data)
    assert odd in answer
    assert answer[3] & 15 == dns.ENAME


def wrapped(lab: Zone, reply: object) -> Responder:
    """A responder with a fault for one name, and the zone's answers else."""

    def answer(question: Question) -> object:
        return reply if question.name == "a.lab.test" else lab.answer(question)

    return answer  # type: ignore[return-value]


async def later(reply: Reply | None) -> Reply | None:
    """A delayed answer."""
    await pause(0.01)
    return reply


FAULTS = [
    (Reply(code=dns.ESERVER), dns.ESERVER, False),
    (Reply(code=dns.EREFUSED), dns.EREFUSED, False),
    (Reply(is_truncated=True), dns.OK, True),
    (Reply(code=dns.ENAME, is_truncated=True), dns.ENAME, True),
]


@pytest.mark.parametrize(("reply", "code", "is_truncated"), FAULTS)
@pytest.mark.parametrize("is_late", [False, True], ids=["now", "later"])
def test_a_wrapped_zone_answers_with_faults(
    reply: Reply, code: int, *, is_truncated: bool, is_late: bool
) -> None:
    """A fault of one name answers at once or later, and other names know none of it."""
    zone = Zone("lab.test")
    zone.add(RECORDS)
    lab = start(wrapped(zone, later(reply) if is_late else reply))
    try:
        message = parse(lab.exchange(query("a.lab.test", dns.A)))
        assert (message.rCode, bool(message.trunc)) == (code, is_truncated)
        assert len(parse(lab.exchange(query("alias.lab.test", dns.A))).answers) == 2
        assert lab.answered[0].reply == reply
        assert lab.answered[0].seconds >= (0.01 if is_late else 0.0)
    finally:
        wait(lab.server.stop())


def test_silence_is_reported() -> None:
    """A question without an answer is in the record, with no reply."""
    lab = start(lambda _: None)
    sent: list[bytes] = []
    lab.server.receive(query("a.lab.test", dns.A), "c:1", sent.append, by_tcp=False)
    assert [answered.reply for answered in lab.answered] == [None]
    assert sent == []
    wait(lab.server.stop())


def test_a_responder_that_raises_is_a_server_failure() -> None:
    """A mistake in a fault is answered with SERVFAIL, and the server goes on."""

    def broken(question: Question) -> Reply:
        raise ZeroDivisionError

    lab = start(broken)
    for _ in range(2):
        assert parse(lab.exchange(query("a.test", dns.A))).rCode == dns.ESERVER
    wait(lab.server.stop())


def test_delayed_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Questions beyond the bound get no answer, and take no memory."""
    monkeypatch.setattr(server_module, "_MAX_WAITING", 3)
    delayed: list[Deferred[Reply | None]] = []

    def delay(question: Question) -> Deferred[Reply | None]:
        delayed.append(Deferred())
        return delayed[-1]

    lab = start(delay)
    sent: list[bytes] = []
    for _ in range(5):
        lab.server.receive(query("a.test", dns.A), "c:1", sent.append, by_tcp=False)
    assert len(delayed) == 3
    for each in delayed:
        each.callback(Reply())
    lab.server.receive(query("a.test", dns.A), "c:1", sent.append, by_tcp=False)
    delayed[-1].callback(Reply())
    assert len(sent) == 4
    wait(lab.server.stop())


def test_connections_are_bounded_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection too many is closed at once, and an idle one after its time."""
    monkeypatch.setattr(server_module, "_MAX_CONNECTIONS", 1)
    monkeypatch.setattr(server_module, "_IDLE_SECONDS", 0.2)
    lab = start(Zone("lab.test").answer)

    def end() -> None:
        address = (lab.where.host, lab.where.port)
        with (
            socket.create_connection(address, 5) as first,
            socket.create_connection(address, 5) as second,
        ):
            assert second.recv(1) == b""
            assert len(lab.server.connections) == 1
            with pytest.raises(ConnectionResetError):
                first.recv(1)

    wait_for_thread(end)
    assert lab.server.connections == set()
    wait(lab.server.stop())


def test_a_client_that_does_not_read_is_not_read_from(lab: Lab) -> None:
    """While the transport has too much to send, further questions wait unanswered."""
    address = IPv4Address("TCP", "127.0.0.1", 4000)
    stream = server_module._Stream(lab.server)
    transport = StringTransport(peerAddress=address)
    stream.makeConnection(transport)
    data = query("a.lab.test", dns.A)
    message = struct.pack("!H", len(data)) + data
    stream.dataReceived(message)
    assert transport.producer is stream
    assert transport.streaming
    stream.pauseProducing()  # as a transport with a full buffer does
    stream.dataReceived(message * 3)
    assert transport.producerState == "paused"
    assert len(lab.answered) == 1
    stream.resumeProducing()
    assert len(lab.answered) == 4
    stream.connectionLost()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_udp_and_tcp_have_one_port(host: str) -> None:
    """A free port is one for both; a port that is taken is an error."""
    lab = start(Zone("lab.test").answer, host)
    assert lab.where.port > 0
    with pytest.raises(CannotListenError):
        DnsServer(Zone("lab.test").answer, reactor).start(lab.where)
    wait(lab.server.stop())
    again = DnsServer(Zone("lab.test").answer, reactor)
    assert again.start(lab.where) == lab.where
    wait(again.stop())


HOSTS = {"localhost": ["127.0.0.1", "::1"]}


@implementer(IHostnameResolver)
class Hosts:
    """The system's look-ups, by a table."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """As `IHostnameResolver`."""
        self.asked.append(hostName)
        for host in HOSTS.get(hostName, []):
            kind = IPv6Address if ":" in host else IPv4Address
            if kind in addressTypes:
                resolutionReceiver.addressResolved(kind("TCP", host, 0))
        resolutionReceiver.resolutionComplete()


def look_ups(responder: Responder | None = None) -> tuple[DnsLookups, Hosts]:
    """Discovery's look-ups over the lab's zone."""
    zone = Zone("lab.test")
    zone.add([*RECORDS, Record("other.example", "CNAME", "a.lab.test")])
    hosts = Hosts()
    resolver = LabResolver(responder or zone.answer, hosts, zone.is_ours)
    return DnsLookups(as_resolver(resolver), None, Clock()), hosts


ADDRESSES: list[tuple[str, list[str], bool]] = [
    ("a.lab.test", ["127.0.0.1", "::1"], False),
    ("A.LAB.TEST", ["127.0.0.1", "::1"], False),
    ("alias.lab.test", ["127.0.0.1", "::1"], False),
    ("other.example", ["127.0.0.1", "::1"], False),
    ("localhost", ["127.0.0.1", "::1"], True),
]


@pytest.mark.parametrize(("host", "addresses", "is_system_asked"), ADDRESSES)
def test_our_own_look_ups_know_the_zone_and_the_system(
    host: str, addresses: list[str], *, is_system_asked: bool
) -> None:
    """A host of the zone is found in it, and any other one by the system."""
    found, hosts = look_ups()
    assert sorted(wait(found.addresses(host, OURSELVES))) == addresses
    assert bool(hosts.asked) is is_system_asked


MISSING = [("no.lab.test", []), ("no.example", ["no.example", "no.example"])]


@pytest.mark.parametrize(("host", "asked"), MISSING)
def test_the_system_is_not_asked_for_names_of_the_zone(
    host: str, asked: list[str]
) -> None:
    """A name below the zone that has no record has no address anywhere."""
    found, hosts = look_ups()
    with pytest.raises(LookupFailed, match="no address"):
        wait(found.addresses(host, OURSELVES))
    assert hosts.asked == asked


def test_our_own_look_ups_find_services_and_aliases() -> None:
    """SRV and CNAME records come from the zone; what is not there, is not."""
    found, hosts = look_ups()
    [srv] = wait(found.srv("_matrix-fed._tcp.a.lab.test", OURSELVES))
    assert (srv.port, srv.target) == (8448, "a.lab.test")
    assert wait(found.srv("_matrix._tcp.no.example", OURSELVES)) == []
    assert wait(found.alias("alias.lab.test", OURSELVES)) == "a.lab.test"
    assert wait(found.alias("a.lab.test", OURSELVES)) is None
    assert hosts.asked == []


@pytest.mark.parametrize(
    ("code", "words"),
    [(dns.ESERVER, "SERVFAIL"), (dns.EREFUSED, "REFUSED"), (dns.ENOTIMP, "NOTIMP")],
)
def test_faults_reach_our_own_look_ups(code: int, words: str) -> None:
    """An error response of the responder is a failed look-up, as over a socket."""
    found, _ = look_ups(lambda _: Reply(code=code))
    with pytest.raises(LookupFailed, match=words):
        wait(found.srv("_matrix._tcp.a.lab.test", OURSELVES))


def test_a_truncated_answer_is_asked_for_again() -> None:
    """Our own look-ups go over to TCP as others do."""
    zone = Zone("lab.test")
    zone.add(RECORDS)
    asked: list[bool] = []

    def answer(question: Question) -> Reply:
        asked.append(question.by_tcp)
        return zone.answer(question) if question.by_tcp else Reply(is_truncated=True)

    found, _ = look_ups(answer)
    assert len(wait(found.srv("_matrix-fed._tcp.a.lab.test", OURSELVES))) == 1
    assert asked == [False, True]


def test_silence_ends_with_the_time_of_the_question() -> None:
    """A question without an answer fails after its time, and nothing is left."""
    found, _ = look_ups(lambda _: None)
    results: list[object] = []
    asking = Deferred.fromCoroutine(found.srv("_matrix._tcp.a.lab.test", OURSELVES))
    asking.addErrback(lambda failure: results.append(failure.value))
    found._clock.advance(10)  # type: ignore[attr-defined]
    [problem] = results
    assert isinstance(problem, LookupFailed)
    assert "did not answer in time" in str(problem)
