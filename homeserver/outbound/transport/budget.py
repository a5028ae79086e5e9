"""What the requests of clients may make us spend on connections to other servers.

Rules: a step of finding or reaching a server is given an allowance; each connection is
taken from it before it is made, with the address that it leads to. Counted are the
names that clients have us look for, the clients, and the networks that connections lead
to; a client is known by its address, of IPv6 by the /64. What we want for ourselves is
not counted, nor what trusted clients cause. A connection counts until it is verified:
from then on its server is no stranger's invention.

A target's network has two budgets of one size, so that its servers stay within reach of
honest clients while others use up the first: one for all, one for clients that have
caused few connections lately. A client's own network is no third party.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import ClassVar, Literal

from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounds import Bound
from homeserver.net.cause import Cause
from homeserver.net.networks import network_of

# Of a well-known document, one website, or of the routes to a server: an IPv6 address
# and an IPv4 address, or two servers. Those that failed are tried last the next time.
STEP_CONNECTIONS = 2

# Of one name in a minute: its website, a redirect, its server, twice over. A handshake
# takes 1.6 kilobytes of ours.
_NAME_CONNECTIONS = 10
_NAME_BYTES = 20_000
_NAME_SECONDS = 60.0

# Of one client: the servers of a room, of which each takes two or three, and then those
# of an event now and then.
_CLIENT_CONNECTIONS = 600
_CLIENT_PER_SECOND = 10.0

# To one network, of all clients: hosting providers have hundreds of servers in one.
_TARGET_CONNECTIONS = 300
_TARGET_PER_SECOND = 5.0

# Of a client that "has caused few lately", in its own budget.
_FEW_CONNECTIONS = 10

_MAX_REMEMBERED = 10_000  # names, clients and networks each: a megabyte or two


class OverBudget(Exception):
    """A bound on what clients cause was reached; `str()` says which.

    It says nothing of the server that was to be found or reached.
    """

    reason: ClassVar[Literal["over_budget"]] = "over_budget"


class Allowance:
    """What one step may use; this one has no end."""

    is_limited = False

    @property
    def is_spent(self) -> bool:
        """Whether no connection is left."""
        return False

    def choose(self, addresses: Sequence[str]) -> Sequence[str]:
        """As many of the addresses, the first ones, as connections are left."""
        return addresses

    def take(self, address: str) -> None:
        """Take one connection, to an IP address; raises `OverBudget`."""

    def may_send(self, size: int) -> bool:
        """Whether so many bytes more may be sent before the peer is verified."""
        return True

    def end(self) -> None:
        """Count nothing more: the peer is verified."""


class Budgets:
    """Hands out allowances."""

    def __init__(self, clock: IReactorTime, trusts: Callable[[str], bool]) -> None:
        """`trusts` tells by its address whether a client has no budget."""
        self._clock = clock
        self._trusts = trusts
        self._names: OrderedDict[str, _Name] = OrderedDict()
        self._clients = _Buckets(_CLIENT_CONNECTIONS, _CLIENT_PER_SECOND)
        self._targets = _Buckets(_TARGET_CONNECTIONS, _TARGET_PER_SECOND)
        self._reserves = _Buckets(_TARGET_CONNECTIONS, _TARGET_PER_SECOND)
        self._by_name = Bound(
            "connections_by_name",
            "connections in a minute to find and reach one name for clients",
            _NAME_CONNECTIONS,
            self._most_of_a_name,
        )
        self._by_client = Bound(
            "connections_by_client",
            "connections to other servers that one client causes",
            _CLIENT_CONNECTIONS,
            lambda: self._clients.most_used(clock.seconds()),
        )
        self._by_target = Bound(
            "connections_by_target",
            "connections to one network that clients cause",
            _TARGET_CONNECTIONS,
            lambda: self._targets.most_used(clock.seconds()),
        )
        self.bounds = [self._by_name, self._by_client, self._by_target]

    def step(self, cause: Cause, name: str) -> Allowance:
        """The allowance of one step on the way to the server called `name`.

        Servers of one host at several ports, as test set-ups have them, are several.
        """
        if cause.client is None or self._trusts(cause.client):
            return Allowance()
        return _Limited(self, cause.client, name.lower())

    def take(self, client: str, server: str, address: str) -> None:
        """Count one connection to `address`; raises `OverBudget`."""
        now = self._clock.seconds()
        name = self._name(server, now)
        source, target = _client(client), network_of(address)
        if name.connections >= _NAME_CONNECTIONS:
            self._by_name.refuse()
            raise OverBudget(f"too many connections for {server} in a minute")
        if self._clients.left(source, now) < 1:
            self._by_client.refuse()
            raise OverBudget(f"too many connections for the client {client}")
        if network_of(client) != target:
            self._take_target(source, target, now)
        self._clients.take(source, now)
        name.connections += 1

    def may_send(self, server: str, size: int) -> bool:
        """Whether `size` bytes more may be sent for a name; then they are counted."""
        name = self._name(server, self._clock.seconds())
        if name.sent + size > _NAME_BYTES:
            self._by_name.refuse()
            return False
        name.sent += size
        return True

    def _take_target(self, source: str, target: str, now: float) -> None:
        used = _CLIENT_CONNECTIONS - self._clients.left(source, now)
        for budget in (self._targets, self._reserves):
            if budget.left(target, now) >= 1:
                budget.take(target, now)
                return
            if used >= _FEW_CONNECTIONS:
                break
        self._by_target.refuse()
        raise OverBudget(f"too many connections to the network {target} for clients")

    def _most_of_a_name(self) -> int:
        begun = self._clock.seconds() - _NAME_SECONDS
        now = (n.connections for n in self._names.values() if n.since > begun)
        return max(now, default=0)

    def _name(self, server: str, now: float) -> "_Name":
        name = self._names.get(server)
        if name is None or now - name.since >= _NAME_SECONDS:
            self._names.pop(server, None)
            name = self._names[server] = _Name(now)
            if len(self._names) > _MAX_REMEMBERED:
                self._names.popitem(last=False)
        return name


class _Name:
    """What a name has cost since some time."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.connections = 0
        self.sent = 0


