"""From a host to a TLS connection, at an address that may be connected to.

Rules: the addresses that were checked are the addresses that are connected to; a name
is not looked up again in between. The peer is not verified here, unless the handshake
demands a trusted certificate.

Specification: RFC 8305 for trying several addresses.
"""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from itertools import zip_longest
from typing import cast

from msgspec import Struct
from OpenSSL import SSL
from twisted.internet import defer, error
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
)
from twisted.internet.interfaces import (
    IDelayedCall,
    IStreamClientEndpoint,
)
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure

from homeserver.net.addresses import AddressPolicy
from homeserver.net.cause import Cause
from homeserver.net.connection_errors import describe
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.time_limit import within
from homeserver.net.tls.certificate import Certificate
from homeserver.net.tls.client import Handshake
from homeserver.net.tls.facts import facts_of
from homeserver.net.twisted_private import TlsConnection
from homeserver.outbound.transport.budget import Allowance
from homeserver.outbound.transport.connection import PeerConnection
from homeserver.outbound.transport.failures import NotDialled
from homeserver.outbound.transport.known_addresses import KnownAddresses

_MAX_ADDRESSES = 8  # more than servers have; a DNS answer may have hundreds

_CONNECT_SECONDS = 10.0  # usual between Matrix servers since 2014
_CLOSING_SECONDS = 5.0  # for a peer to complete the closing of a connection
_HANDSHAKE_SECONDS = 10.0  # a round trip or two, and a signature on a slow machine


def without(addresses: Sequence[str], failed: NotDialled) -> list[str]:
    """The addresses that are left to try after one has failed.

    None are left if there was no connection at all, or if the system reports an
    address that is not among them: the number must shrink each time.
    """
    left = [each for each in addresses if each != failed.address]
    return left if len(left) < len(addresses) else []


class Target(Struct, frozen=True):
    """Where a connection leads, and whose it is."""

    addresses: Sequence[str]
    port: int
    certificate_name: str
    must_be_trusted: bool
    """Whether only a trusted certificate for that name completes the handshake."""

    peer: str
    """The server name or the host that is connected to."""

    server: str = ""
    """Our name; empty where no server of ours is named."""

    certificate: Certificate | None = None
    """The client certificate for a peer that asks for one."""

    sni: str | None = None
    """The host that the handshake asks for; None for the name in the certificate."""


class Dialled(Struct, frozen=True):
    """A TLS connection after its handshake."""

    connection: PeerConnection
    handshake: Handshake
    address: str
    """The IP address that it leads to."""


