"""One endpoint's hold on a store of outbound queues, at a time that the test sets."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.outbox.batching import Acknowledged, PendingTransaction
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import DestinationLeases
from homeserver.storage.outbox.progress import QueueSummary
from homeserver.storage.outbox.queue import OutboundQueue
from tests.support.as_json import as_json
from tests.support.coroutines import result_of
from tests.support.our_names import OUR_NAME
from tests.support.queue_summaries import queue_summary

US = OUR_NAME

A, B, C = map(ServerName.parse, ["a.example", "b.example", "c.example"])

NOW = 1_600_000_000_000

MAX_RETRY = 3600.0


class StoreTime:
    """The time of a store."""

    def __init__(self) -> None:
        self.now_ts = NOW

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now_ts += int(seconds * 1000)


class Endpoint:
    """What one process does to the queues; its results are there at once."""

    def __init__(
        self,
        database: ImmediateDatabase,
        time: StoreTime,
        holder: str = "first",
        *,
        is_shared: bool = False,
        joins: bool | None = None,
        server_name: ServerName = US,
    ) -> None:
        """`server_name` is the only name that the process serves."""
        self.database = database
        self.time = time

        def clock(_: object) -> int:
            return time.now_ts

        self.queue = OutboundQueue(database, server_name, clock)
        self.leases = DestinationLeases(
            database,
            server_name.__eq__,
            clock,
            holder,
            MAX_RETRY,
            is_shared=is_shared,
            joins=joins,
        )

    def add(self, destination: ServerName, *numbers: int) -> int:
        """Queue an entry of PDUs."""
        return self.add_entry(destination, [numbered(each) for each in numbers], [])

    def add_entry(
        self,
        destination: ServerName,
        pdus: Sequence[Json],
        edus: Sequence[Json],
        *,
        is_ephemeral: bool = False,
    ) -> int:
        """Queue an entry."""
        return result_of(
            self.queue.add(destination, pdus, edus, is_ephemeral=is_ephemeral)
        )

    def lease(
        self, at_most: int = 100, serving: Collection[ServerName] = ()
    ) -> list[PendingTransaction]:
        """Take what is due."""
        return list(
            result_of(
                self.leases.lease(
                    Quota(at_most, at_most), [self.queue.of(name) for name in serving]
                )
            ).transactions
        )

    def wait(self) -> float | None:
        """In how many seconds there may be more, when nothing is due now."""
        leased = result_of(self.leases.lease(Quota(100, 100), ()))
        assert leased.transactions == []
        return leased.wait

    def deliver(self, pending: PendingTransaction, reply: Json | None = None) -> None:
        """Record that a transaction was delivered, and end the turn."""
        self._end_turn(self._deliver(pending, reply))

    def go_on(self, pending: PendingTransaction) -> PendingTransaction | None:
        """Record that a transaction was delivered; the next one of the same turn."""
        return self._deliver(pending, None)

    def _deliver(
        self, pending: PendingTransaction, reply: Json | None
    ) -> PendingTransaction | None:
        connection: Json = {"address": "::1"}
        return result_of(
            self.leases.record_delivery(pending, Acknowledged(reply, connection))
        )

    def _end_turn(self, following: PendingTransaction | None) -> None:
        if following is not None:
            result_of(self.leases.release(following))

    def fail(
        self,
        pending: PendingTransaction,
        pause: Callable[[int], float] = float,
        shortest: float = 1.0,
        why: str = "no",
    ) -> float | None:
        """Record that it was not; the pause that is made, in seconds."""
        return result_of(self.leases.record_failure(pending, why, pause, shortest))

    def reject(self, pending: PendingTransaction) -> None:
        """Record that it never will be, and end the turn."""
        self._end_turn(self.reject_and_go_on(pending))

    def reject_and_go_on(
        self, pending: PendingTransaction
    ) -> PendingTransaction | None:
        """Record that it never will be; the next one of the same turn."""
        reply: Json = {"error": "never"}
        return result_of(self.leases.record_rejection(pending, "never", reply))

    def state(self, destination: ServerName, entry_id: int) -> Json:
        """How far an entry has come."""
        state = result_of(self.queue.state(destination, entry_id))
        assert state is not None
        return as_json(state)

    def summary(self, destination: ServerName) -> Json:
        """How a destination is."""
        summary = self.find_summary(destination)
        assert summary is not None
        return as_json(summary)

    def find_summary(self, destination: ServerName) -> QueueSummary | None:
        """The same; None if nothing is and was queued."""
        own = self.queue.server_name
        return result_of(queue_summary(self.database, own, destination))

    def rows(self, sql: str) -> list[Any]:
        """What a statement finds in the store."""
        return result_of(
            self.database.write(lambda cursor: cursor.execute(sql).fetchall())
        )


def numbered(number: int) -> Json:
    """A PDU or EDU that can be told from others."""
    return {"number": number}


def numbers(pending: PendingTransaction) -> list[object]:
    """The numbers of the PDUs in a transaction."""
    pdus = parse_object(pending.body)["pdus"]
    assert isinstance(pdus, list)
    return [pdu["number"] for pdu in pdus]
