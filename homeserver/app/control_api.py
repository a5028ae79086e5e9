"""The control API of a process: its routes, over the parts that they show and change.

Rules: as those of `app.shared`, of whose bill of materials this is a part. The routes
of a server are made for the first request about it.
"""

from collections.abc import Collection, Sequence
from functools import lru_cache, partial
from hashlib import sha256
from pathlib import Path

from homeserver.app.books import OurBooks
from homeserver.app.listeners import Listeners
from homeserver.app.remarks import Remarks
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
from homeserver.http.router import Router
from homeserver.monitoring import summed
from homeserver.monitoring.scrape import Scrape
from homeserver.net.bounds import Bound
from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import ServerName
from homeserver.rooms.control_routes import room_control_routes
from homeserver.rooms.policy_routes import policy_control_routes
from homeserver.storage.all_names import AllNames
from homeserver.storage.forgetting import StoredState
from homeserver.users.control_routes import user_control_routes

# The servers whose routes are kept: those of a test, and each has a few kilobytes.
_KEPT_ROUTES = 64


class ControlApi:
    """Makes the routes of the control API."""

    def __init__(
        self, shared: Shared, servers: Servers, listeners: Listeners, remarks: Remarks
    ) -> None:
        """No route is made yet."""
        self._shared = shared
        self._servers = servers
        self._listeners = listeners
        self._remarks = remarks
        self._books = OurBooks(servers, shared)
        self.more_state: dict[str, Forget] = {}
        """What can be forgotten beside what is stored, by its kind."""

        self.routes_of = lru_cache(_KEPT_ROUTES)(self.server_routes)
        """As `server_routes`, once for a server."""

    def router(self, bounds: list[Bound], more: Sequence[ControlRoute] = ()) -> Router:
        """All routes, with `more`, behind the token; raises `ConfigError`.

        A server must have been added before. `bounds` are those of the process, `more`
        are routes of a lab.
        """
        shared = self._shared
        token = _load_token(shared.path, shared.config)
        router = control_router(
            [
                *self.process_routes(bounds),
                *own_server_routes(self._servers.names, self._describe),
                *more,
                *routes_of_each(
                    lambda name: self.routes_of(self._servers[name]),
                    self._servers.names,
                    self.server_routes(self._servers.pattern()),
                    self.all_servers(self._servers.names).answers,
                ),
            ],
            token,
            shared.config.control.hosts,
            lambda *asked: None if more else refuse_lab_routes(*asked),
        )
        worker = shared.worker
        if worker is not None and worker.is_first:
            others = OtherWorkers(
                worker.other_sockets, token, shared.reactor, summed.add
            )
            router = router.wrapped(others.wrap)
        return router

    def process_routes(self, bounds: list[Bound]) -> list[ControlRoute]:
        """The routes of the control API about the process."""
        shared = self._shared
        state = self.stored_state()
        caches = self._books.caches
        return [
            *control_routes.status_routes(
                shared.store.is_healthy,
                Scrape(shared.metrics, shared.totals, shared.reactor).read,
                bounds,
                self._remarks.shown,
                1 if shared.worker is None else shared.worker.number,
            ),
            *control_routes.cache_routes(caches, self._servers.names),
            *state_routes(
                state_kinds(state, caches, shared.refusals, self._books, shared.spoiler)
                | self.more_state,
                lambda: self._servers.names,
            ),
        ]

    def server_routes(self, server: Server) -> list[ControlRoute]:
        """The routes of the control API about one server."""
        shared = self._shared
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
        shared = self._shared
        return AllServers(
            AllNames(shared.store.database, names.__contains__),
            self._books,
            shared.received,
            shared.refused,
            shared.refusals,
            shared.pace,
        )

    def stored_state(self) -> StoredState:
        """What may be forgotten of what is stored."""
        store = self._shared.store
        return StoredState(store.database, store.clock, self._shared.reactor)

    def _describe(self, name: ServerName) -> OwnServerView:
        identity = self._servers[name].credentials.identity()
        [key, *_] = identity.signing_keys
        where = self._listeners.address(name)
        return OwnServerView(
            name.name,
            key.key_id,
            encode_base64(key.verify_key.key),
            None if where is None else str(where),
            sha256(identity.certificate.leaf).hexdigest(),
        )


def _load_token(path: Path, config: Config) -> str:
    try:
        return load_token(config.control.token_file)
    except ValueError as problem:
        raise ConfigError(path, [str(problem)]) from None
