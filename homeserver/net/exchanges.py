"""All exchanges with other servers: each is opened here, and handed over in the end.

Rules: a component that begins an exchange opens it here, and closes it once.
"""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from homeserver.net.exchange import NO_ROUTE, Details, Direction, Exchange, Kind
from homeserver.net.wall_clock import wall_ts


class Exchanges:
    """Opens exchanges, and hands those that are over to the metrics and a record."""

    def __init__(
        self,
        clock: IReactorTime,
        observe: Callable[[Exchange], object] = lambda _: None,
    ) -> None:
        """`observe` takes each exchange that is over."""
        self.clock = clock
        self._observe = observe
        self.record: Callable[[Exchange], object] | None = None
        """Takes each exchange as well, with its details; None without a record."""

        self.route_of: Callable[[str], str] = lambda _: NO_ROUTE
        """Finds the template of the path of a request that is sent, for a record."""

    @property
    def details(self) -> Details | None:
        """The details of an exchange that begins now; None without a record."""
        if self.record is None:
            return None
        started_ts = wall_ts(self.clock)
        return Details(self.clock, started_ts, self.clock.seconds())

    def open(
        self,
        kind: Kind,
        direction: Direction,
        method: str = "",
        path: str = "",
    ) -> Exchange:
        """An exchange that begins now and is handed over when it is closed."""
        exchange = Exchange(
            kind,
            direction,
            "",
            method,
            path,
            "",
            self.clock.seconds(),
            self.close,
            self.details,
        )
        self._find_route(exchange)
        return exchange

    def close(self, exchange: Exchange) -> None:
        """Hand over an exchange that is over now."""
        self.end(exchange)
        self.hand_over(exchange)

    def end(self, exchange: Exchange) -> None:
        """Stop the time of an exchange, which is handed over later.

        What was on the wire of it is in its details from then on.
        """
        # Never negative, even if the clock was set back.
        exchange.seconds = max(0.0, self.clock.seconds() - exchange.began)
        if exchange.details is not None:
            exchange.details.read_copies(exchange)
        self._find_route(exchange)  # where the path was not known before

    def _find_route(self, exchange: Exchange) -> None:
        if self.record is None or exchange.route != NO_ROUTE or not exchange.path:
            return  # only a record shows the routes of what is sent
        if exchange.kind == "request" and exchange.direction == "out":
            exchange.route = self.route_of(exchange.path)

    def hand_over(self, exchange: Exchange) -> None:
        """Hand over an exchange whose time was stopped."""
        self._observe(exchange)
        if self.record is not None:
            self.record(exchange)
