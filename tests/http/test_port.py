"""What is written is sent at once, and in order where the system does not take it."""

import socket
from collections.abc import Iterator

import pytest
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Server
from twisted.internet.testing import MemoryReactor
from zope.interface import Interface

from homeserver.http.port import PromptPort

MUCH = bytes(range(256)) * 8192
"""More than any system takes before it is read."""


class Wire:
    """A connection of the port, and the socket of who is connected to it."""

    def __init__(self) -> None:
        self.reactor = MemoryReactor()
        ours, self.theirs = socket.socketpair()
        port = PromptPort(0, Factory(), reactor=self.reactor)
        self.server: Server = port.transport(
            ours, Protocol(), ("192.0.2.1", 40000), port, 0, self.reactor
        )

    @property
    def is_waiting(self) -> bool:
        """Whether the reactor is asked when more can be written."""
        return self.server in self.reactor.writers

    def read(self) -> bytes:
        """What has arrived."""
        return self.theirs.recv(len(MUCH) * 2, socket.MSG_DONTWAIT)

    def read_rest(self, length: int) -> bytes:
        """So many bytes, while the reactor has the connection write what waits."""
        data = self.read()
        while len(data) < length:
            assert self.is_waiting
            assert self.server.doWrite() is None
            data += self.read()
        return data


@pytest.fixture
def wire() -> Iterator[Wire]:
    """A connection that is closed after the test."""
    wire = Wire()
    yield wire
    wire.theirs.close()
    wire.server.socket.close()


@pytest.mark.parametrize("interface", [ITCPTransport, IPushProducer])
def test_what_is_asked_for(wire: Wire, interface: type[Interface]) -> None:
    """HTTP finds that it can turn Nagle's delay off, and can be read no further.

    Without the one, answers would wait for an acknowledgement; without the other, who
    does not read what it is answered would be read on.
    """
    assert interface.providedBy(wire.server)


def test_sent_at_once(wire: Wire) -> None:
    """What the system takes is there, and nobody was asked whether it can be sent."""
    for data in (b"one", b"two"):
        wire.server.write(data)
        assert (wire.is_waiting, wire.read()) == (False, data)


def test_rest_waits(wire: Wire) -> None:
    """What the system does not take is sent when it does, before what came after."""
    wire.server.write(MUCH)
    wire.server.write(b"after")
    assert wire.read_rest(len(MUCH) + 5) == MUCH + b"after"
    wire.server.doWrite()
    wire.server.write(b"at once")
    assert (wire.is_waiting, wire.read()) == (False, b"at once")


def test_nothing_overtakes(wire: Wire) -> None:
    """As long as something waits, what is new waits too, if there is room or not."""
    wire.server.write(MUCH)
    arrived = wire.read()
    wire.server.write(b"after")
    with pytest.raises(BlockingIOError):
        wire.read()
    wire.server.doWrite()
    rest = wire.read_rest(len(MUCH) + 5 - len(arrived))
    assert arrived + rest == MUCH + b"after"


def test_end_is_after_what_waits(wire: Wire) -> None:
    """A connection is closed when all is sent, and not before."""
    wire.server.write(MUCH)
    wire.server.loseConnection()
    assert wire.server.connected
    assert wire.is_waiting


def test_lost_connection(wire: Wire) -> None:
    """That nobody is there any more is for the reactor to find."""
    wire.theirs.close()
    wire.server.write(b"to nobody")
    assert wire.server.connected
    assert wire.is_waiting
    assert wire.server.doWrite() is CONNECTION_LOST
