"""The composition: the shared parts, our servers, and the two sites.

Rules: as those of `app.shared` and `app.server`, which have the parts, and of
`app.control_api`, which has the routes of the control API. Nothing starts here.
"""

from collections.abc import Sequence

from homeserver.app.control_api import ControlApi
from homeserver.app.listeners import Listeners
from homeserver.app.remarks import RULES_ARE_ON, Remarks
from homeserver.app.sent_routes import SentRoutes
from homeserver.app.servers import Servers
from homeserver.app.shared import Shared
from homeserver.control.routing import ControlRoute
from homeserver.http.bounded_request import SiteLimits, control_limits
from homeserver.http.request_log import RequestLog
from homeserver.http.router import Router
from homeserver.http.site import BoundedSite
from homeserver.inbound import routes as inbound_routes
from homeserver.inbound.local_servers import LocalServers
from homeserver.monitoring.reactor_lag import ReactorLag
from homeserver.net.bounds import Bound
from homeserver.net.exchanges import Exchanges
from homeserver.rooms.routes import room_routes
from homeserver.users.routes import user_routes


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
        self.bounds: list[Bound] = [*shared.bounds, *self.servers.bounds]
        self.control = ControlApi(shared, self.servers, self.listeners, self.remarks)
        self.control_site: BoundedSite | None = None

    def make_control(self, more: Sequence[ControlRoute] = ()) -> None:
        """Make the site of the control API, if it is configured, with `more` routes.

        The first server must have been added before. Raises `ConfigError`.
        """
        config, shared = self._config, self.shared
        if config.control.listen is None:
            shared.metrics.watch_bounds(self.bounds)
            return
        limits = control_limits(config, shared.reactor)
        self.bounds += limits.bounds
        self.control_site = self._make_site(
            self.control.router(self.bounds, more),
            limits,
            RequestLog(
                "control",
                Exchanges(shared.reactor, shared.metrics.observe),
                config.log.level,
            ),
        )
        shared.metrics.watch_bounds(self.bounds)

    def _make_site(
        self, router: Router, limits: SiteLimits, request_log: RequestLog
    ) -> BoundedSite:
        site = BoundedSite(router, limits, request_log, self.shared.reactor)
        self.shared.metrics.watch_connections(
            request_log.listener, lambda: len(site.channels)
        )
        return site
