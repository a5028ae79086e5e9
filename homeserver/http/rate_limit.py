"""How much a client may ask for that costs us more than it costs the client.

Rules of the room: a client is known by its address alone. What is left to each is
bounded in memory; a client that is forgotten starts anew, which takes very many
addresses to make use of.
"""

from collections.abc import Callable
from math import ceil

from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounded_map import BoundedMap
from homeserver.net.bounds import Bound
from homeserver.net.networks import subscriber_of
from homeserver.protocol.errors import LimitExceeded

_MAX_CLIENTS = 10_000  # that are remembered: a megabyte or two


class TokenBuckets:
    """A bucket for each client, which fills again with time."""

    def __init__(
        self,
        size: int,
        per_second: float,
        clock: IReactorTime,
        what: str = "servers",
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """A token is for one of `what`; clients that `trusts` names need none."""
        self._size = size
        self._per_second = per_second
        self._clock = clock
        self._what = what
        self._trusts = trusts
        self._buckets: BoundedMap[str, tuple[float, float]] = BoundedMap(_MAX_CLIENTS)
        self.bound = Bound(
            f"clients_by_{what.replace(' ', '_')}",
            f"clients whose {what} are counted",
            _MAX_CLIENTS,
            self._buckets.__len__,
        )

    def take(self, address: str, tokens: int) -> None:
        """Take tokens from the bucket of who is at an IP address.

        Raises `LimitExceeded` if they are not there; then none is taken.
        """
        if not self._trusts(address):
            self._put(address, self._demand(address, tokens) - tokens)

    def check(self, address: str) -> None:
        """Raise `LimitExceeded` where one token could not be taken."""
        if not self._trusts(address):
            self._demand(address, 1)

    def charge(self, address: str, tokens: int) -> None:
        """Take tokens for what was done already; those that are not there are owed.

        No more is owed than a full bucket has.
        """
        if not self._trusts(address):
            left = self._fill(address) - tokens
            self._put(address, max(float(-self._size), left))

    def _demand(self, address: str, tokens: int) -> float:
        """The tokens in a bucket; `LimitExceeded` if they are fewer than these."""
        left = self._fill(address)
        if left < tokens:
            self.bound.refuse()
            raise LimitExceeded(
                f"{address} asks for more than {self._per_second:g} {self._what} a "
                "second",
                retry_after=ceil((tokens - left) / self._per_second),
            )
        return left

    def _fill(self, address: str) -> float:
        """The tokens that are left in a bucket, which is the youngest from now on."""
        client, now = subscriber_of(address), self._clock.seconds()
        left, since = self._buckets.get(client, (float(self._size), now))
        left = min(left + (now - since) * self._per_second, float(self._size))
        self._buckets[client] = (left, now)
        return left

    def _put(self, address: str, left: float) -> None:
        self._buckets[subscriber_of(address)] = (left, self._clock.seconds())
