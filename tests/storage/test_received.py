"""Received transactions: recorded once, each content with its reply."""

import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import psycopg
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import EventId, ServerName
from homeserver.protocol.transactions import MAX_TXN_ID_BYTES
from homeserver.storage.engine.interface import Cursor, Job, Short
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.notifier import Changes
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from tests.support.coroutines import result_of
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.received_stores import (
    OTHER_ROOM,
    ROOM,
    A,
    B,
    InPostgres,
    ReceivedStoreTestCase,
    create,
    transaction,
)

_T = TypeVar("_T")


class ReceivedStoreTests(ReceivedStoreTestCase):
    """The received transactions of one server, in SQLite."""

    def test_reply(self) -> None:
        """What was recorded has the reply that it was recorded with."""
        self.assertEqual(
            self.record(transaction(A, "1"), transaction(B, "1"), transaction(A, "2")),
            [
                b"reply to 1 of a.example",
                b"reply to 1 of b.example",
                b"reply to 2 of a.example",
            ],
        )
        self.assertEqual(self.reply_to(A, "1"), b"reply to 1 of a.example")
        self.assertEqual(self.reply_to(B, "1"), b"reply to 1 of b.example")
        self.assertEqual(self.reply_to(A, "2"), b"reply to 2 of a.example")

    def test_each_content_has_a_reply(self) -> None:
        """One ID has as many replies as contents, each for its own content alone."""
        first = replace(transaction(A, "1"), digest=b"1", reply=b"first")
        second = replace(first, digest=b"2", reply=b"second", earlier_contents=1)
        self.assertEqual(self.record(first, second), [b"first", b"second"])
        for digest, reply in [(b"1", b"first"), (b"2", b"second"), (b"3", None)]:
            self.assertEqual(self.done(self.store.reply_to(A, "1", digest)), reply)
        self.assertEqual(self.names(), ["1", "1"])

    def test_content_that_came_meanwhile(self) -> None:
        """Nothing is recorded where more came under an ID than was looked at."""
        first = replace(transaction(A, "1"), digest=b"1")
        for earlier in (0, 2):
            other = replace(first, digest=b"2", earlier_contents=earlier)
            self.record(first)
            self.assertEqual(self.record(other), [None])
        self.assertEqual(self.names(), ["1"])

    def test_known_under_an_id(self) -> None:
        """The PDUs and EDUs that came under an ID are known, in whichever content."""
        edus: list[Json] = [{"a": 1}, {"b": 1}, {"a": 1}]
        pdus = [
            JudgedPdu(EventId("$a"), "1", "accepted", b'{"a":1}'),
            JudgedPdu(None, None, "rejected: no", b'{"b":1}'),
        ]
        first = replace(transaction(A, "1", pdus[:1], edus[:1]), digest=b"1")
        second = replace(transaction(A, "1", pdus[1:], edus[1:2]), digest=b"2")
        self.record(first, replace(second, earlier_contents=1))
        self.record(transaction(B, "1", [pdus[0]], [{"c": 1}]), transaction(A, "2"))
        known = self.done(self.store.known_under(A, "1"))
        self.assertEqual(known.contents, 2)
        self.assertEqual(known.verdict_on("$a", b'{"a":1}'), "accepted")
        self.assertEqual(known.verdict_on(None, b'{"b":1}'), "rejected: no")
        for event_id, event in [("$a", b'{"a":2}'), ("$b", b'{"a":1}'), (None, b"{}")]:
            self.assertIsNone(known.verdict_on(event_id, event))
        self.assertEqual(known.new_edus([*edus, {"c": 1}]), [{"a": 1}, {"c": 1}])
        self.assertEqual(self.done(self.store.known_under(A, "3")).contents, 0)

    def test_longest_id(self) -> None:
        """An ID of the largest size is indexed beside the longest name."""
        origin = ServerName.parse("x" * 63 + ("." + "y" * 63) * 2 + "." + "z" * 50)
        txn_id = Random(1).randbytes(MAX_TXN_ID_BYTES // 2).hex()
        received = replace(transaction(origin, txn_id), digest=b"d" * 32)
        self.assertEqual(self.record(received), [received.reply])
        self.assertEqual(self.names(), [txn_id])

    def test_ids_are_compared_byte_for_byte(self) -> None:
        """Names and IDs that differ only in case are different ones."""
        self.record(transaction(A, "a"))
        self.assertIsNone(self.reply_to(A, "A"))
        self.assertIsNone(self.reply_to(ServerName.parse("A.example"), "a"))

    def test_a_transaction_is_recorded_once(self) -> None:
        """What is recorded again gets the first reply, and leaves all as it was."""
        first = transaction(A, "1", [create(ROOM, "11")], [{"edu": 1}])
        again = replace(
            first,
            received_ts=2000,
            key_id="ed25519:b",
            pdus=[create(OTHER_ROOM, "12"), create(ROOM, "12")],
            edus=[],
            reply=b"another reply",
        )
        [reply] = self.record(first)
        assert reply is not None
        before = self.after()
        self.assertEqual(self.record(again), [reply])
        self.assertEqual(self.reply_to(A, "1"), reply)
        self.assertEqual(self.after(), before)
        self.assertEqual(self.room_versions(ROOM, OTHER_ROOM), {ROOM: "11"})

    def test_all_or_nothing(self) -> None:
        """A transaction of which one PDU cannot be recorded is not recorded."""
        waiting = self.wait()
        room: Any = OTHER_ROOM, None
        impossible = JudgedPdu(None, None, "accepted", b"{}", created_room=room)
        failing = self.store.record(
            transaction(A, "1", [create(ROOM, "11"), impossible])
        )
        self.failureResultOf(
            Deferred.fromCoroutine(failing),
            sqlite3.IntegrityError,
            psycopg.IntegrityError,
        )
        self.assertIsNone(self.reply_to(A, "1"))
        self.assertEqual(self.room_versions(ROOM), {})
        self.assertNoResult(waiting)
        self.record(transaction(A, "1"))
        [listed] = self.successResultOf(waiting)
        self.assertEqual(listed.pdus, [])


class PostgresReceivedStoreTests(InPostgres, ReceivedStoreTests):
    """The same, in PostgreSQL."""


class PrunedCursor:
    """A cursor between whose statements another process removes all transactions."""

    def __init__(self, own: Cursor, left: int) -> None:
        """They are removed after `left` more statements."""
        self._own = own
        self._left = left

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> "PrunedCursor":
        """As `Cursor.execute`."""
        if self._left == 0:
            for table in ("received_pdus", "received_transactions"):
                self._own.execute(f"DELETE FROM {table}")
        self._left -= 1
        self._own.execute(sql, parameters)
        return self

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> object:
        """As `Cursor.executemany`."""
        return self._own.executemany(sql, rows)

    def fetchone(self) -> Any:
        """As `Cursor.fetchone`."""
        return self._own.fetchone()

    def fetchall(self) -> list[Any]:
        """As `Cursor.fetchall`."""
        return self._own.fetchall()


class PrunedDatabase(MemoryDatabase):
    """A store whose transactions are removed while they are read."""

    statements = 0
    """After how many statements of a job."""

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""

        def pruned(cursor: Cursor) -> _T:
            return job(PrunedCursor(cursor, self.statements))

        return await super().read(pruned)


@pytest.mark.parametrize("statements", range(5))
@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.known_under(A, "1"),
        lambda store: store.reply_to(A, "1"),
        lambda store: store.after(0, None, 10, 0),
    ],
    ids=["known_under", "reply_to", "after"],
)
def test_pruned_while_it_is_read(
    call: Callable[[ReceivedStore], Coroutine[Deferred[Any], Any, Any]],
    statements: int,
) -> None:
    """A reader that meets the pruner finds what is left, and raises nothing."""
    database = PrunedDatabase()
    store = ReceivedStore(database, OUR_NAME, Changes(Clock()))
    event = JudgedPdu(EventId("$e"), "11", "accepted", b"{}")
    known = ReceivedTransaction(A, "1", 1, "k", None, [event], [{}], [], b"{}")
    result_of(store.record(known))
    database.statements = statements
    result_of(call(store))


class NotingDatabase(MemoryDatabase):
    """A store that notes which of its writes are short."""

    def __init__(self) -> None:
        super().__init__()
        self.are_short: list[bool] = []

    async def write(self, job: Job[_T]) -> _T:
        """As `Database.write`."""
        self.are_short.append(isinstance(job, Short))
        return await super().write(job)


def test_a_large_transaction_is_no_short_work() -> None:
    """The reactor records up to 64 KiB by itself, beside two empty lists."""
    database = NotingDatabase()
    store = ReceivedStore(database, OUR_NAME, Changes(Clock()))
    for txn_id, length in (("1", 65_536 - 4), ("2", 65_536 - 3)):
        event = JudgedPdu(EventId("$e"), "11", "accepted", b" " * length)
        result_of(store.record(transaction(A, txn_id, [event])))
    assert database.are_short == [True, False]
