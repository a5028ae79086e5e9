"""A sender over a store in memory, whose calls end when the test says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from homeserver.config.values import Sending
from homeserver.net.cooperate import Pace
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.wall_clock import wall_seconds
from homeserver.outbound.client import Delivery, FederationClient
from homeserver.outbound.delivery.attempts import Attempts
from homeserver.outbound.delivery.deliverer import Deliverer
from homeserver.outbound.delivery.outgoing import Outgoing
from homeserver.outbound.delivery.sender import Sender
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.canonical_json import Json, as_list, parse_object
from homeserver.protocol.discovery import Route
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor, Database, Job, StoreUnavailable
from homeserver.storage.outbox.leases import DestinationLeases
from homeserver.storage.outbox.queue import OutboundQueue
from tests.support.as_json import as_json
from tests.support.memory_database import MemoryDatabase
from tests.support.memory_tls_servers import start

_T = TypeVar("_T")

US = ServerName.parse("origin.test")
ALPHA = ServerName.parse("alpha.test")
BETA = ServerName.parse("beta.test")

FIRST_RETRY = 2.0
MAX_RETRY = 60.0

NOW = 1_700_000_000.0
"""The clock's time, in seconds since 1970."""

EDU: Json = {"edu_type": "m.test", "content": {}}


def link(destination: ServerName, address: str = "192.0.2.1") -> VerifiedConnection:
    """A connection as a delivery has it."""
    route = Route("s.test", 8448, destination.name, destination.host)
    return VerifiedConnection(
        route, address, VerifiedPeer(destination, "certificate", b"DER")
    )


UNREACHABLE = Unreachable(ALPHA, ["s.test:8448: cannot connect"])
REFUSED = Refused(ALPHA, 403, "M_FORBIDDEN", "no")


@dataclass
class Call:
    """A transaction that was handed to the client."""

    destination: ServerName
    txn_id: str
    body: bytes
    result: Deferred[Delivery]
    slash: bool = False

    def acknowledge(
        self, reply: Json | None = None, problems: Sequence[str] = ()
    ) -> None:
        """Let the destination say 200."""
        self.result.callback(Delivery(reply, link(self.destination), problems))

    def fail(self, problem: Exception = UNREACHABLE) -> None:
        """Let it fail."""
        self.result.errback(Failure(problem))

    @property
    def pdus(self) -> list[object]:
        """The PDUs in it."""
        return as_list(parse_object(self.body)["pdus"], "`pdus`")

    @property
    def edus(self) -> list[object]:
        """The EDUs in it."""
        return as_list(parse_object(self.body)["edus"], "`edus`")


class Client:
    """A client whose calls end when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.address: str | None = None
        """Where every destination is reached at once; None if it is not."""

    async def send_transaction(
        self,
        destination: ServerName,
        txn_id: str,
        body: bytes,
        *,
        exchange: Exchange,
        slash: bool = False,
        connected: Callable[[VerifiedConnection], object] = lambda _: None,
    ) -> Delivery:
        """As `FederationClient`."""
        if self.address is not None:
            connected(link(destination, self.address))
        call = Call(destination, txn_id, body, Deferred(), slash)
        self.calls.append(call)
        try:
            delivery = await call.result
        except Refused as problem:
            exchange.status = problem.status
            raise
        exchange.status = 200
        return delivery


class Store:
    """A store that is there or not, and whose results come at once or later."""

    def __init__(self) -> None:
        self._database = MemoryDatabase()
        self.is_available = True
        self.jobs = 0
        """How many it was asked to do."""

        self.refused = 0
        """How many of them it did not do."""

        self.clock: Clock | None = None
        """Where set, a job is done at once and its result comes a moment later."""

    async def write(self, job: Job[_T]) -> _T:
        """As `Database.write`."""
        result = await self._database.write(self._checked(job))
        await self._wait()
        return result

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""
        result = await self._database.read(self._checked(job))
        await self._wait()
        return result

    async def settle(self) -> None:
        """As `Database.settle`."""
        await self._database.settle()

    def execute(self, sql: str) -> list[Any]:
        """Run a statement beside the store's own; its rows."""
        return self._database.connection.execute(sql).fetchall()

    def _checked(self, job: Job[_T]) -> Job[_T]:
        self.jobs += 1
        if not self.is_available:
            self.refused += 1
            raise StoreUnavailable("disk full")
        return job

    async def _wait(self) -> None:
        if self.clock is not None:
            later: Deferred[None] = Deferred()
            self.clock.callLater(0, later.callback, None)
            await later


