"""Rules and wrong requests for the servers of a daemon: `[lab] rules = true`.

Rules: only an endpoint whose configuration says so has this extension, and with it a
record of its exchanges. There is no name server here, so faults of the DNS are refused.
A faulty certificate is of an authority that nothing trusts.
"""

from collections.abc import Sequence
from functools import partial

from msgspec.structs import replace
from twisted.internet.posixbase import PosixReactorBase

from homeserver.app.composition import Parts
from homeserver.app.server import Server
from homeserver.app.shared import OutgoingHooks, Outside
from homeserver.control.each_server import check_ours
from homeserver.control.routing import ControlRoute
from homeserver.lab.authority.authority import Authority
from homeserver.lab.front.fronts import Fronts
from homeserver.lab.record.record import Record
from homeserver.lab.routes.exchanges import record_routes
from homeserver.lab.routes.faults import fault_routes
from homeserver.lab.routes.forgeries import forgery_routes
from homeserver.lab.routes.requests import request_routes
from homeserver.lab.routes.rules import rule_routes
from homeserver.lab.rules.departures import Departures
from homeserver.lab.rules.rules import Rules
from homeserver.lab.seed import Seed
from homeserver.lab.spoil.sending import SpoiledSending
from homeserver.lab.spoil.transmission import Means
from homeserver.net.exchanges import Exchanges
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey


class DaemonRules:
    """The extension, as `app.endpoint.Extension`."""

    _parts: Parts

    def __init__(self, reactor: PosixReactorBase) -> None:
        self._reactor = reactor
        self._seed = Seed.random()
        self._record = Record(reactor)
        self._rules = Rules(
            reactor,
            self._seed.numbers("rules"),
            self,
            {"connection", "request"},
        )

    def wrap(self, outside: Outside) -> Outside:
        """As `Extension`."""
        authority = Authority(self._seed)
        fronts = Fronts(self._rules, authority, self._exchanges, self._reactor)
        departures = Departures(self._rules, self, authority)
        return replace(
            outside,
            wrap=self._rules.wrap,
            wrap_listener=fronts.wrap,
            outgoing=OutgoingHooks(departures.depart, departures.aim),
            spoiler=SpoiledSending(self._means, self._reactor),
        )

    def routes(self, parts: Parts) -> Sequence[ControlRoute]:
        """As `Extension`."""
        self._parts = parts
        names, exchanges = parts.servers.names, parts.shared.exchanges
        exchanges.record = self._record.add
        stop = self._record.end_waits
        self._reactor.addSystemEventTrigger("before", "shutdown", stop)
        parts.bounds += self._record.bounds
        parts.control.more_state["exchanges"] = self._record.forget_of
        return [
            *record_routes(self._record, self._reactor, names),
            *rule_routes(self._rules, lambda name: check_ours(name, names)),
            *fault_routes(),
            *forgery_routes(self._server, self._means),
            *request_routes(self._means, exchanges, self._reactor, self._record.id_of),
        ]

    def signing(self, server: str) -> Sequence[SigningKey]:
        """As `KeyChain`."""
        try:
            found = self._parts.servers.find(ServerName.parse(server))
        except ProtocolError:
            return []
        return [] if found is None else found.credentials.identity().signing_keys

    def spare(self, server: str, key_id: KeyId) -> SigningKey:
        """As `KeyChain`: one that it signs with, or one of no document."""
        for key in self.signing(server):
            if key.key_id == key_id:
                return key
        return self._seed.signing_key(key_id, server)

    def policy(self, server: str) -> SigningKey | None:
        """As `KeyChain`."""
        return self._server(ServerName.parse(server)).policy_desk.key

    def _exchanges(self) -> Exchanges:
        return self._parts.shared.exchanges

    def _server(self, name: ServerName) -> Server:
        return self._parts.servers[check_ours(name, self._parts.servers.names)]

    def _means(self, name: ServerName) -> Means:
        server = self._server(name)
        return Means(
            server.credentials.identity(), partial(self.spare, name.name), server.agent
        )
