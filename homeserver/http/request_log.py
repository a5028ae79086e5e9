"""The request log: one line for each request, written when it is answered.

Rules: each module writes what it finds about a request into its exchange
(`net/exchange`), which becomes one line of the log. Text of the client is escaped and
shortened.
"""

from collections.abc import Callable

from twisted.logger import Logger, LogLevel

from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.protocol.errors import printable

# Monitoring requests them every few seconds; they are logged at level debug.
_ROUTINE = frozenset({"/health", "/metrics"})

_MAX_SHOWN = 200  # characters of a method or a path; a path of ours has about sixty


class RequestLog:
    """The requests to one listener."""

    _log = Logger()

    def __init__(
        self,
        listener: str,
        exchanges: Exchanges,
        least: str = "debug",
        refused: Callable[[Exchange], object] = lambda _: None,
    ) -> None:
        """`listener` is `federation` or `control`.

        Lines below the level `least` are not formatted. `refused` takes each exchange
        whose status is an error.
        """
        self.listener = listener
        self._refused = refused
        self.exchanges = exchanges
        self._least = LogLevel.lookupByName(least)

    @property
    def is_recorded(self) -> bool:
        """Whether a record is attached, which shows headers."""
        return self.exchanges.record is not None

    def open(self, method: bytes, target: bytes, address: str) -> Exchange:
        """The exchange of a request that arrives now."""
        exchanges = self.exchanges
        return Exchange(
            "request",
            "in",
            self.listener,
            _shown(method),
            _shown(target.partition(b"?")[0]),
            address,
            exchanges.clock.seconds(),
            self.enter,
            exchanges.details,
        )

    def enter(self, exchange: Exchange) -> None:
        """Write the line of a request that is answered now, and hand it over."""
        self.exchanges.end(exchange)
        if exchange.status is not None and exchange.status >= 400:
            self._refused(exchange)  # before it is in a record, with its reason
        self.exchanges.hand_over(exchange)
        level = LogLevel.info
        if exchange.route in _ROUTINE:
            level = LogLevel.debug
        elif exchange.status is not None and exchange.status >= 500:
            level = LogLevel.error
        if level >= self._least:
            self._log.emit(level, "{exchange}", exchange=exchange)


def _shown(text: bytes) -> str:
    """Text of a client, escaped and shortened."""
    return printable(text[:_MAX_SHOWN].decode("ascii", "backslashreplace"))
