"""One connection to the target, on which any bytes can be sent.

Rules: the target's certificate is looked at and refused by none: a check judges it. A
reply is read within limits of bytes and of time.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from homeserver.conformance.outcome import Late, NoAnswer
from homeserver.conformance.reply import MAX_BYTES, NotHttp, Reader, Reply
from homeserver.net.connection_errors import describe
from homeserver.net.exchange import TlsFacts
from homeserver.net.time_limit import within
from homeserver.net.tls.facts import facts_of
from homeserver.outbound.transport.dialer import Dialled


class Connection:
    """A connection after its handshake."""

    def __init__(self, dialled: Dialled, clock: IReactorTime) -> None:
        self._clock = clock
        self._wire = _Wire()
        self._connection = dialled.connection
        self.address = dialled.address
        self.certificate_problem = dialled.handshake.problem
        """Why the target's certificate does not prove its name; None if it does."""

        self.tls: TlsFacts | None = facts_of(dialled.connection.tls)
        dialled.connection.hand_over(self._wire, MAX_BYTES)

    def send(self, data: bytes) -> None:
        """Send bytes; a connection that the target has closed takes none."""
        if not self._connection.is_closing:
            self._connection.tls.write(data)

    async def read(self, method: str = "GET", seconds: float = 30.0) -> Reply:
        """The next reply; raises `NoAnswer`, `Late` after so many seconds."""
        began = self._clock.seconds()
        try:
            reply = await within(seconds, self._clock, self._wire.read(method))
        except defer.TimeoutError:
            raise Late(f"no answer within {seconds:g} s") from None
        except NotHttp as problem:
            raise NoAnswer(str(problem)) from None
        return replace(reply, seconds=self._clock.seconds() - began)

    async def closed(self, seconds: float) -> bool:
        """Whether the target closes the connection within so many seconds."""
        try:
            await within(seconds, self._clock, self._wire.closed())
        except defer.TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Close it at once."""
        self._connection.abort()


class _Wire(Protocol):
    """Collects what is received."""

    def __init__(self) -> None:
        self._reader = Reader()
        self._ended: str | None = None
        self._waiting: list[Deferred[None]] = []

    def dataReceived(self, data: bytes) -> None:
        """As `Protocol`."""
        self._reader.buffer += data
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As `Protocol`."""
        problem = reason.value
        self._ended = (
            describe(problem) if isinstance(problem, Exception) else "it was closed"
        )
        self._wake()

    async def read(self, method: str) -> Reply:
        """The next reply; raises `NotHttp` and `NoAnswer`."""
        while True:
            is_closed = self._ended is not None
            reply = self._reader.read(method, is_closed=is_closed)
            if reply is not None:
                return reply
            if is_closed:
                raise NoAnswer(f"no answer: {self._ended}")
            await self._changed()

    async def closed(self) -> None:
        """Return when the connection is closed."""
        while self._ended is None:
            await self._changed()

    def _changed(self) -> Deferred[None]:
        waiter: Deferred[None] = Deferred(_forget_in(self._waiting))
        self._waiting.append(waiter)
        return waiter

    def _wake(self) -> None:
        waiting, self._waiting[:] = list(self._waiting), []
        for each in waiting:
            each.callback(None)


def _forget_in(waiting: list[Deferred[None]]) -> Callable[[Deferred[None]], None]:
    def forget(waiter: Deferred[None]) -> None:
        if waiter in waiting:
            waiting.remove(waiter)

    return forget


def head(method: str, target: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """The head of a request, as it goes out."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
