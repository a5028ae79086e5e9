"""The cost of keeping and removing transactions: `scripts/retention` runs it.

It fills a store with received transactions of one PDU each and with delivered ones,
lets the steps of retention remove them, and prints the time and the space per million.
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import EventId, ServerName
from homeserver.storage.engine import choose
from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.interface import Job
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.migrations.migrate import migrate
from homeserver.storage.notifier import Changes
from homeserver.storage.outbox.batching import Acknowledged
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import DestinationLeases
from homeserver.storage.outbox.queue import OutboundQueue
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from homeserver.storage.retention import Removed, RetentionStore
from scripts.arguments import Arguments

_T = TypeVar("_T")

ALPHA, BETA = map(ServerName.parse, ["alpha.test", "beta.test"])
_GROUP = 100  # jobs in a commit while it is filled
_EVENT_BYTES = 650  # a message with one signature


class _Database:
    """A database without threads, with explicit commits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._jobs = 0
        self.group = 1

    async def write(self, job: Job[_T]) -> _T:
        """As `Database`; the commit is that of a group."""
        if self._jobs == 0:
            self._connection.begin()
        result = job(self._connection.cursor())
        self._jobs += 1
        if self._jobs >= self.group:
            self.commit()
        return result

    async def read(self, job: Job[_T]) -> _T:
        """As `Database`."""
        return job(self._connection.cursor())

    async def settle(self) -> None:
        """As `Database`."""

    def commit(self) -> None:
        """Commit what was written."""
        if self._jobs:
            self._connection.commit()
            self._jobs = 0


def main() -> None:
    """Fill, measure, remove, measure."""
    parser = Arguments(prog="scripts/retention", description=__doc__)
    parser.add_argument("--transactions", type=int, default=100_000)
    options = parser.parse_args()
    count: int = options.transactions
    with TemporaryDirectory(prefix="retention-") as folder:
        path = Path(folder) / "homeserver.db"
        clock = Clock()
        clock.advance(1_700_000_000)
        engine = choose.choose(f"sqlite:{path}", Path(folder), clock)
        connection = engine.connect()
        migrate(connection, ALPHA)
        database = _Database(connection)
        store = RetentionStore(database, engine.clock)
        empty = _used_bytes(connection)

        database.group = _GROUP
        _fill_received(ReceivedStore(database, ALPHA, Changes(clock)), clock, count)
        database.commit()
        received = _used_bytes(connection)
        queue = OutboundQueue(database, ALPHA, engine.clock)
        leases = DestinationLeases(
            database, ALPHA.__eq__, engine.clock, "x", 60.0, is_shared=False
        )
        _fill_sent(queue, leases, count)
        database.commit()
        sent = _used_bytes(connection)
        database.group = 1

        millions = count / 1e6
        begun = time.monotonic()
        while _result(store.count_received()):
            pass
        counting = time.monotonic() - begun
        print(
            f"a million received: {(received - empty) / 1e6 / millions:.0f} MB in the "
            f"file, counted as {_result(store.length()) / 1e6 / millions:.0f}"
        )
        clock.advance(61)
        while _result(store.count_sent("delivered_ts")):
            pass
        print(
            f"both counted as {_result(store.length()) / 1e6 / millions:.0f} MB of "
            f"{(sent - empty) / 1e6 / millions:.0f}"
        )
        print(
            f"a million sent: {(sent - received) / 1e6 / millions:.0f} MB in the file"
        )
        print(f"to count a million received: {counting / millions:.0f} s")
        for name, step in (
            ("received", store.prune_received),
            ("sent", partial(store.prune_sent, "delivered_ts")),
        ):
            took, longest = _remove(step)
            print(
                f"to remove a million {name}: {took / millions:.0f} s, the longest of "
                f"its steps {longest * 1000:.0f} ms"
            )
        connection.close()


def _fill_received(store: ReceivedStore, clock: Clock, count: int) -> None:
    body = b"x" * (_EVENT_BYTES - 2)
    for number in range(count):
        event_id = EventId(f"${number:043}")
        pdu = JudgedPdu(event_id, "11", "accepted", b'"%s"' % body)
        reply = b'{"pdus":{"%s":{}}}' % event_id.encode()
        received = ReceivedTransaction(
            BETA,
            f"1700000000000-{number}",
            int(clock.seconds() * 1000),
            "ed25519:a",
            None,
            [pdu],
            [],
            [],
            reply,
        )
        _result(store.record(received))


def _fill_sent(queue: OutboundQueue, leases: DestinationLeases, count: int) -> None:
    event: Json = {"x": "x" * _EVENT_BYTES}
    connection: Json = {"verified_by": "key-document", "address": "192.0.2.1"}
    for _ in range(count):
        _result(queue.add(BETA, [event], [], is_ephemeral=False))
        [pending] = _result(leases.lease(Quota(1, 1), ())).transactions
        _result(leases.record_delivery(pending, Acknowledged({"pdus": {}}, connection)))


def _remove(step: Callable[[float], Awaitable[Removed]]) -> tuple[float, float]:
    """How long all steps take, and the longest of them, in seconds."""
    begun, longest = time.monotonic(), 0.0
    while True:
        before = time.monotonic()
        removed = _result(step(0.0))
        longest = max(longest, time.monotonic() - before)
        if not removed.count:
            return time.monotonic() - begun, longest


def _used_bytes(connection: Connection) -> int:
    cursor = connection.cursor()
    pages, free, size = (
        cursor.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _result(call: Any) -> Any:
    """The result of a call that is done at once."""
    results: list[Any] = []
    Deferred.fromCoroutine(call).addCallback(results.append)
    return results[0]


if __name__ == "__main__":
    main()
