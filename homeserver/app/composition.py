"""The bill of materials: every part of an endpoint, made and put together.

Rules: each part is made here, once, and is given what it needs and no
more. Nothing starts here. Read `Parts.__init__` and you know the program.
"""

import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from twisted.internet.interfaces import IReactorTime
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from homeserver.app.credentials import Credentials
from homeserver.app.discovery import build_address_policy, build_discovery
from homeserver.config.values import Config, ConfigError
from homeserver.control import routes as control_routes
from homeserver.control.access import TokenGuard
from homeserver.control.caches import CacheBook
from homeserver.control.client import load_token
from homeserver.control.inspect import describe_keys, describe_resolution
from homeserver.control.openapi import described
from homeserver.control.peer_routes import peer_routes
from homeserver.control.peers import PeerBook
from homeserver.control.state_routes import state_kinds, state_routes
from homeserver.control.submit import Submitter
from homeserver.http.bounded_request import (
    SiteLimits,
    connections_to,
    control_limits,
    federation_limits,
)
from homeserver.http.request_log import RequestLog
from homeserver.http.router import Router
from homeserver.http.site import BoundedSite
from homeserver.inbound import routes as inbound_routes
from homeserver.inbound.authentication import Authenticator
from homeserver.inbound.client_certificates import ClientCertificates
from homeserver.inbound.diagnoses import Diagnoses
from homeserver.inbound.diagnosis_budget import DiagnosisBudget
from homeserver.inbound.gate import XMatrixGate, note_claim
from homeserver.inbound.key_publisher import KeyPublisher
from homeserver.inbound.notary import Notary
from homeserver.inbound.notary_queries import NotaryQueries
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.inbound.refusals import Refusals
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.keys.keyring import Keyring
from homeserver.monitoring.metrics import Metrics
from homeserver.monitoring.reactor_lag import ReactorLag
from homeserver.monitoring.scrape import Scrape
from homeserver.net.bounds import Bound
from homeserver.net.cooperate import Pace
from homeserver.net.exchange import Exchanges
from homeserver.outbound.agent import FederationAgent
from homeserver.outbound.client import FederationClient
from homeserver.outbound.delivery.attempt import Courier
from homeserver.outbound.delivery.outcome import Attempts
from homeserver.outbound.delivery.presence import PresenceAnswers
from homeserver.outbound.delivery.sender import Sender
from homeserver.outbound.transport.budget import Budgets
from homeserver.outbound.transport.connector import Connector
from homeserver.outbound.transport.dialer import Dialer
from homeserver.outbound.transport.verification import Verifier
from homeserver.storage.engine import choose
from homeserver.storage.engine.choose import Engine
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.engine.threaded import ThreadedDatabase
from homeserver.storage.forgetting import StoredState
from homeserver.storage.key_documents import DocumentStore
from homeserver.storage.known_peers import KnownPeers
from homeserver.storage.notifier import Changes
from homeserver.storage.outbox.leases import DestinationLeases
from homeserver.storage.outbox.progress import TotalsStore
from homeserver.storage.outbox.queue import OutboundQueue
from homeserver.storage.peers import PeerStore
from homeserver.storage.pruner import Pruner
from homeserver.storage.received import ReceivedStore
from homeserver.storage.refusals import RefusalStore
from homeserver.storage.retention import RetentionStore

# That read large bodies, of which two are read at once.
_THREADS = 2


