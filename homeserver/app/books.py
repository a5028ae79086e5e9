"""What the control API tells and forgets of other servers, for each of our servers.

Rules: where all our servers are asked, only parts that were made are: nothing is made
to be shown or forgotten. The books of one server make its parts. What is in memory
belongs to a kind of state, and is forgotten with it: how servers were last seen to the
pins, the counts of their requests to what was received, mistakes on purpose to the
queue.
"""

from collections.abc import Iterator

from homeserver.app.server import Server
from homeserver.app.servers import Servers
from homeserver.app.shared import Shared
from homeserver.control.all_servers import Books
from homeserver.control.caches import CacheBook
from homeserver.control.peers import PeerBook
from homeserver.control.reports import Observed, ReportBook
from homeserver.protocol.identifiers import ServerName


class OurBooks:
    """The books of all our servers."""

    def __init__(self, servers: Servers, shared: Shared) -> None:
        self._servers = servers
        self._shared = shared
        self.caches = CacheBook(
            shared.resolver.kept,
            lambda: [x.keyring.fetches for x in servers if x.has("keyring")],
            lambda: [x.connector for x in servers if x.has("connector")],
            shared.reactor,
        )
        """The caches of the process."""

    def caches_of(self, server: Server) -> CacheBook:
        """The caches that one server uses."""
        return CacheBook(
            self._shared.resolver.kept,
            lambda: [server.keyring.fetches],
            lambda: [server.connector],
            self._shared.reactor,
        )

    def peers(self, server: Server) -> PeerBook:
        """What one server knows of others."""
        return PeerBook(
            server.peers,
            server.known_peers,
            server.outgoing,
            self.caches_of(server),
            server.verifier,
            (server.keyring, server.agent, server.certificates),
        )

    def reports(self, server: Server) -> ReportBook:
        """The reports of one server on others."""
        return ReportBook(
            self._shared.store.database,
            server.name,
            self.peers(server),
            server.refusals,
            Observed(
                server.verifier.sightings,
                server.signed_requests.counts,
                self._shared.spoiler,
            ),
            self._shared.reactor,
        )

    def find(self, name: ServerName) -> Books | None:
        """The books of the server of that name; None if there is none."""
        server = self._servers.find(name)
        if server is None:
            return None
        return Books(server.refusals, self.peers(server), self.reports(server))

    def observing(self, peer: ServerName) -> set[ServerName]:
        """Our names that remember something of a peer for a report on it."""
        spoiler = self._shared.spoiler
        planned = [] if spoiler is None else spoiler.planned(None)
        return {
            *(own for own, destination, _ in planned if destination == peer),
            *(
                server.name
                for server in self._servers
                if (server.has("verifier") and peer in server.verifier.sightings)
                or (
                    server.has("signed_requests")
                    and server.signed_requests.counts.of(peer)
                )
            ),
        }

    def look_again(self, name: ServerName, peer: ServerName) -> None:
        """Let one of our servers forget its cached data about a peer."""
        server = self._servers.find(name)
        if server is not None:
            self.peers(server).look_again(peer)

    def forget_sightings(self, own: ServerName | None) -> None:
        """Forget how servers were last seen: for one of our names, or for all."""
        for server in self._meant(own):
            if server.has("verifier"):
                server.verifier.forget_all()

    def forget_counts(self, own: ServerName | None) -> None:
        """Forget how many requests servers have made: as `forget_sightings`."""
        for server in self._meant(own):
            if server.has("signed_requests"):
                server.signed_requests.counts.forget_all()

    def _meant(self, own: ServerName | None) -> Iterator[Server]:
        return (each for each in self._servers if own in {None, each.name})
