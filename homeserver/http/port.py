"""A listening port whose connections send data at once.

Rules: buffered data is sent first. What the system does not accept is buffered by
Twisted until the socket is writable.
"""

from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.internet.tcp import Port, Server
from zope.interface import implementer_only


# The interfaces that HTTP asks for. For each TLS connection, Twisted declares every
# interface of its transport one by one; without this line there are nine.
@implementer_only(ITCPTransport, IPushProducer)
class _Connection(Server):
    """A TCP connection that writes before it waits for the socket.

    Twisted waits for the socket to be writable before each write: two system calls and
    an event for a response that could nearly always be sent immediately.
    """

    _is_waiting = False

    def write(self, data: bytes) -> None:
        """Send as much of `data` as the system accepts, and buffer the rest."""
        if self.connected and not self._is_waiting:
            sent = self.writeSomeData(data)
            # If the connection is lost, the reactor has to detect it, too.
            if isinstance(sent, int):
                data = data[sent:]
        super().write(data)

    def startWriting(self) -> None:
        """Called by Twisted: data or the end of the stream is buffered."""
        self._is_waiting = True
        super().startWriting()

    def stopWriting(self) -> None:
        """Called by Twisted: the buffer is empty."""
        self._is_waiting = False
        super().stopWriting()


class PromptPort(Port):
    """A listening TCP port."""

    transport = _Connection
