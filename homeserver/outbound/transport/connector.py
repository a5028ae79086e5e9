"""From routes to one verified connection.

Rules: after a failed connection or verification, the next address and the next route
are tried. Every failed attempt is reported to the operator in full; peers get a version
without addresses and their behaviour.

Specification: Server-server API, "Resolving server names".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.internet.interfaces import IReactorTime

from homeserver.net.addresses import RefusedAddress
from homeserver.net.bounded_map import BoundedMap, SharedLimit
from homeserver.net.cause import Cause
from homeserver.net.handled import handled
from homeserver.net.tls.certificate import Certificate
from homeserver.outbound.transport.budget import Allowance, Budgets, OverBudget
from homeserver.outbound.transport.connection import PeerConnection
from homeserver.outbound.transport.dialer import Dialer, Target, without
from homeserver.outbound.transport.failures import (
    PUBLIC_TEXTS,
    AttemptReason,
    NotDialled,
    NotVerified,
    UnreachableReason,
)
from homeserver.outbound.transport.verification import Verifier
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.discovery import LookupFailed, Resolution, Route
from homeserver.protocol.errors import Explanation
from homeserver.protocol.identifiers import ServerName

# Characters: enough for twenty routes, but not with eight addresses each.
_MAX_TEXT = 4000

# For how long a route that failed is tried last: the time in which a server restarts,
# without a time-out for each request meanwhile.
_AVOIDED_SECONDS = 60.0

MAX_AVOIDED = 10_000  # peers choose the routes; a megabyte or two


class Unreachable(Exception):
    """A server gave no answer; `attempts` has a line for each attempt."""

    def __init__(
        self,
        destination: ServerName,
        attempts: Sequence[str],
        reason: UnreachableReason = "not_verified",
        conflict: str | None = None,
        reasons: Sequence[AttemptReason] = (),
    ) -> None:
        """`conflict` says how the server contradicts what is stored of it, if it does.

        `reasons` has a code for each attempt, and for a peer that was not verified,
        one for each check that failed.
        """
        super().__init__(_describe(destination, attempts))
        self.destination = destination
        self.attempts = attempts
        self.reason = reason
        self.conflict = conflict
        self.reasons = reasons

    @property
    def explanation(self) -> Explanation:
        """For peers without the attempts, for the operator with them."""
        return Explanation(
            PUBLIC_TEXTS[self.reason].format(self.destination), str(self)
        )


class VerifiedConnection(Struct, frozen=True):
    """A verified connection: its route, its address and its verified peer."""

    route: Route
    address: str
    """The IP address that was connected to."""

    peer: VerifiedPeer
    is_recorded: bool = False
    """Whether the peer is stored; one that was reached for a client is not."""


class Connector:
    """Makes verified connections."""

    def __init__(
        self,
        dialer: Dialer,
        verifier: Verifier,
        budgets: Budgets,
        clock: IReactorTime,
        certificate: Callable[[], Certificate | None] = lambda: None,
        avoided: int | SharedLimit = MAX_AVOIDED,
    ) -> None:
        """`certificate` is the client certificate of the next connection.

        `avoided` limits the routes that are remembered as failed.
        """
        self._dialer = dialer
        self._verifier = verifier
        self._budgets = budgets
        self._clock = clock
        self.certificate = certificate
        self._sni: str | None = None
        # By name, host or address, and port.
        self._avoided: BoundedMap[tuple[ServerName, str, int], float]
        self._avoided = BoundedMap(avoided)

    def asking_for(self, sni: str) -> "Connector":
        """A connector whose handshakes ask for another host."""
        other = Connector(
            self._dialer, self._verifier, self._budgets, self._clock, self.certificate
        )
        other._sni = sni
        return other

    async def connect(
        self, resolution: Resolution, cause: Cause, server: str = ""
    ) -> tuple[PeerConnection, VerifiedConnection]:
        """A connection by the first route that leads to the right server.

        `server` is our name. Routes that failed lately are tried last. For a client,
        few are tried. Raises `Unreachable`.
        """
        name = resolution.server_name
        try:
            allowance = self._budgets.step(cause, name.name)
        except OverBudget as problem:
            raise Unreachable(
                name, [str(problem)], "over_budget", reasons=[problem.reason]
            ) from None
        tried = _Tried(cause, allowance, server)
        routes = sorted(
            resolution.routes,
            key=lambda route: self._is_avoided(name, route.host, route.port),
        )
        for route in routes:
            if allowance.is_spent:
                tried.add(route, "not tried, as a client causes it", "not_tried")
                continue
            try:
                made = await self._follow(name, route, tried)
            except OverBudget as problem:
                tried.add(route, problem, problem.reason)
                raise tried.failure(name, "over_budget") from None
            if made is not None:
                allowance.end()
                self._avoided.pop((name, route.host, route.port), None)
                return made
            self._avoid(name, route.host, route.port)
        raise tried.failure(name, "not_verified")

    async def _follow(
        self, name: ServerName, route: Route, tried: "_Tried"
    ) -> tuple[PeerConnection, VerifiedConnection] | None:
        """A connection by one route; None if it failed, after adding to `tried`."""
        try:
            found = await self._dialer.addresses(route.host, tried.cause)
        except (LookupFailed, RefusedAddress) as problem:
            tried.add(route, problem, problem.reason)
            return None
        has_failed = False
        addresses = sorted(
            found, key=lambda each: self._is_avoided(name, each, route.port)
        )
        while addresses and not tried.allowance.is_spent:
            chosen = tried.allowance.choose(addresses)
            try:
                return await self._try(name, route, chosen, tried)
            except NotDialled as failed:
                has_failed = True
                tried.add(route, handled(failed), *failed.reasons)
                tried.conflict = tried.conflict or failed.conflict
                for each in chosen if failed.address is None else [failed.address]:
                    self._avoid(name, each, route.port)
                addresses = without(addresses, failed)
            except CancelledError:
                # Time is up. The next request must not spend its time here again.
                if has_failed:
                    self._avoid(name, route.host, route.port)
                raise
        return None

    async def record(self, connection: VerifiedConnection) -> VerifiedConnection:
        """Record the peer of a connection, if needed; raises `NotVerified`."""
        if not connection.is_recorded:
            await self._verifier.record(connection.peer)
        return replace(connection, is_recorded=True)

    def forget(self, name: ServerName) -> bool:
        """Forget which routes to a server failed; returns whether any had."""
        failed = [key for key in self._avoided if key[0] == name]
        for key in failed:
            del self._avoided[key]
        return bool(failed)

    def forget_all(self) -> None:
        """Forget which routes failed."""
        self._avoided.clear()

    def _is_avoided(self, name: ServerName, host: str, port: int) -> bool:
        return self._avoided.get((name, host, port), 0.0) > self._clock.seconds()

    def _avoid(self, name: ServerName, host: str, port: int) -> None:
        self._avoided[name, host, port] = self._clock.seconds() + _AVOIDED_SECONDS

    async def _needs_certificate(self, name: ServerName) -> bool:
        """Whether the handshake must fail with a certificate that proves nothing.

        A certificate that the operator has pinned need not prove anything.
        """
        if "key-document" in self._verifier.methods:
            return False
        return await self._verifier.pins.find(name) is None

    async def _try(
        self,
        name: ServerName,
        route: Route,
        addresses: Sequence[str],
        tried: "_Tried",
    ) -> tuple[PeerConnection, VerifiedConnection]:
        dialled = await self._dialer.dial(
            Target(
                addresses,
                route.port,
                route.certificate_name,
                await self._needs_certificate(name),
                name.name,
                tried.server,
                self.certificate(),
                self._sni,
            ),
            tried.allowance,
        )
        wire, where = dialled.connection, dialled.address
        try:
            peer = await self._verifier.verify(name, route, dialled.handshake, wire)
            connection = VerifiedConnection(route, where, peer)
            if tried.cause.is_ours:
                connection = await self.record(connection)
        except NotVerified as problem:
            wire.abort()
            why = f"{where} is not verified: {problem}"
            raise NotDialled("not_verified", why, where, problem) from None
        except BaseException:
            wire.abort()
            raise
        if wire.is_closing:
            wire.abort()
            why = f"{where} ended the connection while it was verified"
            raise NotDialled("ended", why, where)
        return wire, connection


@dataclass
class _Tried:
    """The failed attempts, with their cause and allowance."""

    cause: Cause
    allowance: Allowance
    server: str
    """Our name."""

    attempts: list[str] = field(default_factory=list)
    reasons: list[AttemptReason] = field(default_factory=list)
    conflict: str | None = None
    """How a peer contradicted what is stored of the server, if one did."""

    def add(self, route: Route, problem: object, *reasons: AttemptReason) -> None:
        """Add one attempt and its reason codes."""
        self.attempts.append(f"{route}: {problem}")
        self.reasons += reasons

    def failure(self, name: ServerName, reason: UnreachableReason) -> Unreachable:
        """The error after the last attempt."""
        if set(self.reasons) == {"no_address"}:
            reason = "no_address"
        return Unreachable(name, self.attempts, reason, self.conflict, self.reasons)


def _describe(destination: ServerName, attempts: Sequence[str]) -> str:
    text = f"{destination} cannot be reached: " + "; ".join(attempts)
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 3] + "..."
