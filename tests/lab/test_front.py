"""What stands before the listeners of a lab."""

import ssl
from functools import partial
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock

from homeserver.http.connections import Connections
from homeserver.http.tls_listener import AcceptedTls, ListeningTls
from homeserver.lab.front.client_hello import MAX_BYTES, parse_client_hello
from homeserver.lab.front.front import Front, Surroundings
from homeserver.lab.front.transports import CutTransport, SlowTransport
from homeserver.lab.rules.rule import RuleBody
from homeserver.lab.rules.rules import Rules
from homeserver.net.exchanges import Exchanges
from homeserver.net.twisted_private import when_sent
from tests.support.tables import cases


def hello(name: str | None = "A.test", *protocols: str) -> bytes:
    """The first bytes of a client of Python."""
    context = ssl._create_unverified_context()
    if protocols:
        context.set_alpn_protocols(protocols)
    sent = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def test_a_client_hello() -> None:
    """The name is in small letters, and the protocols are those that are offered."""
    read = parse_client_hello(hello("A.test", "h2", "http/1.1"))
    assert read is not None
    assert (read.server_name, read.protocols) == ("a.test", [b"h2", b"http/1.1"])
    bare = parse_client_hello(hello(None))
    assert bare is not None
    assert (bare.server_name, bare.protocols) == (None, [])


def test_a_client_hello_in_pieces() -> None:
    """It is complete with its last byte, also in records of one byte each."""
    whole = hello()
    for length in range(len(whole)):
        assert parse_client_hello(whole[:length]) is None
    records = b"".join(b"\x16\x03\x01\x00\x01" + bytes([byte]) for byte in whole[5:])
    assert parse_client_hello(records) == parse_client_hello(whole)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x16\x03\x01\x00\x01\x02",
        b"\x16\x03\x01\xff\xff" + b"\x01\xff\xff\xff" * (MAX_BYTES // 4),
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
    ],
)
def test_no_client_hello(data: bytes) -> None:
    """What is none, or has no end, is refused."""
    with pytest.raises(ValueError, match=r"record|message|ClientHello"):
        parse_client_hello(data)


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 255))
def test_nothing_else_is_raised(data: bytes, place: int, byte: int) -> None:
    """Random bytes, and a ClientHello with a changed one."""
    changed = bytearray(hello())
    changed[place] = byte
    for each in (data, b"\x16\x03\x01" + data, bytes(changed)):
        try:
            parse_client_hello(each)
        except ValueError as problem:
            assert type(problem) is ValueError


class Inside:
    """A transport that notes what is done with it."""

    def __init__(self) -> None:
        self.sent = b""
        self.done: list[str] = []
        self.producer: Any = None

    def write(self, data: bytes) -> None:
        """As a transport."""
        self.sent += data

    def registerProducer(self, producer: object, streaming: object) -> None:
        """As a transport."""
        self.producer = producer

    def unregisterProducer(self) -> None:
        """As a transport."""
        self.producer = None

    def pauseProducing(self) -> None:
        """As a transport: read nothing."""
        self.done.append("pause")

    def loseConnection(self) -> None:
        """As a transport."""
        self.done.append("lose")

    def abortConnection(self) -> None:
        """As a transport."""
        self.done.append("abort")


def test_a_cut_transport() -> None:
    """It sends so many bytes; then it closes, or is silent."""
    for closes in (True, False):
        inside = Inside()
        cut = CutTransport(inside, 5, closes=closes)
        cut.writeSequence([b"abc", b""])
        assert not cut.is_over
        cut.write(b"defg")
        cut.write(b"h")
        assert (inside.sent, cut.is_over) == (b"abcde", True)
        assert inside.done == (["lose"] if closes else [])


