"""The TLS client certificates of other servers, checked against the origin.

Rules: the listener accepts any client certificate, or none; it is checked here once the
origin of a request is authenticated. It is valid if the origin's own server presents
the same certificate, or if it proves the origin's name as a server certificate does.
Its extended key usage is ignored, as authorities no longer issue server certificates
for client authentication.

Specification: the November 2014 text, "Server-Server Authentication"; Server-server
API, "TLS".
"""

from collections.abc import Callable, Sequence
from typing import Literal

from OpenSSL import SSL, crypto
from twisted.internet.defer import DeferredSemaphore
from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounded_map import BoundedMap, SharedLimit
from homeserver.net.bounds import Bound
from homeserver.net.cache import MAX_ENTRIES, Cache
from homeserver.net.cause import Cause
from homeserver.net.tls.client import check_certificate
from homeserver.net.tls.shown_certificate import ShownCertificate
from homeserver.outbound.client import FederationClient
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.protocol.errors import Explanation, Forbidden
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.peers import PeerStore

Demand = Literal["ignore", "if-presented", "required"]
"""Whether the connection of a request must have a client certificate."""

# For so long, a certificate that was found to be its origin's is not checked again.
PROVEN_SECONDS = 3600.0

# Verified chains, for resumed TLS sessions, which have none.
_MAX_CHAINS = 200  # of up to a hundred kilobytes each

_MAX_REACHES = 50  # connections to origins at once
_MAX_WAITING = 1000  # for a connection; each holds an inbound request

# For so long, a failed certificate is refused without asking its origin again.
_REFUSED_SECONDS = 10.0


class CertificateLimits:
    """The limits that the checks for all our servers share."""

    def __init__(self) -> None:
        self.proofs = SharedLimit(MAX_ENTRIES)
        self.chains = SharedLimit(_MAX_CHAINS)
        self.connections = SharedLimit(MAX_ENTRIES)
        self.slots = DeferredSemaphore(_MAX_REACHES)
        self.bound = Bound(
            "client_certificate_checks",
            "servers that are asked, or will be asked, about a client certificate",
            _MAX_REACHES + _MAX_WAITING,
            self._reaches,
        )

    def _reaches(self) -> int:
        """The number of servers that are or will be asked."""
        return _MAX_REACHES - self.slots.tokens + len(self.slots.waiting)


class ClientCertificates:
    """Checks the client certificates of requests to one of our servers."""

    def __init__(
        self,
        demand: Demand,
        peers: PeerStore,
        client: FederationClient,
        context: Callable[[], SSL.Context] | None,
        clock: IReactorTime,
        limits: CertificateLimits,
    ) -> None:
        """`context` has the trusted roots; None if no authority is trusted."""
        self._demand = demand
        self._peers = peers
        self._client = client
        self._context = context
        self._limits = limits
        self._proofs: Cache[tuple[ServerName, str], Explanation | None]
        self._proofs = Cache(clock, limits.proofs)
        self._chains: BoundedMap[str, Sequence[crypto.X509]]
        self._chains = BoundedMap(limits.chains)
        self._connections: Cache[ServerName, VerifiedConnection | Explanation] = Cache(
            clock, limits.connections
        )

    async def check(
        self, origin: ServerName, shown: ShownCertificate | None, cause: Cause
    ) -> str | None:
        """Check the client certificate of a request of `origin`, once authenticated.

        Returns the SHA-256 of the certificate; None if there is none, or if
        certificates are ignored. Raises `Forbidden`.
        """
        if self._demand == "ignore":
            return None
        if shown is None:
            if self._demand == "required":
                raise Forbidden(
                    f"this server requires a TLS client certificate of {origin}, and "
                    "the connection has none"
                )
            return None
        sha256 = shown.sha256
        problem = await self._proofs.fetch(
            (origin, sha256), lambda: self._compare(origin, shown, cause)
        )
        if problem is not None:
            why = problem.after(
                f"the TLS client certificate (SHA-256 {sha256}) is not that of "
                f"{origin}: "
            )
            raise Forbidden(why.public, why.in_full)
        return sha256

    def forget(self, origin: ServerName) -> None:
        """Forget the results for an origin."""
        self._proofs.forget_where(lambda key: key[0] == origin)
        self._connections.forget(origin)

    async def _compare(
        self, origin: ServerName, shown: ShownCertificate, cause: Cause
    ) -> tuple[Explanation | None, float]:
        """Why the certificate is not the origin's, or None, and for how long."""
        known = await self._peers.peer(origin)
        if known is not None and known.certificate_sha256 == shown.sha256:
            return None, PROVEN_SECONDS
        problem = self._problem(shown, origin.host)
        if problem is None:
            return None, PROVEN_SECONDS
        # The certificate may have been renewed since the last connection, or may be
        # for the name that the origin delegates to.
        connection = await self._connections.fetch(
            origin, lambda: self._reach(origin, cause)
        )
        if isinstance(connection, Explanation):
            return connection.after(f"{problem}; and "), _REFUSED_SECONDS
        ours = connection.peer.certificate_sha256
        name = connection.route.certificate_name
        if ours == shown.sha256 or self._problem(shown, name) is None:
            return None, PROVEN_SECONDS
        why = f"its server presents another one (SHA-256 {ours}); {problem}"
        return Explanation.plain(why), _REFUSED_SECONDS

    def _problem(self, shown: ShownCertificate, name: str) -> str | None:
        """Why the certificate alone does not prove `name`; None if it does."""
        if self._context is None:
            return "no certificate authority is trusted here"
        chain = shown.chain or self._chains.get(shown.sha256, ())
        problem = check_certificate(self._context(), shown.leaf, chain, name)
        if problem is None:
            self._chains[shown.sha256] = chain
        return problem

    async def _reach(
        self, origin: ServerName, cause: Cause
    ) -> tuple[VerifiedConnection | Explanation, float]:
        """A new connection to the origin, or why it failed."""
        bound = self._limits.bound
        if bound.is_reached:
            bound.refuse()
            why = "too many servers are being asked"
            return Explanation.plain(why), 0.0
        try:
            async with self._limits.slots:
                return await self._client.reach(origin, cause), _REFUSED_SECONDS
        except Unreachable as failure:
            return failure.explanation, _REFUSED_SECONDS
