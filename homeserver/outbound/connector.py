"""From routes to one verified connection.

Rules of the room: the addresses that were checked are the addresses that are
connected to; a name is not looked up again in between. The next address and the next
route are tried where connecting or verifying failed. What was tried, and why it
failed, is told in full.

Specification: Server-server API, "Resolving server names"; RFC 8305.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from OpenSSL import SSL
from twisted.internet import address, defer, error
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
)
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from homeserver.addresses import AddressPolicy, RefusedAddress
from homeserver.outbound.connection import PeerConnection, describe
from homeserver.outbound.resolver import Resolver
from homeserver.outbound.tls import Handshake
from homeserver.outbound.verification import NotVerified, VerifiedPeer, Verifier
from homeserver.protocol.discovery import LookupFailed, Resolution, Route
from homeserver.protocol.names import ServerName

_CONNECT_SECONDS = 10.0  # what Matrix servers have given each other since 2014
_HANDSHAKE_SECONDS = 10.0  # a round trip or two, and a signature on a slow machine


class Unreachable(Exception):
    """We got no answer from a server; `attempts` has a line for each thing tried."""

    def __init__(self, destination: ServerName, attempts: Sequence[str]) -> None:
        super().__init__(f"{destination} cannot be reached: " + "; ".join(attempts))
        self.destination = destination
        self.attempts = attempts


@dataclass(frozen=True, slots=True)
class Link:
    """A verified connection: where it leads, and how that is known."""

    route: Route
    address: str
    """The IP address that was connected to."""

    peer: VerifiedPeer


class Connector:
    """Makes verified connections."""

    def __init__(
        self,
        reactor: PosixReactorBase,
        resolver: Resolver,
        policy: AddressPolicy,
        verifier: Verifier,
        context: Callable[[], SSL.Context],
    ) -> None:
        """`context` is asked anew for each connection: our certificate may change."""
        self._reactor = reactor
        self._resolver = resolver
        self._policy = policy
        self._verifier = verifier
        self._context = context

    async def connect(self, resolution: Resolution) -> tuple[PeerConnection, Link]:
        """A connection to the first route that leads to who it should lead to.

        Raises `Unreachable`.
        """
        attempts: list[str] = []
        for route in resolution.routes:
            try:
                addresses = await self._allowed_addresses(route.host)
            except (LookupFailed, RefusedAddress) as problem:
                attempts.append(f"{route}: {problem}")
                continue
            while addresses:
                try:
                    return await self._try(resolution.server_name, route, addresses)
                except _Failed as failed:
                    attempts.append(f"{route}: {failed}")
                    # One that was not reached at all speaks for all of them.
                    addresses = [a for a in addresses if failed.address not in {a, ""}]
        raise Unreachable(resolution.server_name, attempts)

    async def _allowed_addresses(self, host: str) -> list[str]:
        """The addresses of `host` that may be connected to; at least one.

        These very addresses are connected to: no second look-up could say otherwise.
        """
        allowed: list[str] = []
        refusal: RefusedAddress | None = None
        for each in await self._resolver.addresses(host):
            try:
                self._policy.check(each)
            except RefusedAddress as problem:
                refusal = problem
            else:
                allowed.append(each)
        if refusal is not None and not allowed:
            raise refusal
        return allowed

    async def _try(
        self, name: ServerName, route: Route, addresses: Sequence[str]
    ) -> tuple[PeerConnection, Link]:
        handshake = Handshake(
            self._context(),
            route.certificate_name,
            must_be_trusted=self._verifier.needs_certificate,
        )
        factory = TLSMemoryBIOFactory(
            handshake,
            isClient=True,
            wrappedFactory=_PeerFactory(),
            clock=self._reactor,
        )
        endpoint = HostnameEndpoint(
            _Known(self._reactor, addresses), route.host, route.port, _CONNECT_SECONDS
        )
        try:
            tls = cast("TLSMemoryBIOProtocol", await endpoint.connect(factory))
        except (error.ConnectError, defer.TimeoutError, OSError) as problem:
            raise _Failed("", f"cannot connect: {describe(problem)}") from None
        where = tls.getPeer().host
        connection = cast("PeerConnection", tls.wrappedProtocol)
        try:
            await connection.handshake.addTimeout(_HANDSHAKE_SECONDS, self._reactor)
            peer = await self._verifier.verify(name, route, handshake, connection)
        except NotVerified as problem:
            connection.abort()
            raise _Failed(where, f"{where} is not verified: {problem}") from None
        except (SSL.Error, error.ConnectionClosed, defer.TimeoutError) as problem:
            connection.abort()
            why = handshake.refusal or describe(problem)
            raise _Failed(where, f"{where}: TLS handshake failed: {why}") from None
        except BaseException:
            connection.abort()
            raise
        return connection, Link(route, where, peer)


class _PeerFactory(Factory):
    """Makes the protocol that runs inside TLS."""

    noisy = False
    protocol = PeerConnection


class _Failed(Exception):
    """A connection was not to be had; `address` is empty where none was made."""

    def __init__(self, address: str, why: str) -> None:
        super().__init__(why)
        self.address = address


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class _Known:
    """A reactor for `HostnameEndpoint` that knows which addresses to try.

    The endpoint has the "happy eyeballs" of RFC 8305; the addresses were looked up
    and checked before.
    """

    def __init__(self, reactor: PosixReactorBase, addresses: Sequence[str]) -> None:
        self._reactor = reactor
        self._addresses = addresses
        self.nameResolver = self

    def __getattr__(self, name: str) -> object:
        return getattr(self._reactor, name)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """There is nothing to install: there is nothing to look up."""
        raise NotImplementedError

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Resolve every name to the known addresses, at once."""
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        for each in self._socket_addresses(portNumber):
            resolutionReceiver.addressResolved(each)
        resolutionReceiver.resolutionComplete()
        return resolution

    def _socket_addresses(
        self, port: int
    ) -> Iterator[address.IPv4Address | address.IPv6Address]:
        for host in self._addresses:
            kind = address.IPv6Address if ":" in host else address.IPv4Address
            yield kind("TCP", host, port)


@implementer(IHostResolution)
@dataclass
class _Resolution:
    name: str

    def cancel(self) -> None:
        pass
