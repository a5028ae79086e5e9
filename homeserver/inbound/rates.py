"""How much a client may ask for that costs us more than it costs the client.

Rules of the room: a client is known by its address alone. What is left to each is
bounded in memory; a client that is forgotten starts anew, which takes very many
addresses to make use of.
"""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from twisted.internet.interfaces import IReactorTime

from homeserver.protocol.errors import LimitExceeded

_MAX_CLIENTS = 10_000  # that are remembered: a megabyte or two


class TokenBuckets:
    """A bucket for each client, which fills again with time."""

    def __init__(self, size: int, per_second: float, clock: IReactorTime) -> None:
        self._size = size
        self._per_second = per_second
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str, tokens: int) -> None:
        """Take tokens from the bucket of who is at an IP address.

        Raises `LimitExceeded` if they are not there; then none is taken.
        """
        client, now = _client(address), self._clock.seconds()
        left, since = self._buckets.pop(client, (float(self._size), now))
        left = min(left + (now - since) * self._per_second, float(self._size))
        has_enough = left >= tokens
        self._buckets[client] = (left - tokens if has_enough else left, now)
        if len(self._buckets) > _MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if not has_enough:
            raise LimitExceeded(
                f"{address} asks for more than {self._per_second:g} servers a second",
                retry_after=ceil((tokens - left) / self._per_second),
            )


def _client(address: str) -> str:
    """Who is at an address: of IPv6, one subscriber has a whole /64."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is None:
        return str(ip_network((ip, 64), strict=False))
    return str(ip)
