"""The composition: the shared parts, our servers, and the two sites.

Rules: as those of `app.shared` and `app.server`, which have the parts. Nothing starts
here.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path

from homeserver.app.books import OurBooks
from homeserver.app.listeners import Listeners
from homeserver.app.remarks import RULES_ARE_ON, Remarks
from homeserver.app.sent_routes import SentRoutes
from homeserver.app.server import Server
from homeserver.app.servers import Servers
from homeserver.app.shared import Shared
from homeserver.config.values import Config, ConfigError
from homeserver.control import routes as control_routes
from homeserver.control.all_servers import AllServers
from homeserver.control.client import load_token
from homeserver.control.each_server import routes_of_each
from homeserver.control.inspect import describe_keys, describe_resolution
from homeserver.control.own_servers import (
    OwnServerView,
    own_server_routes,
    refuse_lab_routes,
)
from homeserver.control.peer_routes import peer_routes
from homeserver.control.router import control_router
from homeserver.control.routing import ControlRoute
from homeserver.control.state_routes import Forget, state_kinds, state_routes
from homeserver.control.submit import Submitter
from homeserver.control.workers import OtherWorkers
from homeserver.http.bounded_request import SiteLimits, control_limits
from homeserver.http.request_log import RequestLog
from homeserver.http.router import Router
from homeserver.http.site import BoundedSite
from homeserver.inbound import routes as inbound_routes
from homeserver.inbound.local_servers import LocalServers
from homeserver.monitoring import summed
from homeserver.monitoring.reactor_lag import ReactorLag
from homeserver.monitoring.scrape import Scrape
from homeserver.net.bounds import Bound
from homeserver.net.exchanges import Exchanges
from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import ServerName
from homeserver.rooms.control_routes import room_control_routes
from homeserver.rooms.policy_routes import policy_control_routes
from homeserver.rooms.routes import room_routes
from homeserver.storage.all_names import AllNames
from homeserver.storage.forgetting import StoredState
from homeserver.users.control_routes import user_control_routes
from homeserver.users.routes import user_routes

# The servers whose routes are kept: those of a test, and each has a few kilobytes.
_KEPT_ROUTES = 64


class Parts:
    """The parts of a process."""

    def __init__(self, shared: Shared) -> None:
        """No server is in it yet."""
        self.shared = shared
        self._config = config = shared.config
        self.servers = Servers(shared)
        self.sender = self.servers.sender
        names = [each.server_name for each in config.servers]
        self.remarks = Remarks(
            lambda: list(filter(None, map(self.servers.find, names))),
            shared.reactor,
            [RULES_ARE_ON] if config.lab.rules else [],
        )
        self.reactor_lag = ReactorLag(
            shared.reactor, shared.metrics.observe_lag, self.sender.adjust
        )
        local = LocalServers(self.servers.names, self.servers.__getitem__)
        # One table for all our servers: an answer finds its own by the request.
        router = Router(
            [
                *inbound_routes.key_routes(local, shared.notary_buckets),
                *inbound_routes.federation_routes(local),
                *room_routes(local),
                *user_routes(local),
            ],
            local.note_claim,
        )
        self.site = self._make_site(
            router if shared.wrap is None else router.wrapped(shared.wrap),
            shared.site_limits,
            RequestLog(
                "federation",
                shared.exchanges,
                config.log.level,
                self.servers.note_refusal,
            ),
        )
        shared.exchanges.route_of = SentRoutes().find
        self.listeners = Listeners(self.servers, self.site, shared)
        self._books = OurBooks(self.servers, shared)
        self.bounds: list[Bound] = [*shared.bounds, *self.servers.bounds]
        self.more_state: dict[str, Forget] = {}  # can be forgotten, too, by its kind
        self.control_site: BoundedSite | None = None
        self.routes_of = lru_cache(_KEPT_ROUTES)(self.server_routes)
        """As `server_routes`, once for a server."""

    def make_control(self, more: Sequence[ControlRoute] = ()) -> None:
        """Make the site of the control API, if it is configured, with `more` routes.

        The first server must have been added before.
        """
        config, shared = self._config, self.shared
        if config.control.listen is None:
            shared.metrics.watch_bounds(self.bounds)
            return
        limits = control_limits(config, shared.reactor)
        self.bounds += limits.bounds
        token = _load_token(shared.path, config)
        router = control_router(
            [
                *self.process_routes(self.bounds),
                *own_server_routes(self.servers.names, self._describe),
                *more,
                *routes_of_each(
                    lambda name: self.routes_of(self.servers[name]),
                    self.servers.names,
                    self.server_routes(self.servers.pattern()),
                    self.all_servers(self.servers.names).answers,
                ),
            ],
            token,
            config.control.hosts,
            refuse_lab_routes,
        )
        worker = shared.worker
        if worker is not None and worker.is_first:
            others = OtherWorkers(
                worker.other_sockets, token, shared.reactor, summed.add
            )
            router = router.wrapped(others.wrap)
        self.control_site = self._make_site(
            router,
            limits,
            RequestLog(
                "control",
                Exchanges(shared.reactor, shared.metrics.observe),
                config.log.level,
            ),
        )
        shared.metrics.watch_bounds(self.bounds)

    def stored_state(self) -> StoredState:
        """What may be forgotten of what is stored."""
        store = self.shared.store
        return StoredState(store.database, store.clock, self.shared.reactor)

    def process_routes(self, bounds: list[Bound]) -> list[ControlRoute]:
        """The routes of the control API about the process."""
        shared = self.shared
        state = self.stored_state()
        caches = self._books.caches
        return [
            *control_routes.status_routes(
                shared.store.is_healthy,
                Scrape(shared.metrics, shared.totals, shared.reactor).read,
                bounds,
                self.remarks.shown,
                1 if shared.worker is None else shared.worker.number,
            ),
            *control_routes.cache_routes(caches, self.servers.names),
            *state_routes(
                state_kinds(state, caches, shared.refusals, self._books, shared.spoiler)
                | self.more_state,
                lambda: self.servers.names,
            ),
        ]

    def server_routes(self, server: Server) -> list[ControlRoute]:
        """The routes of the control API about one server."""
        shared = self.shared
        return [
            *control_routes.send_routes(
                Submitter(server.credentials.identity, server.outgoing, shared.spoiler),
                server.outgoing,
            ),
            *control_routes.inbound_routes(server.received, server.refusals),
            *control_routes.lookup_routes(
                partial(
                    describe_resolution,
                    shared.resolver,
                    shared.reach,
                    shared.reactor,
                ),
                partial(
                    describe_keys,
                    server.client,
                    server.peers,
                    shared.reactor,
                    server.verifier.invalid_documents,
                ),
                self._books.caches_of(server),
            ),
            *peer_routes(self._books.peers(server), self._books.reports(server)),
            *room_control_routes(server.rooms, lambda: server.elsewhere),
            *policy_control_routes(server.policy_desk),
            *user_control_routes(server.user_desk, server.device_lists),
        ]

    def all_servers(self, names: Collection[ServerName]) -> AllServers:
        """What the control API answers for all servers in `names`, at any moment."""
        shared = self.shared
        return AllServers(
            AllNames(shared.store.database, names.__contains__),
            self._books,
            shared.received,
            shared.refused,
            shared.refusals,
            shared.pace,
        )

    def _describe(self, name: ServerName) -> OwnServerView:
        identity = self.servers[name].credentials.identity()
        [key, *_] = identity.signing_keys
        where = self.listeners.address(name)
        return OwnServerView(
            name.name,
            key.key_id,
            encode_base64(key.verify_key.key),
            None if where is None else str(where),
            sha256(identity.certificate.leaf).hexdigest(),
        )

    def _make_site(
        self, router: Router, limits: SiteLimits, request_log: RequestLog
    ) -> BoundedSite:
        site = BoundedSite(router, limits, request_log, self.shared.reactor)
        self.shared.metrics.watch_connections(
            request_log.listener, lambda: len(site.channels)
        )
        return site


def _load_token(path: Path, config: Config) -> str:
    try:
        return load_token(config.control.token_file)
    except ValueError as problem:
        raise ConfigError(path, [str(problem)]) from None
