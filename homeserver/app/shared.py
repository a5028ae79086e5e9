"""The bill of materials, first part: the parts that all our servers in a process share.

Rules: each part is made here, once, and is given what it needs and no more. Nothing
starts here. What protects the process is here: its threads, its store, its budgets, and
the limits of the tables that other servers fill, which our servers divide among them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from weakref import WeakSet

from msgspec import Struct
from twisted.internet.interfaces import IProtocolFactory, IResolver
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from homeserver.app.discovery import (
    build_address_policy,
    build_discovery,
    build_lookups,
    build_trust,
)
from homeserver.app.store import Store
from homeserver.app.worker import Worker
from homeserver.config.values import Config
from homeserver.control.inspect import Reach
from homeserver.control.submit import Spoiler
from homeserver.http.bounded_request import connections_to, federation_limits
from homeserver.http.router import Answer, Route
from homeserver.http.tls_listener import ListeningTls
from homeserver.inbound.authentication import MAX_LARGE_BODIES, large_bodies
from homeserver.inbound.client_certificates import CertificateLimits
from homeserver.inbound.diagnosis_budget import DiagnosisBudget
from homeserver.inbound.gate import count_unproven
from homeserver.inbound.notary_queries import count_queries
from homeserver.inbound.refusal_queue import RefusalQueue
from homeserver.inbound.turns import Turns
from homeserver.keys.keyring import KeyringLimits
from homeserver.monitoring.metrics import Metrics
from homeserver.net.bounded_map import SharedLimit
from homeserver.net.bounds import Bound
from homeserver.net.cache import MAX_ENTRIES
from homeserver.net.cooperate import Pace
from homeserver.net.exchanges import Exchanges
from homeserver.net.tls.server import ServerContexts
from homeserver.outbound.agent import Depart
from homeserver.outbound.transport.budget import Budgets
from homeserver.outbound.transport.connector import MAX_AVOIDED
from homeserver.outbound.transport.dialer import Dialer, Target
from homeserver.outbound.transport.idle_connections import IdleConnections
from homeserver.storage.notifier import Changes
from homeserver.storage.outbox.progress import TotalsStore
from homeserver.storage.peer_memory import PeerMemory
from homeserver.storage.pruner import Pruner
from homeserver.storage.retention import RetentionStore
from homeserver.users.device_list_fetches import device_list_shares


class OutgoingHooks(Struct, frozen=True):
    """What changes what our servers send."""

    depart: Depart = lambda outgoing, _: outgoing
    """The request that is sent in place of one."""

    aim: Callable[[Target], Target] = lambda target: target
    """The connection that is made in place of one."""


class Outside(Struct, frozen=True):
    """What a process stands on."""

    make_store: Callable[[Callable[[int, float], object]], Store]
    """Makes the store, given a function that observes its commits."""

    name_servers: IResolver | None = None
    """Answers all questions to the DNS, in place of what is configured."""

    wrap: Callable[[Route], Answer] | None = None
    """Makes the answer of each federation route, from that of this endpoint."""

    wrap_listener: Callable[[ListeningTls], IProtocolFactory] | None = None
    """Makes the factory of each federation listener, from that of this endpoint."""

    outgoing: OutgoingHooks = OutgoingHooks()
    worker: Worker | None = None
    """The process among others of this endpoint; None where it is alone."""

    spoiler: Spoiler | None = None
    """Makes the mistakes of transactions that are wrong on purpose."""


class Shared:
    """The parts that all our servers share."""

    def __init__(
        self,
        path: Path,
        config: Config,
        reactor: PosixReactorBase,
        random: Random,
        outside: Outside,
    ) -> None:
        """`path` is that of the configuration. Raises `ConfigError`."""
        self.path = path
        self.config = config
        self.reactor = reactor
        self.random = random
        self.wrap_listener = outside.wrap_listener
        self.outgoing = outside.outgoing
        self.wrap = outside.wrap
        self.metrics = metrics = Metrics()
        self.exchanges = Exchanges(reactor, metrics.observe)
        self.spoiler = outside.spoiler
        self.pace = Pace(reactor)
        # Not the reactor's threads, which hanging name look-ups may occupy.
        self.threads = ThreadPool(0, MAX_LARGE_BODIES, "read")
        self.in_thread = partial(deferToThreadPool, reactor, self.threads)

        self.worker = worker = outside.worker
        self._changes: WeakSet[Changes] = WeakSet()
        workers = 1 if worker is None else worker.count

        self.store = outside.make_store(metrics.observe_commit)
        self.totals = TotalsStore(self.store.database, self.store.clock)
        self.peer_memory = PeerMemory(reactor)
        self.pruner = Pruner(
            RetentionStore(self.store.database, self.store.clock),
            config.retention,
            reactor,
            metrics.count_pruned,
        )

        trusts = config.limits.trusts
        self.budgets = Budgets(reactor, trusts, workers)
        self.trust = build_trust(path, config)
        lookups = build_lookups(config, reactor, self.exchanges, outside.name_servers)
        self.resolver = build_discovery(
            config, self.trust, lookups, reactor, random, self.budgets
        )
        policy = build_address_policy(config)
        self.reach = Reach(lookups.addresses, policy)
        self.dialer = Dialer(
            reactor,
            lookups.addresses,
            policy,
            self.trust.context,
            self.exchanges,
            outside.outgoing.aim,
        )

        self.idle = IdleConnections(reactor)

        # Clients come to each worker alike, so each has its part of their budgets.
        self.connections = connections_to(config.limits, reactor, workers)
        self.site_limits = federation_limits(config.limits, workers)
        self.server_contexts = ServerContexts()
        self.large_bodies = large_bodies()
        self.unproven = count_unproven(reactor, trusts, workers)
        self.diagnosis_budget = DiagnosisBudget(reactor, trusts, workers)
        self.certificates = CertificateLimits()
        self.keyrings = KeyringLimits(reactor, trusts)
        self.device_list_fetches = device_list_shares(reactor, trusts, workers)
        self.locks = None if worker is None else worker.locks
        self.turns = Turns(reactor, self.pace, self.locks)
        self.received = self.make_changes()
        self.refused = self.make_changes()
        self.refusals = RefusalQueue(reactor)
        self.notary_buckets = (
            count_queries(reactor, trusts, workers) if config.notary.enabled else None
        )
        # Entries of tables in memory that other servers fill.
        self.avoided = SharedLimit(MAX_AVOIDED)
        self.unlisted = SharedLimit(MAX_ENTRIES)
        self.alive = SharedLimit(MAX_ENTRIES)

    def make_changes(self, wider: Changes | None = None) -> Changes:
        """Changes that other workers announce as well.

        With `wider`, which was made here, each of them is also one of these.
        """
        tell = None if self.worker is None else self.worker.bell.ring
        if wider is not None:
            tell = wider.announce
        changes = Changes(self.reactor, tell)
        self._changes.add(changes)
        return changes

    def note_changes(self) -> None:
        """Wake what waits: another worker has changed something."""
        for changes in list(self._changes):
            changes.wake()

    def end_waits(self) -> None:
        """End all waits for something new of any of our servers."""
        self.received.end_waits()
        self.refused.end_waits()

    @property
    def bounds(self) -> list[Bound]:
        """The limits on what other servers can make this one hold or do."""
        queries = [] if self.notary_buckets is None else [self.notary_buckets.bound]
        return [
            self.connections.bound,
            self.unproven.bound,
            self.diagnosis_budget.bound,
            self.refusals.bound,
            self.certificates.bound,
            self.idle.bound,
            *self.pruner.bounds,
            *self.budgets.bounds,
            *self.peer_memory.bounds,
            *self.keyrings.bounds,
            *self.resolver.kept.bounds,
            self.device_list_fetches.bound,
            self.turns.bound,
            *queries,
            *self.site_limits.bounds,
        ]
