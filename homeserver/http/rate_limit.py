"""Rate limits for requests that cost us more than they cost the client.

Rules: a client is identified by its address. The number of remembered clients is
bounded; a forgotten client starts with a full bucket, which only an attacker with very
many addresses can use.
"""

from collections.abc import Callable
from math import ceil

from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounded_map import BoundedMap
from homeserver.net.bounds import Bound
from homeserver.net.networks import subscriber_of
from homeserver.protocol.errors import LimitExceeded

_MAX_CLIENTS = 10_000  # remembered: a megabyte or two


class TokenBuckets:
    """A token bucket for each client."""

    def __init__(
        self,
        size: int,
        per_second: float,
        clock: IReactorTime,
        what: str = "servers",
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """A token pays for one of `what`; clients that `trusts` names need none."""
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
        """Take tokens from the bucket of a client, by its IP address.

        Raises `LimitExceeded` if there are too few; then none is taken.
        """
        if not self._trusts(address):
            self._put(address, self._demand(address, tokens) - tokens)

    def check(self, address: str) -> None:
        """Raise `LimitExceeded` if the bucket has no token."""
        if not self._trusts(address):
            self._demand(address, 1)

    def charge(self, address: str, tokens: int) -> None:
        """Take tokens for work that is done; missing ones become a debt.

        The debt is at most a full bucket.
        """
        if not self._trusts(address):
            left = self._left(address) - tokens
            self._put(address, max(float(-self._size), left))

    def _demand(self, address: str, tokens: int) -> float:
        """The tokens in a bucket; raises `LimitExceeded` if there are fewer."""
        left = self._left(address)
        if left < tokens:
            self.bound.refuse()
            self._put(address, left)  # a client that keeps asking is remembered
            raise LimitExceeded(
                f"{address} asks for more than {self._per_second:g} {self._what} a "
                "second",
                retry_after=ceil((tokens - left) / self._per_second),
            )
        return left

    def _left(self, address: str) -> float:
        """The tokens in a bucket now; an unknown client has a full one."""
        bucket = self._buckets.get(subscriber_of(address))
        if bucket is None:
            return float(self._size)
        left, since = bucket
        left += (self._clock.seconds() - since) * self._per_second
        return min(left, float(self._size))

    def _put(self, address: str, left: float) -> None:
        self._buckets[subscriber_of(address)] = (left, self._clock.seconds())
