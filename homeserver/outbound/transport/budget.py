"""Budgets for the connections to other servers that the requests of clients cause.

Rules: each step of discovery or connecting has an allowance, and each connection is
taken from it, with its address, before it is made. Connections are counted by the name
of the server, by client, and by the network that they lead to; a client is an IPv4
address or the /64 of an IPv6 address. Connections for this server itself and for
trusted clients are not counted. Bytes are counted until the peer is verified: then the
name is not an invention of the client.

The network of a target has two budgets of one size: one for all clients, one for
clients that caused few connections lately, so that these still reach its servers when
the first budget is used up. Connections into a client's own network are not counted
there, because they harm no third party.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounded_map import BoundedMap
from homeserver.net.bounds import Bound
from homeserver.net.cause import Cause
from homeserver.net.networks import network_of, subscriber_of

# For a well-known document or for the routes to a server: an IPv6 and an IPv4 address,
# or two servers. Addresses that failed are tried last the next time.
STEP_CONNECTIONS = 2

# For one name in a minute: its website, a redirect and its server, all of it twice.
# A handshake takes 1.6 kilobytes that we send.
_NAME_CONNECTIONS = 10
_NAME_BYTES = 20_000
_NAME_SECONDS = 60.0

# For one client: the servers of a room, each with two or three connections, and later
# the servers of single events.
_CLIENT_CONNECTIONS = 600
_CLIENT_PER_SECOND = 10.0

# For one client as well: steps of discovery or connecting, each with its questions to
# the DNS, as a step that leads to no connection costs as much CPU time.
_CLIENT_STEPS = 2 * _CLIENT_CONNECTIONS

# To one network, for all clients: a hosting provider has hundreds of servers in one.
_TARGET_CONNECTIONS = 300
_TARGET_PER_SECOND = 5.0

# The connections of a client that counts as having caused few.
_FEW_CONNECTIONS = 10

_MAX_REMEMBERED = 10_000  # names, clients and networks each: a megabyte or two


class OverBudget(Exception):
    """A bound on connections for clients was reached; `str()` says which.

    It says nothing about the server to connect to.
    """

    reason: ClassVar[Literal["over_budget"]] = "over_budget"


class Allowance:
    """The connections that one step may make; here without a limit."""

    is_limited = False

    @property
    def is_spent(self) -> bool:
        """Whether no connection is left."""
        return False

    def choose(self, addresses: Sequence[str]) -> Sequence[str]:
        """The first addresses, as many as connections are left."""
        return addresses

    def take(self, address: str) -> None:
        """Take one connection to an IP address; raises `OverBudget`."""

    def may_send(self, size: int) -> bool:
        """Whether `size` more bytes may be sent before the peer is verified."""
        return True

    def end(self) -> None:
        """Stop counting, because the peer is verified."""


class Budgets:
    """Makes the allowances."""

    def __init__(
        self,
        clock: IReactorTime,
        trusts: Callable[[str], bool],
        workers: int = 1,
    ) -> None:
        """`trusts(address)` is whether the client at an IP address has no budget.

        Each of so many `workers` has its part, but all that one name needs.
        """
        self._clock = clock
        self._trusts = trusts
        self._names: BoundedMap[str, _Name] = BoundedMap(_MAX_REMEMBERED)
        self._of_client = _CLIENT_CONNECTIONS // workers
        of_target = _TARGET_CONNECTIONS // workers
        target_rate = _TARGET_PER_SECOND / workers
        self._clients = _Buckets(self._of_client, _CLIENT_PER_SECOND / workers)
        self._steps = _Buckets(_CLIENT_STEPS // workers, _CLIENT_PER_SECOND / workers)
        self._targets = _Buckets(of_target, target_rate)
        self._reserves = _Buckets(of_target, target_rate)
        self._by_name = Bound(
            "connections_by_name",
            "connections in a minute to find and reach one name for clients",
            _NAME_CONNECTIONS,
            self._most_of_a_name,
        )
        self._by_client = Bound(
            "connections_by_client",
            "connections to other servers that one client causes",
            self._of_client,
            lambda: self._clients.most_used(clock.seconds()),
        )
        self._by_step = Bound(
            "steps_by_client",
            "steps to find and reach other servers that one client causes",
            _CLIENT_STEPS // workers,
            lambda: self._steps.most_used(clock.seconds()),
        )
        self._by_target = Bound(
            "connections_by_target",
            "connections to one network that clients cause",
            of_target,
            lambda: self._targets.most_used(clock.seconds()),
        )
        self.bounds = [
            self._by_name,
            self._by_client,
            self._by_step,
            self._by_target,
        ]

    def step(self, cause: Cause, name: str) -> Allowance:
        """The allowance of one step towards the server called `name`.

        Several ports of one host, as in test set-ups, are several servers. Raises
        `OverBudget` before anything is asked for a client that causes too many steps.
        """
        if cause.client is None or self._trusts(cause.client):
            return Allowance()
        source, now = subscriber_of(cause.client), self._clock.seconds()
        if self._steps.left(source, now) < 1:
            self._by_step.refuse()
            raise OverBudget(f"too many servers are looked for for {cause.client}")
        self._steps.take(source, now)
        return _Limited(self, cause.client, name.lower())

    def take(self, client: str, server: str, address: str) -> None:
        """Count one connection to `address`; raises `OverBudget`."""
        now = self._clock.seconds()
        name = self._name(server, now)
        source, target = subscriber_of(client), network_of(address)
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
        """Whether `size` more bytes may be sent for a name; if so, they are counted."""
        name = self._name(server, self._clock.seconds())
        if name.sent + size > _NAME_BYTES:
            self._by_name.refuse()
            return False
        name.sent += size
        return True

    def _take_target(self, source: str, target: str, now: float) -> None:
        used = self._of_client - self._clients.left(source, now)
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
            name = self._names[server] = _Name(now)
        return name


class _Name:
    """The connections and bytes for a name since some time."""

    def __init__(self, since: float) -> None:
        self.since = since
        self.connections = 0
        self.sent = 0


class _Limited(Allowance):
    """The allowance of a step for a client."""

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
    """A token bucket for each key; a token is a connection."""

    def __init__(self, size: int, per_second: float) -> None:
        self._size = size
        self._per_second = per_second
        self._levels: BoundedMap[str, tuple[float, float]] = BoundedMap(_MAX_REMEMBERED)

    def left(self, key: str, now: float) -> float:
        """The tokens that are left for a key."""
        level, since = self._levels.get(key, (float(self._size), now))
        return min(level + max(0.0, now - since) * self._per_second, self._size)

    def take(self, key: str, now: float) -> None:
        """Take a token of a key."""
        self._levels[key] = (self.left(key, now) - 1, now)

    def most_used(self, now: float) -> int:
        """The tokens taken from the emptiest bucket."""
        left = (self.left(key, now) for key in self._levels)
        return int(self._size - min(left, default=self._size))
