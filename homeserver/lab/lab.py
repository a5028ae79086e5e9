"""A lab: its parts put together, started and stopped.

Rules: as those of `app.composition`. The lab stands on the parts of an endpoint, which
know nothing of it: it adds a name server, an authority and a record, and has the
control API that makes servers.
"""

import secrets
from collections.abc import Awaitable, Sequence

from msgspec.structs import replace
from twisted.internet.defer import maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger

from homeserver import __version__
from homeserver.app.endpoint import Endpoint
from homeserver.app.listeners import CannotListen, address_of, advised, listen
from homeserver.app.server import Server
from homeserver.app.shared import OutgoingHooks, Outside
from homeserver.app.store import passing_store
from homeserver.config.values import OptionError
from homeserver.control.each_server import routes_of_each
from homeserver.control.router import control_router
from homeserver.control.routing import ControlRoute
from homeserver.http.bounded_request import control_limits
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.request_log import RequestLog
from homeserver.http.router import Answer, Route
from homeserver.http.site import BoundedSite
from homeserver.lab.authority.authority import Authority
from homeserver.lab.dns_server.client import LabResolver, as_resolver
from homeserver.lab.dns_server.server import Answered, DnsServer
from homeserver.lab.dns_server.zone import Zone
from homeserver.lab.folder import Folder
from homeserver.lab.front.fronts import Fronts
from homeserver.lab.options import LabOptions, Whereabouts
from homeserver.lab.record.journal import Journal
from homeserver.lab.record.record import Record
from homeserver.lab.routes.authority import LabView, authority_routes
from homeserver.lab.routes.exchanges import record_routes
from homeserver.lab.routes.faults import fault_routes
from homeserver.lab.routes.forgeries import forgery_routes
from homeserver.lab.routes.rules import rule_routes
from homeserver.lab.routes.servers import server_routes
from homeserver.lab.rules.answers import Answers
from homeserver.lab.rules.departures import Departures
from homeserver.lab.rules.names import NameRules
from homeserver.lab.rules.rules import Rules
from homeserver.lab.servers.fallback import Fallback
from homeserver.lab.servers.keys import ServerKeys
from homeserver.lab.servers.names import reachable_address, usual_ports
from homeserver.lab.servers.server import POLITE, LabServer, Place
from homeserver.lab.servers.servers import Ground, LabServers
from homeserver.lab.spoil.sending import SpoiledSending
from homeserver.lab.spoil.transmission import Means
from homeserver.net.addresses import SocketAddress
from homeserver.net.exchanges import Exchanges
from homeserver.protocol.identifiers import ServerName

_FROM_WHERE = (
    "TOKEN is what the lab printed at its start, or what --token-file or "
    "HOMESERVER_LAB_TOKEN gave it"
)