class Writer:
    """Writes, and is paused."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        """As a producer."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """As a producer."""
        self.told.append("resume")


def test_a_slow_transport() -> None:
    """So many bytes leave in a second, and the end comes after the last one."""
    inside, clock = Inside(), Clock()
    slow = SlowTransport(inside, 100, clock)
    slow.write(b"x" * 200)
    slow.loseConnection()
    clock.pump([0.05] * 19)
    assert len(inside.sent) == 100
    assert inside.done == []
    clock.pump([0.05] * 30)
    assert (len(inside.sent), inside.done) == (200, ["lose"])
    assert (inside.producer, clock.getDelayedCalls()) == (None, [])


def test_a_slow_transport_pauses_who_writes() -> None:
    """What waits is bounded, and a client that does not read gets nothing more."""
    inside, clock, writer = Inside(), Clock(), Writer()
    slow = SlowTransport(inside, 10**6, clock)
    slow.registerProducer(writer, streaming=True)
    slow.write(b"x" * 200_000)
    assert writer.told == ["pause"]
    inside.producer.pauseProducing()
    clock.pump([0.05] * 10)
    assert len(inside.sent) == 50_000
    inside.producer.resumeProducing()
    clock.pump([0.05] * 10)
    assert len(inside.sent) == 200_000
    assert writer.told == ["pause", "resume"]
    slow.write(b"x" * 100_000)
    slow.abortConnection()
    assert inside.done == ["abort"]
    assert clock.getDelayedCalls() == []


def test_a_slow_transport_that_is_not_read_from() -> None:
    """It goes on sending: only the connection below is told not to read."""
    inside, clock = Inside(), Clock()
    slow = SlowTransport(inside, 100, clock)
    slow.pauseProducing()
    slow.write(b"x" * 10)
    clock.pump([0.05] * 2)
    assert (inside.done, inside.sent) == (["pause"], b"x" * 10)


def calls_after(transport: Any, *pieces: bytes) -> list[int]:
    """The numbers of the pieces that have left, as they leave, once all are written."""
    called: list[int] = []
    for number, piece in enumerate(pieces):
        transport.write(piece)
        transport.when_sent(partial(called.append, number))
    return called


@cases(
    "limit sent",
    [
        ("in the first one", 2, []),
        ("after the first one", 3, [0]),
        ("in the second one", 5, [0]),
        ("after all", 6, [0, 1]),
        ("later", 7, [0, 1]),
    ],
)
def test_what_a_cut_transport_has_sent(limit: int, sent: list[int]) -> None:
    """A piece of which a byte is missing has not left."""
    cut = CutTransport(Inside(), limit, closes=True)
    assert calls_after(cut, b"abc", b"def") == sent


def test_what_a_slow_transport_has_sent() -> None:
    """A piece has left with its last byte, and never if that is not sent."""
    clock = Clock()
    slow = SlowTransport(Inside(), 100, clock)
    called = calls_after(slow, b"abc", b"defg", b"hijk", b"l" * 90)
    assert called == [0]
    clock.advance(0.05)
    assert called == [0, 1]
    clock.advance(0.05)
    assert called == [0, 1, 2]
    slow.stop()
    clock.pump([0.05] * 30)
    assert called == [0, 1, 2]


def test_what_has_left_without_a_fault() -> None:
    """What is written to the system has left."""
    called: list[str] = []
    when_sent(Inside(), lambda: called.append("sent"))
    assert called == ["sent"]


def delayed() -> tuple[Front, Inside]:
    """A connection that a rule keeps waiting before TLS."""
    clock = Clock()
    rules = Rules(clock, Random(1), cast("Any", None))
    rules.add("a.test", RuleBody({"connection.delay": 5}))
    tls = SimpleNamespace(
        listening=SimpleNamespace(own=None),
        presented=lambda name: SimpleNamespace(server=name),
    )
    connections = Connections("federation", 9, clock)
    listening = ListeningTls(
        cast("Any", tls), cast("Any", None), cast("Any", None), connections
    )
    surroundings = Surroundings(
        rules, lambda: Exchanges(clock), clock, cast("Any", None)
    )
    client = IPv4Address("TCP", "127.0.0.1", 1)
    right = cast("AcceptedTls", None)
    front, transport = Front(surroundings, listening, client, right), Inside()
    front.makeConnection(cast("Any", transport))
    return front, transport


def test_early_data_is_bounded() -> None:
    """A client that is kept waiting may send so many bytes, and not one more."""
    front, transport = delayed()
    first = hello("a.test")
    front.dataReceived(first)
    front.dataReceived(b"x" * (2**16 - len(first)))
    assert transport.done == []
    front.dataReceived(b"x")
    assert transport.done == ["abort"]