class _Limited(Allowance):
    """The allowance of a step that a client causes."""

    is_limited = True

    def __init__(self, budgets: Budgets, client: str, server: str) -> None:
        self._left = STEP_CONNECTIONS
        self._budgets = budgets
        self._client = client
        self._server = server
        self._is_over = False

    @property
    def is_spent(self) -> bool:
        return self._left < 1

    def choose(self, addresses: Sequence[str]) -> Sequence[str]:
        return addresses[: self._left]

    def take(self, address: str) -> None:
        self._budgets.take(self._client, self._server, address)
        self._left -= 1

    def may_send(self, size: int) -> bool:
        return self._is_over or self._budgets.may_send(self._server, size)

    def end(self) -> None:
        self._is_over = True


class _Buckets:
    """Connections by key, which come back with time."""

    def __init__(self, size: int, per_second: float) -> None:
        self._size = size
        self._per_second = per_second
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def left(self, key: str, now: float) -> float:
        """What is left for a key."""
        level, since = self._levels.get(key, (float(self._size), now))
        return min(level + max(0.0, now - since) * self._per_second, self._size)

    def take(self, key: str, now: float) -> None:
        """Take one of what is left for a key."""
        left = self.left(key, now)
        self._levels.pop(key, None)
        self._levels[key] = (left - 1, now)
        if len(self._levels) > _MAX_REMEMBERED:
            self._levels.popitem(last=False)

    def most_used(self, now: float) -> int:
        """How much of a budget the key with the least left has used."""
        left = (self.left(key, now) for key in self._levels)
        return int(self._size - min(left, default=self._size))


def _client(address: str) -> str:
    """Who is at an address: of IPv6, one subscriber has a whole /64."""
    ip = ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else ip
    return network_of(address) if mapped is None else str(mapped)
