"""A port whose connections send at once what they are given.

Rules of the room: what waits is sent first. What the system does not take waits until
the reactor says that it does, as Twisted has it: nothing here knows of buffers.
"""

from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.tcp import Port, Server
from zope.interface import implementer_only


# What HTTP asks for. Twisted has each TLS connection declare anew all that its
# transport provides, one by one, which would be nine interfaces.
@implementer_only(ITCPTransport, IPushProducer)
class _Connection(Server):
    """A TCP connection that does not ask whether it can be written to.

    Twisted asks the reactor before each write, and no more when all is written: two
    calls to the system, and an event between them, for an answer that nearly always
    could have been sent when it was there.
    """

    _is_waiting = False

    def write(self, data: bytes) -> None:
        """Send as much of `data` as the system takes; the rest waits."""
        if self.connected and not self._is_waiting:
            sent = self.writeSomeData(data)
            # Where the connection is found lost, the reactor has to find it, too.
            if isinstance(sent, int):
                data = data[sent:]
        super().write(data)

    def startWriting(self) -> None:
        """As Twisted calls it: something waits, which may be the end."""
        self._is_waiting = True
        super().startWriting()

    def stopWriting(self) -> None:
        """As Twisted calls it: nothing waits any more."""
        self._is_waiting = False
        super().stopWriting()


class PromptPort(Port):
    """A TCP port that others connect to."""

    transport = _Connection
