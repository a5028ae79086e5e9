"""The lab's name server on real sockets, asked by clients that others wrote."""

import json
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.testing import StringTransport
from twisted.names import client, dns

from homeserver.lab.dns_server import server as server_module
from homeserver.lab.dns_server.records import Record
from homeserver.lab.dns_server.server import DnsServer, Responder
from homeserver.lab.dns_server.zone import Question, Reply, Zone
from tests.support.eventually import HANGING_SECONDS
from tests.support.ipv6 import skip_without
from tests.support.lab_name_server import RECORDS, Lab, parse, query, start
from tests.support.logged_errors import LoggedErrors
from tests.support.waiting import pause, reactor, wait, wait_for_thread

MANY = [
    Record("a.lab.test", "A", f"192.0.2.{number}").header(b"a.lab.test")
    for number in range(99)
]

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
        return subprocess.check_output(command, text=True, timeout=HANGING_SECONDS)

    found = json.loads(wait_for_thread(run))
    v4, v6, srv, via_alias, alias, many, no_name, no_record = found
    assert (v4, v6) == (["127.0.0.1"], ["::1"])
    assert srv == [{"name": "a.lab.test", "port": 8448, "priority": 10, "weight": 5}]
    assert (via_alias, alias) == (["127.0.0.1"], ["a.lab.test"])
    assert len(many) == 100
    assert (no_name, no_record) == ("ENOTFOUND", "ENODATA")
    assert any(answered.question.by_tcp for answered in lab.answered)


def test_replies_get_no_reply(lab: Lab) -> None:
    """Two name servers do not answer one another for ever."""
    sent: list[bytes] = []
    for data in [query("a.lab.test", dns.A, flags=0x8000), b"\1\2\3"]:
        lab.server.receive(data, "c:1", keep(sent), by_tcp=True)
    assert (sent, lab.answered) == ([], [])


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


def keep(sent: list[bytes]) -> Callable[[bytes], bool]:
    """A client that takes what is sent."""

    def send(answer: bytes) -> bool:
        sent.append(answer)
        return True

    return send


def test_an_answer_is_reported_as_it_was_sent() -> None:
    """One that is too long for UDP is truncated, and has no records."""
    wrapping = start(lambda _: Reply(MANY))
    asked = query("a.lab.test", dns.A)
    assert parse(wrapping.exchange(asked)).trunc
    assert [each.describe() for each in wrapping.answered] == ["truncated"]
    wait(wrapping.server.stop())


def test_a_client_that_is_gone_is_reported() -> None:
    """What is sent to nothing is no answer."""
    lab = start(lambda _: Reply())
    question = query("a.lab.test", dns.A)
    lab.server.receive(question, "c:1", lambda _: False, by_tcp=True)
    assert [each.describe() for each in lab.answered] == ["no answer"]
    wait(lab.server.stop())


def test_silence_is_reported() -> None:
    """A question without an answer is in the record, with no reply."""
    lab = start(lambda _: None)
    sent: list[bytes] = []
    lab.server.receive(query("a.lab.test", dns.A), "c:1", keep(sent), by_tcp=False)
    assert [answered.reply for answered in lab.answered] == [None]
    assert sent == []
    wait(lab.server.stop())


def test_a_responder_that_raises_is_a_server_failure(
    logged_errors: LoggedErrors,
) -> None:
    """A mistake in a fault is answered with SERVFAIL, and the server goes on."""

    def broken(question: Question) -> Reply:
        raise ZeroDivisionError

    lab = start(broken)
    for _ in range(2):
        assert parse(lab.exchange(query("a.test", dns.A))).rCode == dns.ESERVER
        assert len(logged_errors.flush(ZeroDivisionError)) == 1
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
        lab.server.receive(query("a.test", dns.A), "c:1", keep(sent), by_tcp=False)
    assert len(delayed) == 3
    for each in delayed:
        each.callback(Reply())
    lab.server.receive(query("a.test", dns.A), "c:1", keep(sent), by_tcp=False)
    delayed[-1].callback(Reply())
    assert len(sent) == 4
    wait(lab.server.stop())


def test_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection too many is closed at once."""
    monkeypatch.setattr(server_module, "_MAX_CONNECTIONS", 1)
    monkeypatch.setattr(server_module, "_IDLE_SECONDS", 3000)
    lab = start(Zone("lab.test").answer)

    def end() -> None:
        address = (lab.where.host, lab.where.port)
        with (
            socket.create_connection(address, HANGING_SECONDS),
            socket.create_connection(address, HANGING_SECONDS) as second,
        ):
            assert second.recv(1) == b""
            assert len(lab.server.connections) == 1

    wait_for_thread(end)
    wait(lab.server.stop())


def test_an_idle_connection_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed after its time."""
    monkeypatch.setattr(server_module, "_IDLE_SECONDS", 0.2)
    lab = start(Zone("lab.test").answer)

    def end() -> None:
        address = (lab.where.host, lab.where.port)
        with (
            socket.create_connection(address, HANGING_SECONDS) as idle,
            pytest.raises(ConnectionResetError),
        ):
            idle.recv(1)

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
    skip_without(host)
    lab = start(Zone("lab.test").answer, host)
    assert lab.where.port > 0
    with pytest.raises(CannotListenError):
        DnsServer(Zone("lab.test").answer, reactor).start(lab.where)
    wait(lab.server.stop())
    again = DnsServer(Zone("lab.test").answer, reactor)
    assert again.start(lab.where) == lab.where
    wait(again.stop())
