"""The connections to one listener, counted in all and by client.

Rules: at a limit, the connection that has waited longest for a request is closed: one
of the client that is at its own limit, or of the client with the most connections. A
connection whose request is being answered is never closed. A client is an IPv4 address,
or a /64 of IPv6.
"""

from collections.abc import Callable
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounds import Bound
from homeserver.net.networks import subscriber_of

# An honest client sends its request after a round trip or two.
_SILENT_SECONDS = 2.0


class Waiting(Protocol):
    """A connection."""

    @property
    def waiting_since(self) -> float | None:
        """When the wait for the next request began; None while one is answered."""
        ...

    def give_way(self) -> None:
        """Close at once."""
        ...


class Connections:
    """The connections to one listener."""

    def __init__(
        self,
        listener: str,
        limit: int,
        clock: IReactorTime,
        limit_per_client: int | None = None,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`limit_per_client` does not hold for the clients that `trusts` names.

        Their connections count towards `limit`, and are never closed for others.
        """
        self._limit_per_client = limit if limit_per_client is None else limit_per_client
        self._trusts = trusts
        self._clock = clock
        self._clients: dict[Waiting, str] = {}
        # When each of them began, the oldest first.
        self._by_client: dict[str, dict[Waiting, float]] = {}
        self.bound = Bound(
            f"{listener}_connections",
            f"connections to the {listener} listener",
            limit,
            self._clients.__len__,
        )

    def admit(self, address: str) -> bool:
        """Whether a client may connect; another connection may be closed for it."""
        client = self._client(address)
        own = 0 if client == _TRUSTED else len(self._by_client.get(client, ()))
        if own >= self._limit_per_client:
            self.bound.refuse()
            return self._displace(client)
        if self.bound.is_reached:
            self.bound.refuse()
            largest = max(
                (each for each in self._by_client if each != _TRUSTED),
                key=lambda each: len(self._by_client[each]),
                default=client,
            )
            # A client with as many connections displaces only its own.
            is_largest = 0 < own >= len(self._by_client[largest])
            return self._displace(client if is_largest else largest)
        return True

    def add(self, connection: Waiting, address: str) -> None:
        """Count a connection that was admitted."""
        client = self._client(address)
        self._clients[connection] = client
        self._by_client.setdefault(client, {})[connection] = self._clock.seconds()

    def remove(self, connection: Waiting) -> None:
        """Stop counting a connection, if it is still counted."""
        client = self._clients.pop(connection, None)
        if client is not None:
            del self._by_client[client][connection]
            if not self._by_client[client]:
                del self._by_client[client]

    def _client(self, address: str) -> str:
        return _TRUSTED if self._trusts(address) else subscriber_of(address)

    def _displace(self, client: str) -> bool:
        """Close the longest waiting connection of a client; returns whether one was."""
        longest, least = None, self._clock.seconds() - _SILENT_SECONDS
        for connection, began in self._by_client.get(client, {}).items():
            if began > least:
                break  # neither it nor a later one has waited for longer
            since = connection.waiting_since
            if since is None or since > least:
                continue
            if longest is None or since < least:
                longest, least = connection, since
        if longest is None:
            return False
        self.remove(longest)
        longest.give_way()
        return True


_TRUSTED = "trusted"  # all trusted clients together
