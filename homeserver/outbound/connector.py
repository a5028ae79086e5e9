"""From routes to one verified connection.

Rules of the room: the next address and the next route are tried where connecting or
verifying failed. What was tried, and why it failed, is told: all of it to the operator,
and to strangers what is no news of our own network.

Specification: Server-server API, "Resolving server names".
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.addresses import RefusedAddress
from homeserver.outbound.connection import PeerConnection
from homeserver.outbound.dialer import Dialer, NotDialled
from homeserver.outbound.verification import NotVerified, VerifiedPeer, Verifier
from homeserver.protocol.discovery import LookupFailed, Resolution, Route
from homeserver.protocol.names import ServerName

_MAX_TOLD = 1000  # characters; twenty routes of eight addresses could take many more


class Unreachable(Exception):
    """We got no answer from a server; `attempts` has a line for each thing tried."""

    def __init__(
        self,
        destination: ServerName,
        attempts: Sequence[str],
        told: Sequence[str] | None = None,
    ) -> None:
        """`told` is what strangers may know of it; None for all."""
        super().__init__(_tell(destination, attempts))
        self.destination = destination
        self.attempts = attempts
        self.told = _tell(destination, attempts if told is None else told)


@dataclass(frozen=True, slots=True)
class Link:
    """A verified connection: where it leads, and how that is known."""

    route: Route
    address: str
    """The IP address that was connected to."""

    peer: VerifiedPeer


class Connector:
    """Makes verified connections."""

    def __init__(self, dialer: Dialer, verifier: Verifier) -> None:
        self._dialer = dialer
        self._verifier = verifier

    async def connect(self, resolution: Resolution) -> tuple[PeerConnection, Link]:
        """A connection to the first route that leads to who it should lead to.

        Raises `Unreachable`.
        """
        attempts: list[str] = []
        told: list[str] = []
        for route in resolution.routes:
            try:
                addresses = await self._dialer.addresses(route.host)
            except LookupFailed as problem:
                attempts.append(f"{route}: {problem}")
                told.append(f"{route}: {problem}")
                continue
            except RefusedAddress as problem:
                attempts.append(f"{route}: {problem}")
                told.append(f"{route}: its address is one that is not connected to")
                continue
            while addresses:
                try:
                    return await self._try(resolution.server_name, route, addresses)
                except NotDialled as failed:
                    attempts.append(f"{route}: {failed}")
                    told.append(f"{route}: {failed}")
                    left = [each for each in addresses if each != failed.address]
                    # It gets fewer each time: one that was not reached at all, or
                    # that the system calls otherwise, speaks for all of them.
                    addresses = left if len(left) < len(addresses) else []
        raise Unreachable(resolution.server_name, attempts, told)

    async def _try(
        self, name: ServerName, route: Route, addresses: Sequence[str]
    ) -> tuple[PeerConnection, Link]:
        dialled = await self._dialer.dial(
            addresses,
            route.port,
            route.certificate_name,
            must_be_trusted=self._verifier.needs_certificate,
        )
        connection, where = dialled.connection, dialled.address
        try:
            peer = await self._verifier.verify(
                name, route, dialled.handshake, connection
            )
        except NotVerified as problem:
            connection.abort()
            why = f"{where} is not verified: {problem}"
            raise NotDialled(why, where) from None
        except BaseException:
            connection.abort()
            raise
        if connection.is_closing:
            connection.abort()
            why = f"{where} ended the connection while it was verified"
            raise NotDialled(why, where)
        return connection, Link(route, where, peer)


def _tell(destination: ServerName, attempts: Sequence[str]) -> str:
    text = f"{destination} cannot be reached: " + "; ".join(attempts)
    return text if len(text) <= _MAX_TOLD else text[: _MAX_TOLD - 3] + "..."
