"""Other servers as the control API meets them: found and reached as a test says."""

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.net.cause import Cause
from homeserver.net.exchange import Exchange
from homeserver.outbound.agent import OutgoingRequest
from homeserver.outbound.client import Delivery, FederationClient, Limits
from homeserver.outbound.discovery.dns import DnsLookups
from homeserver.outbound.discovery.kept_answers import KeptAnswers
from homeserver.outbound.discovery.resolver import Resolver
from homeserver.outbound.discovery.well_known import WellKnown
from homeserver.outbound.transport.budget import Budgets
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.dialer import Dialer
from homeserver.outbound.transport.response import Response
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.discovery import NotResolvable, Resolution, Route, Step
from homeserver.protocol.identifiers import ServerName
from tests.support.dns_records import ScriptedClient

LEAF = b"leaf"  # stands for the certificate of every other server


def link(server_name: ServerName) -> VerifiedConnection:
    """A connection to another server."""
    route = Route("192.0.2.9", 8448, server_name.name, server_name.host)
    return VerifiedConnection(
        route, "192.0.2.9", VerifiedPeer(server_name, "certificate", LEAF)
    )


class Carrier(FederationClient):
    """The way to other servers, which is as long as the test wants."""

    def __init__(self) -> None:
        self.sent: list[tuple[ServerName, str, Json]] = []
        """Where, under which ID, and what."""

        self.documents: dict[str, tuple[int, bytes]] = {}
        """What GET of a target is answered with: status and body."""

        self._arrivals: list[Deferred[Json]] = []

    async def send_transaction(
        self,
        destination: ServerName,
        txn_id: str,
        body: bytes,
        *,
        exchange: Exchange,
        slash: bool = False,
        connected: Callable[[VerifiedConnection], object] = lambda _: None,
    ) -> Delivery:
        """Carry a transaction until it arrives or is lost."""
        self.sent.append((destination, txn_id, parse_object(body)))
        arrival: Deferred[Json] = Deferred()
        self._arrivals.append(arrival)
        return Delivery(await arrival, link(destination))

    async def ask(
        self, server_name: ServerName, target: str, cause: Cause
    ) -> tuple[int, bytes, VerifiedConnection]:
        """Answer with what the test has put there."""
        if target not in self.documents:
            raise Unreachable(server_name, ["no route"])
        status, body = self.documents[target]
        return status, body, link(server_name)

    async def call(
        self,
        destination: ServerName,
        outgoing: OutgoingRequest,
        limits: Limits,
        cause: Cause,
        exchange: Exchange,
        connected: Callable[[VerifiedConnection], object] = lambda _: None,
    ) -> tuple[Response, VerifiedConnection]:
        """Lead nowhere."""
        raise Unreachable(destination, ["no route"])

    def arrive(self, reply: Json) -> None:
        """Let the first transaction on its way be answered with 200."""
        self._arrivals.pop(0).callback(reply)

    def lose(self, error: Exception) -> None:
        """Let the first transaction on its way not arrive."""
        self._arrivals.pop(0).errback(error)


class KnownRoutes(Resolver):
    """Discovery whose outcome the test knows."""

    def __init__(self, clock: Clock) -> None:
        self.outcomes: dict[str, Resolution | Exception] = {}
        self.dns = ScriptedClient()
        self.lookups = DnsLookups(self.dns.resolver, None, clock)
        self.documents = WellKnown(cast("Dialer", None), cast("Budgets", None), clock)
        self.kept = KeptAnswers(self.lookups, self.documents, ["_matrix._tcp"])

    async def resolve(self, name: ServerName, cause: Cause) -> Resolution:
        """The outcome for `name`."""
        unknown = NotResolvable("there is no such server here", [])
        outcome = self.outcomes.get(name.name, unknown)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def aliases(self, resolution: Resolution) -> list[Step]:
        """Of the targets in `a.test`, that they are aliases."""
        return [
            Step("srv", route.host, "is an alias")
            for route in resolution.routes
            if route.host.endswith(".a.test")
        ]


class FailedRoutes(set[ServerName]):
    """The servers of which a route has failed."""

    def forget(self, name: ServerName) -> bool:
        """Forget the routes to one server."""
        had_failed = name in self
        self.discard(name)
        return had_failed

    def forget_all(self) -> None:
        """Forget all."""
        self.clear()
