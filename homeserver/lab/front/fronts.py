"""The fronts of a lab's listeners.

Rules: without a rule about connections, a connection goes straight to its listener.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.protocol import Factory, Protocol

from homeserver.http.tls_listener import ListeningTls
from homeserver.lab.authority.authority import Authority
from homeserver.lab.authority.faults import CERTIFICATE_FAULTS
from homeserver.lab.front.front import Front, Surroundings
from homeserver.lab.rules.rules import Rules
from homeserver.net.exchanges import Exchanges
from homeserver.net.tls.certificate import Certificate
from homeserver.protocol.identifiers import ServerName

_MAX_CERTIFICATES = 256  # faulty ones that are kept; signing one takes 0.2 ms


class Fronts:
    """Puts a front before each listener."""

    def __init__(
        self,
        rules: Rules,
        authority: Authority,
        exchanges: Callable[[], Exchanges],
        clock: IReactorTime,
    ) -> None:
        """`exchanges` has the connections that end before TLS."""
        self._authority = authority
        certificate = lru_cache(_MAX_CERTIFICATES)(self._build_certificate)
        self._surroundings = Surroundings(rules, exchanges, clock, certificate)

    def wrap(self, listening: ListeningTls) -> IProtocolFactory:
        """The factory of a listener with a front."""
        return cast("IProtocolFactory", _FrontFactory(self._surroundings, listening))

    def _build_certificate(self, fault: str, server: str) -> Certificate:
        host = ServerName.parse(server).host
        return CERTIFICATE_FAULTS[fault].build(self._authority, host)


class _FrontFactory(Factory):
    """Makes connections for one listener."""

    noisy = False

    def __init__(self, surroundings: Surroundings, listening: ListeningTls) -> None:
        self._surroundings = surroundings
        self._listening = listening

    def doStart(self) -> None:
        """As `IProtocolFactory`."""
        self._listening.factory.doStart()

    def doStop(self) -> None:
        """As `IProtocolFactory`."""
        self._listening.factory.doStop()

    def buildProtocol(  # type: ignore[override]
        self, addr: IPv4Address | IPv6Address
    ) -> Protocol | None:
        """As `IProtocolFactory`: None closes the connection at once."""
        right = self._listening.factory.buildProtocol(addr)
        if right is None or not self._surroundings.rules.concern("connection"):
            return right
        return Front(self._surroundings, self._listening, addr, right)