class Parts:
    """What an endpoint is made of."""

    def __init__(
        self,
        path: Path,
        config: Config,
        credentials: Credentials,
        reactor: PosixReactorBase,
        random: Random,
    ) -> None:
        """`path` is that of the configuration. Raises `ConfigError`."""
        current, own = credentials.identity, config.server_name
        self.metrics = metrics = Metrics()
        exchanges = self.exchanges = Exchanges(reactor, metrics.observe)
        # Not the reactor's threads, which hanging look-ups of names may occupy.
        self.threads = ThreadPool(0, _THREADS, "read")

        engine, self.database = _open_store(
            path, config, reactor, metrics.observe_commit
        )
        received = self.received = ReceivedStore(self.database, own, Changes(reactor))
        peers = self.peers = PeerStore(self.database, own, reactor)
        queue = OutboundQueue(self.database, own, engine.clock)

        self.pruner = Pruner(
            RetentionStore(self.database, engine.clock),
            config.retention,
            reactor,
            metrics.count_pruned,
        )

        budgets = Budgets(reactor, config.limits.trusts)
        lookups, resolver = build_discovery(
            path, config, reactor, random, budgets, exchanges
        )
        policy = build_address_policy(config)
        dialer = Dialer(
            reactor,
            lookups.addresses,
            policy,
            credentials.client_context,
            exchanges,
        )
        methods = config.verification.methods
        verifier = self.verifier = Verifier(
            methods, peers, reactor, metrics.count_verification, exchanges
        )
        connector = Connector(dialer, verifier, budgets, reactor)
        self.agent = FederationAgent(reactor, resolver, connector)
        self.client = FederationClient(self.agent, current, reactor, exchanges)
        leases = DestinationLeases(
            self.database,
            lambda name: name == own,
            engine.clock,
            secrets.token_hex(16),
            config.sending.max_retry_seconds,
            is_shared=engine.is_shared,
        )
        attempts = Attempts(self.client, exchanges)
        self.sender = Sender(
            queue,
            leases,
            Courier(leases, attempts, config.sending, exchanges, random),
            attempts,
            reactor,
            random,
        )
        self.reactor_lag = ReactorLag(reactor, metrics.observe_lag, self.sender.adjust)
        keyring = Keyring(
            current,
            peers,
            self.client,
            reactor,
            metrics.count_key_fetch,
            config.limits.trusts,
        )

        certificates = ClientCertificates(
            config.tls.client_certificates,
            peers,
            self.client,
            credentials.client_context if "certificate" in methods else None,
            reactor,
        )
        pace = Pace(reactor)
        diagnoses = _make_diagnoses(config, keyring, reactor, pace)
        refusals = self.refusals = Refusals(
            RefusalStore(self.database, own), reactor, diagnoses.later
        )
        authenticator = Authenticator(
            current,
            keyring,
            certificates,
            partial(deferToThreadPool, reactor, self.threads),
        )
        limits = config.limits
        gate = XMatrixGate(
            authenticator,
            refusals,
            self.sender.note_alive,
            reactor,
            diagnoses,
            limits.trusts,
        )
        presence = PresenceAnswers(config.server_name, config.profiles, self.sender)
        receiver = TransactionReceiver(
            received,
            PduChecker(received, keyring, reactor, pace, config.events, diagnoses),
            presence.answer,
            reactor,
            pace,
            metrics.count_transaction,
        )
        publisher = KeyPublisher(current, config.signing.key_validity_seconds, reactor)
        notary = Notary(
            current,
            publisher.v2,
            DocumentStore(self.database, own),
            keyring,
            reactor,
        )
        queries: NotaryQueries | None = None
        if config.notary.enabled:
            queries = NotaryQueries(notary, reactor, limits.trusts)
        # Each part's limits on what others can make us hold or do; in this order they
        # are shown.
        self.connections = connections_to(limits, reactor)
        self.bounds: list[Bound] = [
            self.connections.bound,
            gate.bound,
            diagnoses.bound,
            refusals.bound,
            certificates.bound,
            *self.sender.bounds,
            *self.pruner.bounds,
            *budgets.bounds,
            *peers.bounds,
            *keyring.bounds,
            *resolver.kept.bounds,
            receiver.bound,
        ]
        if queries is not None:
            self.bounds.append(queries.bound)
        self.site = self._make_site(
            Router(
                [
                    *inbound_routes.key_routes(publisher, queries),
                    *inbound_routes.federation_routes(
                        gate, receiver, config.profiles, config.discovery.delegate_to
                    ),
                ],
                note_claim,
            ),
            federation_limits(limits),
            RequestLog("federation", exchanges, config.log.level, refusals.note),
            reactor,
        )

        self.control_site: BoundedSite | None = None
        if config.control.listen is not None:
            caches = CacheBook(resolver.kept, keyring.fetches, connector, reactor)
            book = PeerBook(
                peers,
                KnownPeers(self.database, own),
                self.sender,
                caches,
                (keyring, self.agent, certificates),
            )
            routes = [
                *control_routes.status_routes(
                    self.is_healthy,
                    Scrape(
                        metrics, TotalsStore(self.database, engine.clock), reactor
                    ).read,
                    self.bounds,
                ),
                *control_routes.send_routes(
                    Submitter(current, self.sender), self.sender
                ),
                *control_routes.inbound_routes(received, refusals),
                *control_routes.cache_routes(caches),
                *control_routes.lookup_routes(
                    partial(describe_resolution, resolver, reactor),
                    partial(
                        describe_keys,
                        self.client,
                        peers,
                        reactor,
                        verifier.invalid_documents,
                    ),
                    caches,
                ),
                *peer_routes(book),
                *state_routes(
                    state_kinds(
                        StoredState(self.database, engine.clock, reactor),
                        caches,
                        lambda _, peer: book.look_again(peer),
                    ),
                    lambda: [own],
                ),
            ]
            self.control_site = self._make_site(
                Router(
                    described(routes, control_routes.OPEN_TEMPLATES),
                    TokenGuard(
                        _load_token(path, config),
                        control_routes.OPEN_TEMPLATES,
                        config.control.hosts,
                    ).check,
                ),
                control_limits(config, reactor),
                RequestLog(
                    "control",
                    Exchanges(reactor, metrics.observe),
                    config.log.level,
                ),
                reactor,
            )
        metrics.watch_bounds(self.bounds)

    def _make_site(
        self,
        router: Router,
        limits: SiteLimits,
        request_log: RequestLog,
        clock: IReactorTime,
    ) -> BoundedSite:
        site = BoundedSite(router, limits, request_log, clock)
        self.metrics.watch_connections(request_log.listener, lambda: len(site.channels))
        self.bounds += limits.bounds
        return site

    async def is_healthy(self) -> bool:
        """Whether the store answers who reads and who writes, and is known to work."""
        try:
            await self.database.read(lambda cursor: cursor.execute("SELECT 1"))
            await self.database.write(lambda cursor: cursor.execute("SELECT 1"))
        except StoreUnavailable:
            return False
        return self.database.problem is None


def _make_diagnoses(
    config: Config, keyring: Keyring, clock: IReactorTime, pace: Pace
) -> Diagnoses:
    delegated = config.discovery.delegate_to
    return Diagnoses(
        keyring.candidates,
        DiagnosisBudget(clock, config.limits.trusts),
        clock,
        pace,
        [] if delegated is None else [delegated.name],
    )


def _open_store(
    path: Path,
    config: Config,
    reactor: PosixReactorBase,
    observe: Callable[[int, float], object],
) -> tuple[Engine, ThreadedDatabase]:
    try:
        engine = choose.choose(config.storage.url, path.absolute().parent, reactor)
        database = ThreadedDatabase(
            engine, reactor, reactor, config.server_name, observe
        )
    except StoreUnavailable as problem:
        raise ConfigError(path, [f"storage.url: {problem}"]) from None
    return engine, database


def _load_token(path: Path, config: Config) -> str:
    try:
        return load_token(config.control.token_file)
    except ValueError as problem:
        raise ConfigError(path, [str(problem)]) from None