class Lab:
    """What runs."""

    _log = Logger()

    def __init__(
        self, options: LabOptions, folder: Folder, reactor: PosixReactorBase
    ) -> None:
        """Raises `ConfigError`."""
        self._options = options
        self._folder = folder
        self._reactor = reactor
        seed = folder.seed(options.seed)
        self.authority = Authority(seed)
        folder.write_authorities(self.authority.pem, options.trust)
        self.zone = Zone(options.zone)
        self.record = Record(reactor)
        keys = ServerKeys(self._find, self._server)
        self.rules = Rules(reactor, seed.numbers("rules"), keys)
        names = NameRules(self.zone.answer, self.rules, self._owner, reactor)
        self._responder = names.answer
        self.answers = Answers()
        self._fallback = Fallback(self.zone, self._find_known)
        look_ups = LabResolver(self._responder, reactor.nameResolver, self.zone.is_ours)
        fronts = Fronts(
            self.rules,
            self.authority,
            lambda: self.endpoint.parts.shared.exchanges,
            reactor,
        )
        departures = Departures(self.rules, keys, self.authority)
        config = options.config(folder.trusted)
        self.endpoint = Endpoint(
            folder.path / "lab",  # there is no such file; messages name it
            config,
            {},
            reactor,
            seed.numbers("process"),
            Outside(
                lambda _: passing_store(reactor),
                as_resolver(look_ups),
                self._wrap,
                fronts.wrap,
                outgoing=OutgoingHooks(departures.depart, departures.aim),
                spoiler=SpoiledSending(self._means, reactor),
            ),
        )
        self._parts = self.endpoint.parts
        self._parts.shared.exchanges.record = self.record.add
        self._dns = DnsServer(self._responder, reactor, self._note_question)
        self._seed = seed
        self._config = config
        self._token = options.token or secrets.token_urlsafe(32)
        self._journal: Journal | None = None
        self._control_port: IListeningPort | None = None

    async def start(self) -> Whereabouts:
        """Listen; returns where. Raises `ConfigError`."""
        options, parts = self._options, self._parts
        if options.record is not None:
            try:
                self._journal = Journal(options.record, self.record, self._reactor)
            except OSError as problem:
                why = f"{options.record}: {problem.strerror}"
                raise OptionError("--record", why) from None
        dns = self._listen_for_questions(options.dns)
        listening = self._listen(options.listen)
        self._listen_at_usual_ports(listening)
        place = Place(listening, reachable_address(listening))
        self.servers = LabServers(
            Ground(self.endpoint, self.authority, self.zone, self._seed, place),
            self._reactor,
        )
        view = LabView(
            str(listening), str(dns), self.zone.apex, self.authority.pem, __version__
        )
        site = self._build_control(view)
        try:
            self._control_port = listen(options.control, site, parts.shared)
        except CannotListen as problem:
            raise OptionError("--control", str(problem)) from None
        control = address_of(options.control, self._control_port)
        await self.endpoint.start()
        self.where = Whereabouts(
            f"http://{control}",
            self._token,
            view.listen,
            view.dns,
            view.zone,
            str(self._folder.ca_file),
            view.ca_pem,
            view.version,
        )
        return self.where

    async def stop(self) -> None:
        """Take nothing new, finish what is in flight, and remove the files."""
        self.record.end_waits()
        await self._dns.stop()
        if self._control_port is not None:
            await maybeDeferred(self._control_port.stopListening)
        await self.endpoint.stop()
        if self._journal is not None:
            self._journal.close()
        self._folder.remove()

    def _listen(self, where: SocketAddress) -> SocketAddress:
        try:
            return self._parts.listeners.keep(where)
        except CannotListen as problem:
            raise OptionError("--listen", str(problem)) from None

    def _listen_at_usual_ports(self, listening: SocketAddress) -> None:
        """Listen where clients look for documents and fall back to, if we may."""
        for port, loss in usual_ports(listening).items():
            try:
                self._parts.listeners.keep(SocketAddress(listening.host, port))
            except CannotListen as problem:
                self._log.info("{loss}: {problem}", loss=loss, problem=problem)

    def _listen_for_questions(self, where: SocketAddress) -> SocketAddress:
        try:
            return self._dns.start(where)
        except CannotListenError as problem:
            why = f"{where}: {advised(problem)}"
            raise OptionError("--dns", why) from None

    def _build_control(self, view: LabView) -> BoundedSite:
        parts, shared = self._parts, self._parts.shared
        limits = control_limits(self._config, self._reactor)
        bounds = [*parts.bounds, *limits.bounds, *self.record.bounds]
        parts.control.more_state["exchanges"] = self.record.forget_of
        routes: Sequence[ControlRoute] = [
            *parts.control.process_routes(bounds),
            *record_routes(self.record, self._reactor, self.servers.names),
            *authority_routes(self.authority, view),
            *server_routes(
                self.servers, self.rules, self.record, shared.exchanges, self._reactor
            ),
            *rule_routes(self.rules, self._find),
            *fault_routes(),
            *forgery_routes(self.servers.parts, self.servers.means),
            *routes_of_each(
                lambda name: parts.control.routes_of(self.servers.parts(name)),
                self.servers.names,
                parts.control.server_routes(parts.servers.pattern()),
                parts.control.all_servers(self.servers.names).answers,
            ),
        ]
        return BoundedSite(
            control_router(
                routes, self._token, self._options.control_hosts, source=_FROM_WHERE
            ),
            limits,
            RequestLog(
                "control",
                Exchanges(self._reactor, shared.metrics.observe),
                self._config.log.level,
            ),
            self._reactor,
        )

    def _wrap(self, route: Route) -> Answer:
        answer = self.rules.wrap(replace(route, answer=self.answers.wrap(route)))
        answer = self._fallback.wrap(answer)
        if route.template in POLITE:
            return answer

        async def polite(request: Request) -> Reply:
            self.servers.check_lives(request.exchange.server)
            answered = answer(request)
            return await answered if isinstance(answered, Awaitable) else answered

        return polite

    def _means(self, name: ServerName) -> Means:
        return self.servers.means(name)

    def _find(self, name: ServerName) -> LabServer:
        return self.servers.find(name)

    def _server(self, name: ServerName) -> Server:
        return self.servers.parts(name)

    def _find_known(self, name: str) -> LabServer | None:
        return self.servers.known(name)

    def _owner(self, host: str) -> ServerName | None:
        return self.servers.owner(host)

    def _note_question(self, answered: Answered) -> None:
        """Record a question to the name server."""
        self._fallback.note(answered)
        question = answered.question
        exchange = self._parts.shared.exchanges.open(
            "dns", "in", question.type, question.name
        )
        owner = self.servers.owner(question.name)
        exchange.server = "" if owner is None else owner.name
        exchange.address = question.address.rpartition(":")[0].strip("[]")
        exchange.began = answered.began
        if exchange.details is not None:
            exchange.details.started_ts -= int(answered.seconds * 1000)
        exchange.verdict = answered.describe()
        exchange.close()
