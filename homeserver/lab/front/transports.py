"""Transports that send less, or later, than they are told.

Rules: everything else goes to the transport inside. What waits to be sent is bounded:
whoever writes is paused meanwhile.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import alsoProvides, implementer, providedBy

from homeserver.net.twisted_private import when_sent

_TICK_SECONDS = 0.05
_MAX_WAITING = 2**16  # bytes; whoever writes more is paused


class _Wrapped:
    """A transport around another one."""

    def __init__(self, inside: Any) -> None:
        self._inside = inside
        alsoProvides(self, *providedBy(inside))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inside, name)

    def write(self, data: bytes) -> None:
        """As `ITransport`."""
        self._inside.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """As `ITransport`."""
        self.write(b"".join(data))

    def when_sent(self, call: Callable[[], object]) -> None:
        """As `twisted_private.when_sent`."""
        when_sent(self._inside, call)


class CutTransport(_Wrapped):
    """Sends so many bytes, and no more; then it closes, or is silent."""

    def __init__(self, inside: Any, limit: int, *, closes: bool) -> None:
        super().__init__(inside)
        self._left = limit
        self.closes = closes
        """Whether it closes then."""

        self.is_over = False
        """Whether it has sent all that it may send."""

        self._is_short = False

    def when_sent(self, call: Callable[[], object]) -> None:
        """As `twisted_private.when_sent`: never, once something was not sent."""
        if not self._is_short:
            super().when_sent(call)

    def write(self, data: bytes) -> None:
        """As `ITransport`."""
        self._is_short = self._is_short or len(data) > self._left
        if self.is_over:
            return
        self._inside.write(data[: self._left])
        self._left -= len(data)
        if self._left <= 0:
            self.is_over = True
            if self.closes:
                self._inside.unregisterProducer()
                self._inside.loseConnection()


class SlowTransport(_Wrapped):
    """Sends so many bytes in a second."""

    def __init__(self, inside: Any, rate: int, clock: IReactorTime) -> None:
        super().__init__(inside)
        # So many bytes with each tick, and so many ticks in a second.
        self._step = max(1, int(rate * _TICK_SECONDS))
        self._tick = self._step / rate
        self._clock = clock
        self._waiting = bytearray()
        self._sent = 0
        self._calls: deque[tuple[int, Callable[[], object]]] = deque()
        """Each with the number of bytes after which it is called."""

        self._next: IDelayedCall | None = None
        self._producer: Any = None
        self._is_pausing = self._is_held = False
        self._last: Callable[[], object] | None = None
        # A client that does not read holds what waits here.
        inside.registerProducer(_Source(self), True)  # noqa: FBT003

    def write(self, data: bytes) -> None:
        """As `ITransport`."""
        self._waiting += data
        self._send()
        if len(self._waiting) > _MAX_WAITING and not self._is_pausing:
            self._is_pausing = True
            if self._producer is not None:
                self._producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:  # noqa: FBT001
        """As `IConsumer`: it is paused while much waits to be sent."""
        self._producer = producer

    def unregisterProducer(self) -> None:
        """As `IConsumer`."""
        self._producer = None

    def when_sent(self, call: Callable[[], object]) -> None:
        """As `twisted_private.when_sent`: after what waits."""
        self._calls.append((self._sent + len(self._waiting), call))
        self._call()

    def loseConnection(self) -> None:
        """As `ITransport`: close after what waits."""
        self._end_with(self._inside.loseConnection)

    def loseWriteConnection(self) -> None:
        """As `IHalfCloseableDescriptor`, after what waits."""
        self._end_with(self._inside.loseWriteConnection)

    def abortConnection(self) -> None:
        """As `ITCPTransport`."""
        self.stop()
        self._inside.abortConnection()

    def hold(self, *, is_held: bool) -> None:
        """Send nothing for a while, or go on: the client does not read, or does."""
        self._is_held = is_held
        if not is_held:
            self._send()

    def stop(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        self._calls.clear()
        if self._next is not None and self._next.active():
            self._next.cancel()

    def _end_with(self, last: Callable[[], object]) -> None:
        self._last = last
        self._send()

    def _send(self) -> None:
        if self._next is not None or self._is_held:
            return
        if self._waiting:
            piece = bytes(self._waiting[: self._step])
            del self._waiting[: self._step]
            self._sent += len(piece)
            self._inside.write(piece)
            self._call()
            self._next = self._clock.callLater(self._tick, self._go_on)
        elif self._last is not None:
            last, self._last = self._last, None
            self._inside.unregisterProducer()
            last()
        elif self._is_pausing:
            self._is_pausing = False
            if self._producer is not None:
                self._producer.resumeProducing()

    def _go_on(self) -> None:
        self._next = None
        self._send()

    def _call(self) -> None:
        while self._calls and self._calls[0][0] <= self._sent:
            self._calls.popleft()[1]()


@implementer(IPushProducer)
class _Source:
    """What writes to the connection below a slow transport.

    It is no transport: one is told by the same methods when to read.
    """

    def __init__(self, slow: SlowTransport) -> None:
        self._slow = slow

    def pauseProducing(self) -> None:
        """As `IPushProducer`: the client does not read."""
        self._slow.hold(is_held=True)

    def resumeProducing(self) -> None:
        """As `IPushProducer`."""
        self._slow.hold(is_held=False)

    def stopProducing(self) -> None:
        """As `IPushProducer`."""
        self._slow.stop()
