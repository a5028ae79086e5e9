"""The responses of one connection that are on their way out.

Rules: an exchange is closed once its response has left, or the connection has ended. A
record shows the bytes of a response that have left. They are copied where the
connection encrypts them, so that the copy includes all that a fault has changed.
"""

from collections.abc import Iterable
from functools import partial

from twisted.python.failure import Failure

from homeserver.http.closing import EndedByRule
from homeserver.net.exchange import Exchange
from homeserver.net.twisted_private import TlsConnection, when_sent


class LeavingResponses:
    """The exchanges whose responses have not left completely."""

    def __init__(self, transport: object) -> None:
        """`transport` is that of the connection."""
        self._transport = transport
        self._exchanges: list[Exchange] = []

    def copy(self, exchange: Exchange) -> None:
        """Copy what leaves from now on, if the exchange is recorded."""
        tls = self._transport
        if exchange.details is not None and isinstance(tls, TlsConnection):
            tls.copy = tls.copy or bytearray()

    def close(self, exchange: Exchange, status: int) -> None:
        """Close an exchange, whose response is written, once that has left."""
        exchange.status = status
        if exchange.details is None:
            exchange.close(status)
        else:
            self._exchanges.append(exchange)
            when_sent(self._transport, partial(self._close, exchange))

    def end(self, reason: Failure, answered: Iterable[Exchange]) -> None:
        """Close all exchanges: the connection has ended.

        `answered` are more of them, with responses that are not written to their end.
        """
        self._exchanges += answered
        for exchange in list(self._exchanges):
            if isinstance(reason.value, EndedByRule):
                exchange.reason, exchange.error = "rule", str(reason.value)
                exchange.status = None  # unless its head has left
            else:
                exchange.is_gone = True
            self._close(exchange)

    def _close(self, exchange: Exchange) -> None:
        self._exchanges.remove(exchange)
        tls = self._transport
        if exchange.details is not None and isinstance(tls, TlsConnection):
            exchange.details.sent, tls.copy = tls.copy or bytearray(), bytearray()
        exchange.close(exchange.status)
