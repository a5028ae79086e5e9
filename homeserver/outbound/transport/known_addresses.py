"""A reactor for `HostnameEndpoint` that connects to given addresses only.

Rules: the addresses were looked up and checked before. Each connection is taken from an
allowance before it is made; if the allowance is limited, the bytes sent are counted.

Specification: RFC 8305, which `HostnameEndpoint` implements.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from twisted.internet import address
from twisted.internet.interfaces import (
    IConnector,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    ITCPTransport,
)
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import ClientFactory
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from homeserver.outbound.transport.budget import Allowance


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class KnownAddresses:
    """A reactor that resolves every name to the given addresses."""

    def __init__(
        self,
        reactor: PosixReactorBase,
        addresses: Sequence[str],
        allowance: Allowance,
    ) -> None:
        self._reactor = reactor
        self._addresses = addresses
        self._allowance = allowance

    @property
    def nameResolver(self) -> IHostnameResolver:
        """As `IReactorPluggableNameResolver`."""
        return self

    def __getattr__(self, name: str) -> object:
        return getattr(self._reactor, name)

    def connectTCP(
        self, host: str, port: int, factory: ClientFactory[Any], *args: Any, **kw: Any
    ) -> IConnector:
        """As `IReactorTCP`; takes the connection from the allowance."""
        self._allowance.take(host)
        if self._allowance.is_limited:
            counting = _CountingFactory(factory, self._allowance)
            factory = cast("ClientFactory[Any]", counting)
        return self._reactor.connectTCP(host, port, factory, *args, **kw)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Not supported: the addresses are given."""
        raise NotImplementedError

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: object = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Resolve every name to the given addresses, at once."""
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


class _Counted(ProtocolWrapper):
    """A connection that is closed when it sends more than the allowance."""

    factory: "_CountingFactory"

    def write(self, data: bytes) -> None:
        """As `ITransport`."""
        if self.factory.allowance.may_send(len(data)):
            super().write(data)
        else:
            cast("ITCPTransport", self.transport).abortConnection()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """As `ITransport`."""
        self.write(b"".join(data))


class _CountingFactory(WrappingFactory):
    """Makes one connection whose bytes are counted."""

    noisy = False
    protocol = _Counted

    def __init__(self, wrapped: ClientFactory[Any], allowance: Allowance) -> None:
        super().__init__(wrapped)
        self.allowance = allowance


@implementer(IHostResolution)
@dataclass
class _Resolution:
    name: str

    def cancel(self) -> None:
        pass