class Middling(Random):
    """Chance without chance: the middle of every range, and nothing is shuffled."""

    def uniform(self, a: float, b: float) -> float:
        """The middle."""
        return (a + b) / 2

    def shuffle(self, x: object) -> None:
        """Leave it as it is."""


def build_sender(
    database: Database,
    client: FederationClient,
    config: Sending,
    clock: IReactorTime,
    random: Random,
    *,
    holder: str = "this process",
    is_shared: bool = False,
    observe: Callable[[Exchange], object] = lambda _: None,
) -> "OneQueue":
    """A sender with all its parts, whose store goes by the clock."""

    def store_clock(_: Cursor) -> int:
        return int(wall_seconds(clock) * 1000)

    leases = DestinationLeases(
        database,
        US.__eq__,
        store_clock,
        holder,
        config.max_retry_seconds,
        is_shared=is_shared,
    )
    exchanges = Exchanges(clock, observe)
    attempts = Attempts(lambda _: client, exchanges)
    deliverer = Deliverer(leases, attempts, config, exchanges, random, Pace(clock))
    queue = OutboundQueue(database, US, store_clock)
    return OneQueue(queue, deliverer, clock, random)


class OneQueue(Sender):
    """The sender of one server, and the queue of that server."""

    def __init__(
        self,
        queue: OutboundQueue,
        deliverer: Deliverer,
        clock: IReactorTime,
        random: Random,
    ) -> None:
        self.outgoing = Outgoing(queue, deliverer.attempts, clock, self.wake)
        self.enqueue = self.outgoing.enqueue
        self.state = self.outgoing.state
        self.retry = self.outgoing.retry
        self.drop = self.outgoing.drop
        self.drop_all = self.outgoing.drop_all
        self.note_alive = self.outgoing.note_alive
        self.is_served = True
        super().__init__(
            deliverer,
            lambda _: self.is_served,
            lambda _: self.outgoing.announce(),
            clock,
            random,
        )

    async def stop(self) -> None:
        """Stop both."""
        self.outgoing.end_waits()
        await super().stop()


class SenderTestCase(SynchronousTestCase):
    """A sender over a store in memory and a client under control."""

    make_clock: Callable[[], Clock] = Clock

    def setUp(self) -> None:
        """Start the sender."""
        self.clock = self.make_clock()
        self.clock.advance(NOW)
        self.store = Store()
        self.client = Client()
        self.attempts: list[Exchange] = []
        """Those that are over."""

        self.senders = 0
        self.sender = self.make_sender()
        self.successResultOf(start(self.sender.start()))

    def make_sender(
        self, random: Random | None = None, *, is_shared: bool = False
    ) -> OneQueue:
        """A sender over the store."""
        self.senders += 1
        return build_sender(
            cast("Database", self.store),
            cast("FederationClient", self.client),
            Sending(first_retry_seconds=FIRST_RETRY, max_retry_seconds=MAX_RETRY),
            self.clock,
            random or Middling(),
            holder=f"process {self.senders}",
            is_shared=is_shared,
            observe=self.attempts.append,
        )

    @property
    def calls(self) -> list[Call]:
        """The calls of the client up to now."""
        self.clock.advance(0)
        return self.client.calls

    def enqueue(
        self, destination: ServerName = ALPHA, pdus: int = 1, edus: int = 0
    ) -> int:
        """Queue PDUs, which are numbered, and EDUs; the entry's ID."""
        entry: list[Json] = [{"n": n} for n in range(pdus)]
        return self.successResultOf(
            start(self.sender.enqueue(destination, entry, [EDU] * edus))
        )

    def state(self, entry: int, destination: ServerName = ALPHA) -> Json:
        """The state of an entry now."""
        state = self.successResultOf(start(self.sender.state(destination, entry, 0)))
        assert state is not None
        return as_json(state)
