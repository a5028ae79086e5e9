"""A site behind a UNIX socket, for another process of this endpoint.

Rules: the site judges each connection as one from this machine.
"""

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

_LOCAL = IPv4Address("TCP", "127.0.0.1", 0)


class _LocalConnection(ProtocolWrapper):
    """A connection with addresses as those of TCP."""

    def getPeer(self) -> IPv4Address:
        """The client, which is on this machine."""
        return _LOCAL

    def getHost(self) -> IPv4Address:
        """Our end, which is on this machine."""
        return _LOCAL


class AsLocal(WrappingFactory[_LocalConnection]):
    """The factory of a site, for a port that is a UNIX socket."""

    noisy = False
    protocol = _LocalConnection

    def buildProtocol(  # type: ignore[override]
        self, addr: IAddress | None
    ) -> ProtocolWrapper | None:
        """Called by Twisted: the protocol of a new connection; None closes it."""
        inside = self.wrappedFactory.buildProtocol(_LOCAL)
        return None if inside is None else self.protocol(self, inside)