class Dialer:
    """Connects to hosts."""

    def __init__(
        self,
        reactor: PosixReactorBase,
        look_up: Callable[[str, Cause], Awaitable[Sequence[str]]],
        policy: AddressPolicy,
        context: Callable[[Certificate | None], SSL.Context],
        exchanges: Exchanges | None = None,
        aim: Callable[[Target], Target] = lambda target: target,
    ) -> None:
        """`look_up` returns the IP addresses of a host, or raises `LookupFailed`.

        `context` makes that of a connection which shows a client certificate, or none.
        `exchanges` has each connection, with its handshake. `aim` may change where a
        connection leads, and what it shows.
        """
        self._aim = aim
        self._reactor = reactor
        self._look_up = look_up
        self._policy = policy
        self._context = context
        self.exchanges = exchanges or Exchanges(reactor)

    async def addresses(self, host: str, cause: Cause) -> list[str]:
        """The addresses of `host` that may be connected to; at least one, each once.

        Raises `LookupFailed`, and `RefusedAddress` if every address is refused.
        """
        unique = self._policy.allowed(await self._look_up(host, cause))
        # Both families alternate (RFC 8305, section 4), so that many addresses of one
        # leave room for the other.
        pairs = zip_longest(
            [each for each in unique if ":" in each],
            [each for each in unique if ":" not in each],
        )
        found = [each for pair in pairs for each in pair if each][:_MAX_ADDRESSES]
        cause.aim(found)
        return found

    async def dial(self, target: Target, allowance: Allowance) -> Dialled:
        """Connect to the first of the target's addresses that answers.

        Raises `NotDialled`, and `OverBudget` if `allowance` has no connection left.
        """
        target = self._aim(target)
        exchange = self.exchanges.open("connection", "out")
        exchange.peer, exchange.server = target.peer, target.server
        exchange.via = f"{target.certificate_name}:{target.port}"
        try:
            return await self._dial(target, allowance, exchange)
        except NotDialled as problem:
            exchange.reason, exchange.error = problem.reason, str(problem)
            raise
        finally:
            exchange.close()

    async def _dial(
        self, target: Target, allowance: Allowance, exchange: Exchange
    ) -> Dialled:
        handshake = Handshake(
            self._context(target.certificate),
            target.certificate_name,
            must_be_trusted=target.must_be_trusted,
            certificate=target.certificate,
            sni=target.sni,
        )
        factory = _TlsFactory(handshake, self._reactor)
        addresses = allowance.choose(target.addresses)
        endpoint = self._endpoint(addresses, target.port, allowance)
        try:
            tls = cast("TLSMemoryBIOProtocol", await endpoint.connect(factory))
        except error.ConnectingCancelledError:
            # `addTimeout` recognizes only `CancelledError`.
            raise defer.CancelledError from None
        except (error.ConnectError, defer.TimeoutError, OSError) as problem:
            why = f"cannot connect: {describe(problem)}"
            raise NotDialled("not_connected", why) from None
        where = exchange.address = str(ip_address(tls.getPeer().host))
        exchange.mark("connection")
        connection = cast("PeerConnection", tls.wrappedProtocol)
        connection.own_name, connection.address = target.server, where
        try:
            await within(_HANDSHAKE_SECONDS, self._reactor, connection.handshake)
        except (SSL.Error, error.ConnectionClosed, defer.TimeoutError) as problem:
            exchange.result = "failed"
            connection.abort()
            why = handshake.refusal or describe(problem)
            why = f"{where}: TLS handshake failed: {why}"
            raise NotDialled("handshake_failed", why, where) from None
        except BaseException:
            connection.abort()
            raise
        exchange.result = "completed"
        exchange.mark("handshake")
        if exchange.details is not None:
            exchange.details.tls = facts_of(tls)
        return Dialled(connection, handshake, where)

    def _endpoint(
        self, addresses: Sequence[str], port: int, allowance: Allowance
    ) -> IStreamClientEndpoint:
        reactor = KnownAddresses(self._reactor, addresses, allowance)
        if len(addresses) == 1:
            # A race needs a quarter of the CPU time of a connection that fails.
            [address] = addresses
            kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            return kind(reactor, address, port, _CONNECT_SECONDS)
        # `KnownAddresses` ignores the name; the endpoint would reject some names that
        # servers may have.
        return HostnameEndpoint(reactor, "peer.invalid", port, _CONNECT_SECONDS)


class _Tls(TlsConnection):
    """TLS that waits only a short time for the peer to close the connection."""

    factory: "_TlsFactory"
    _aborting: IDelayedCall | None = None

    def loseConnection(self) -> None:
        """Close the connection; abort it if the peer does not close it in time."""
        super().loseConnection()
        # A pool also closes connections that are closed already.
        if self.connected and self._aborting is None:
            self._aborting = self.factory.reactor.callLater(
                _CLOSING_SECONDS, self.abortConnection
            )

    def stopProducing(self) -> None:
        """Abort the connection: the reader of a response wants no more of it.

        The `stopProducing` of TCP would wait until the peer has read everything.
        """
        TLSMemoryBIOProtocol.abortConnection(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """As `Protocol`."""
        if self._aborting is not None and self._aborting.active():
            self._aborting.cancel()
        super().connectionLost(reason)


class _TlsFactory(TLSMemoryBIOFactory):
    """Makes one TLS connection around a `PeerConnection`."""

    noisy = False
    protocol = _Tls

    def __init__(self, handshake: Handshake, reactor: PosixReactorBase) -> None:
        super().__init__(handshake, True, _PeerFactory(), reactor)  # noqa: FBT003
        self.reactor = reactor


class _PeerFactory(Factory):
    """Makes the protocol that runs inside TLS."""

    noisy = False
    protocol = PeerConnection
