"""A store whose time goes on: what was received and sent in it, and what is removed."""

from functools import partial

from twisted.internet.task import Clock

from homeserver.protocol.canonical_json import Json
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.notifier import Changes
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from homeserver.storage.retention import OUTCOMES, RetentionStore
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B, Endpoint, StoreTime
from tests.support.our_names import OUR_NAME

HOUR = 3600.0


class AgingStore:
    """A store with what was received and sent, and what removes it."""

    def __init__(self, database: ImmediateDatabase) -> None:
        self.time = StoreTime()
        self.endpoint = Endpoint(database, self.time)
        self.received = ReceivedStore(database, OUR_NAME, Changes(Clock()))
        self.retention = RetentionStore(database, lambda _: self.time.now_ts)
        self.prune_delivered = partial(self.retention.prune_sent, "delivered_ts")
        self.prune_rejected = partial(self.retention.prune_sent, "rejected_ts")
        self.prune_dropped = partial(self.retention.prune_sent, "dropped_ts")
        self._database = database

    def receive(self, *txn_ids: str, pdus: int = 1, size: int = 10) -> None:
        """Receive transactions now."""
        for txn_id in txn_ids:
            events = [
                JudgedPdu(None, None, "accepted", b'"' + b"x" * size + b'"')
                for _ in range(pdus)
            ]
            edus: list[Json] = [{"edu_type": "m.test", "content": {}}]
            reply = f"reply to {txn_id}".encode()
            result_of(
                self.received.record(
                    ReceivedTransaction(
                        A,
                        txn_id,
                        self.time.now_ts,
                        "ed25519:a",
                        None,
                        events,
                        edus,
                        ["odd"],
                        reply,
                    )
                )
            )

    def count(self) -> None:
        """Count all that there is to count."""
        while result_of(self.retention.count_received()):
            pass
        for outcome in OUTCOMES:
            while result_of(self.retention.count_sent(outcome)):
                pass

    def settle(self) -> None:
        """Let the minute pass after which an outcome may be counted, and count."""
        self.time.advance(60)
        self.count()

    def length(self) -> int:
        """What is kept takes so much."""
        return result_of(self.retention.length())

    def listed(self) -> list[object]:
        """The transactions that are shown."""
        return [each.txn_id for each in result_of(self.received.after(0, None, 99, 0))]

    def replies(self, *txn_ids: str) -> list[str]:
        """The transactions whose reply is still known."""
        return [
            txn_id
            for txn_id in txn_ids
            if result_of(self.received.reply_to(A, txn_id)) is not None
        ]

    def rows(self, table: str) -> int:
        """How many rows a table has."""

        def job(cursor: Cursor) -> int:
            [count] = cursor.execute(f"SELECT COUNT(*) FROM {table}").fetchone()
            return int(count)

        return result_of(self._database.read(job))

    def deliver(self) -> int:
        """Queue something and deliver it; its ID."""
        own_id = self.endpoint.add(B, 1)
        [owed] = self.endpoint.lease()
        self.endpoint.deliver(owed)
        return own_id

    def reject(self) -> int:
        """Queue something that is rejected; its ID."""
        own_id = self.endpoint.add(B, 2)
        [owed] = self.endpoint.lease()
        self.endpoint.reject(owed)
        return own_id

    def drop(self) -> int:
        """Queue something that is dropped, as it is stale after an hour; its ID."""
        own_id = self.endpoint.add_entry(
            B, [], [{"edu_type": "m.x"}], is_ephemeral=True
        )
        self.time.advance(HOUR)
        assert self.endpoint.lease() == []
        return own_id

    def is_told(self, own_id: int) -> bool:
        """Whether it can be told what has become of something that was sent."""
        return result_of(self.endpoint.queue.state(B, own_id)) is not None
