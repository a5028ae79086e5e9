"""What all checks of a run stand on: the lab, and where the target is.

Rules: each check has names of its own, which no run gives twice: servers remember keys
by name. Requests to a target that somebody else runs are paced.

Specification: Server-server API, "Resolving server names".
"""

import secrets
from collections.abc import Coroutine, Sequence
from ipaddress import ip_address
from typing import Any, Literal, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from homeserver.conformance.addresses import Addresses
from homeserver.conformance.connection import Connection
from homeserver.conformance.members import Members
from homeserver.conformance.notary_desk import NotaryDesk
from homeserver.conformance.outcome import NotConnected
from homeserver.lab.lab import Lab
from homeserver.lab.servers.description import NewServers
from homeserver.lab.servers.server import LabServer
from homeserver.net.addresses import RefusedAddress, SocketAddress
from homeserver.net.cause import OURSELVES
from homeserver.outbound.discovery.resolver import Resolver
from homeserver.outbound.transport.budget import Allowance
from homeserver.outbound.transport.dialer import Dialer
from homeserver.outbound.transport.dialer import Target as DialTarget
from homeserver.outbound.transport.failures import NotDialled
from homeserver.protocol.discovery import LookupFailed, NotResolvable, Route
from homeserver.protocol.identifiers import ServerName

_T = TypeVar("_T")

Naming = Literal["zone", "localhost", "address"]
"""What our names are: below the zone, `localhost:PORT`, or `ADDRESS:PORT`."""


class Ground:
    """One run's lab and target."""

    def __init__(
        self,
        lab: Lab,
        resolver: Resolver,
        target: ServerName,
        address: SocketAddress | None,
    ) -> None:
        """`address` is where the target is, if that is not to be found."""
        self.lab = lab
        self.target = target
        self.clock: IReactorTime = lab.endpoint.parts.shared.reactor
        self.addresses = Addresses(
            lab.servers.shared.address, lab.endpoint.parts.listeners
        )
        self.desk = NotaryDesk()
        """Of our notaries; only a target that trusts one of them comes there."""

        self.members = Members()
        """Those of ours that are in rooms of the target."""

        self.naming: Naming = "zone"
        self.routes: Sequence[Route] = ()
        self.is_public = False
        """Whether the target has an address of the Internet."""

        self.seconds_between = 0.0
        """Between the beginnings of two requests."""

        self._resolver = resolver
        self._address = address
        self._run = secrets.token_hex(3)
        self._count = 0
        self._next = 0.0

    async def find(self) -> None:
        """Find the target; raises `NotConnected`."""
        if self._address is not None:
            where, name = self._address, self.target
            self.routes = [Route(where.host, where.port, name.name, name.host)]
        else:
            try:
                resolution = await self._resolver.resolve(self.target, OURSELVES)
            except NotResolvable as problem:
                raise NotConnected(str(problem)) from None
            self.routes = resolution.routes
        try:
            addresses = await self._dialer.addresses(self.routes[0].host, OURSELVES)
        except (LookupFailed, RefusedAddress) as problem:
            raise NotConnected(f"{self.target}: {problem}") from None
        self.is_public = any(ip_address(each).is_global for each in addresses)

    @property
    def _dialer(self) -> Dialer:
        return self.lab.endpoint.parts.shared.dialer

    def fresh(self, prefix: str = "c") -> str:
        """A text that no other check and no other run has."""
        self._count += 1
        return f"{prefix}{self._count}-{self._run}"

    def make(self, wanted: NewServers) -> LabServer:
        """Make a server of ours at once; raises `InvalidParam`."""
        return at_once(self.lab.servers.make_one(wanted))

    async def pace(self) -> None:
        """Wait until the next request may be made."""
        if not self.seconds_between:
            return
        now = self.clock.seconds()
        begin = max(now, self._next)
        self._next = begin + self.seconds_between
        if begin > now:
            await deferLater(self.clock, begin - now)

    async def connect(self, server: str = "", route: Route | None = None) -> Connection:
        """Connect to the target, by its first route that works; raises `NotConnected`.

        `server` is the name of ours that the record has with it.
        """
        problems: list[str] = []
        for each in self.routes if route is None else [route]:
            try:
                return await self._connect(server, each)
            except (LookupFailed, RefusedAddress, NotDialled) as problem:
                problems.append(f"{each}: {problem}")
        raise NotConnected("; ".join(problems) or "the target was not found")

    async def _connect(self, server: str, route: Route) -> Connection:
        dialer = self._dialer
        addresses = await dialer.addresses(route.host, OURSELVES)
        target = DialTarget(
            addresses,
            route.port,
            route.certificate_name,
            must_be_trusted=False,
            peer=self.target.name,
            server=server,
        )
        return Connection(await dialer.dial(target, Allowance()), self.clock)


def at_once(work: Coroutine[Deferred[Any], Any, _T]) -> _T:
    """The result of work that waits for nothing; raises what it raises."""
    try:
        work.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    work.close()
    raise RuntimeError("this work waits")
