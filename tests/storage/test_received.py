"""Received transactions: recorded once, listed in order, waited for."""

import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import psycopg
import pytest
from msgspec import structs
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.protocol.canonical_json import Json, as_list, as_object, encode
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.events.version_inference import VersionSource
from homeserver.protocol.identifiers import EventId, RoomId, ServerName
from homeserver.protocol.remarks import Remark
from homeserver.protocol.transactions import MAX_TXN_ID_BYTES
from homeserver.storage import pages
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Cursor, Job, Short
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.notifier import Changes
from homeserver.storage.pages import ListedTransaction
from homeserver.storage.received import (
    ReceivedStore,
    ReceivedTransaction,
)
from tests.support.as_json import as_json
from tests.support.coroutines import result_of
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.pdus import message
from tests.support.postgres_server import PostgresDatabase

_T = TypeVar("_T")

A, B = map(ServerName.parse, ["a.example", "b.example"])
ROOM, OTHER_ROOM = RoomId("!room:a.example"), RoomId("!other:a.example")


def create(room_id: RoomId, room_version: str) -> JudgedPdu:
    """An accepted create event."""
    room = room_id, room_version
    return JudgedPdu(None, room_version, "accepted", b"{}", created_room=room)


def transaction(
    origin: ServerName,
    txn_id: str,
    pdus: Sequence[JudgedPdu] = (),
    edus: Sequence[Json] = (),
) -> ReceivedTransaction:
    """A transaction, whose reply names it."""
    reply = f"reply to {txn_id} of {origin}".encode()
    return ReceivedTransaction(
        origin, txn_id, 1000, "ed25519:a", None, pdus, edus, [], reply
    )


class ReceivedStoreTests(SynchronousTestCase):
    """The received transactions of one server, in SQLite."""

    database: ImmediateDatabase

    @pytest.fixture(autouse=True)
    def _open(self) -> None:
        self.database = MemoryDatabase()

    def setUp(self) -> None:
        """Begin with an empty store."""
        self.clock = Clock()
        self.changes = Changes(self.clock)
        self.store = ReceivedStore(self.database, OUR_NAME, self.changes)

    def done(self, call: Coroutine[Deferred[Any], Any, _T]) -> _T:
        """What a call that is done at once returns."""
        return self.successResultOf(Deferred.fromCoroutine(call))

    def record(self, *received: ReceivedTransaction) -> list[bytes | None]:
        """Record transactions; the replies to them."""
        return [self.done(self.store.record(each)) for each in received]

    def reply_to(self, origin: ServerName, txn_id: str) -> bytes | None:
        """The recorded reply."""
        return self.done(self.store.reply_to(origin, txn_id))

    def after(
        self, after: int = 0, origin: ServerName | None = None, limit: int = 100
    ) -> list[Json]:
        """What is there, without waiting."""
        return [*map(as_json, self.done(self.store.after(after, origin, limit, 0)))]

    def names(
        self, after: int = 0, origin: ServerName | None = None, limit: int = 100
    ) -> list[object]:
        """The transaction IDs of what is there."""
        return [each["txn_id"] for each in self.after(after, origin, limit)]

    def wait(
        self, origin: ServerName | None = None
    ) -> Deferred[list[ListedTransaction]]:
        """Wait ten seconds for what is there or comes."""
        return Deferred.fromCoroutine(self.store.after(0, origin, 100, 10))

    def room_versions(self, *room_ids: RoomId) -> dict[RoomId, str]:
        """The recorded versions of rooms."""
        return self.done(self.store.room_versions(room_ids))

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

    def test_form(self) -> None:
        """A transaction is listed with all that was recorded of it."""
        event: Json = {
            "type": "m.x",
            "content": {"ä\0": [1.5, 2**53, None, "\U0001f600"]},
        }
        edu: Json = {"edu_type": "m.y", "content": {"a": -1.0}}
        self.record(
            ReceivedTransaction(
                A,
                "1/ä",
                1234567890123,
                "ed25519:a_1",
                "0a" * 32,
                [
                    JudgedPdu(
                        EventId("$b"),
                        "12",
                        "accepted",
                        encode(event),
                        VersionSource.EVENT_FORMAT,
                    ),
                    JudgedPdu(EventId("$a"), "1", "redacted: content hash", b"{}"),
                    JudgedPdu(None, None, "rejected: no", b'{"a":1}'),
                ],
                [edu, {}],
                ["not so"],
                b"{}",
                remarks=[Remark("other", "how odd")],
            )
        )
        self.assertEqual(
            self.after(),
            [
                {
                    "id": 1,
                    "origin": "a.example",
                    "txn_id": "1/ä",
                    "received_ts": 1234567890123,
                    "verified_by": {
                        "key_id": "ed25519:a_1",
                        "client_certificate": "0a" * 32,
                    },
                    "pdus": [
                        {
                            "event_id": "$b",
                            "room_version": "12",
                            "room_version_source": "event format",
                            "verdict": "accepted",
                            "event": event,
                        },
                        {
                            "event_id": "$a",
                            "room_version": "1",
                            "room_version_source": None,
                            "verdict": "redacted: content hash",
                            "event": {},
                        },
                        {
                            "event_id": None,
                            "room_version": None,
                            "room_version_source": None,
                            "verdict": "rejected: no",
                            "event": {"a": 1},
                        },
                    ],
                    "edus": [edu, {}],
                    "problems": ["not so"],
                    "remarks": [{"code": "other", "text": "how odd"}],
                }
            ],
        )

    def test_each_has_its_own_pdus(self) -> None:
        """A PDU is listed with the transaction that it came in."""
        for txn_id in "12":
            pdu = JudgedPdu(None, "12", "accepted", encode({"of": txn_id}))
            self.record(transaction(A, txn_id, [pdu]))
        for listed in self.after():
            [found] = as_list(listed["pdus"], "PDUs")
            event = as_object(found, "a PDU")["event"]
            self.assertEqual(event, {"of": listed["txn_id"]})

    def test_oldest_first(self) -> None:
        """Transactions are listed in the order in which they were recorded."""
        self.record(*(transaction(A, txn_id) for txn_id in "cab"))
        self.assertEqual(self.names(), ["c", "a", "b"])
        second = self.after()[1]["id"]
        assert isinstance(second, int)
        self.assertEqual(self.names(after=second), ["b"])
        self.assertEqual(self.names(after=second - 1), ["a", "b"])
        self.assertEqual(self.names(limit=2), ["c", "a"])
        self.assertEqual(self.names(limit=0), [])

    def test_origin(self) -> None:
        """Who asks for one origin gets its transactions only, up to the limit."""
        self.record(
            transaction(A, "1"),
            transaction(B, "2"),
            transaction(A, "3"),
            transaction(B, "4"),
        )
        self.assertEqual(self.names(), ["1", "2", "3", "4"])
        self.assertEqual(self.names(origin=B), ["2", "4"])
        self.assertEqual(self.names(origin=B, limit=1), ["2"])
        self.assertEqual(self.names(origin=B, after=2), ["4"])
        self.assertEqual(self.names(origin=ServerName.parse("c.example")), [])

    def test_waiting_for_an_origin(self) -> None:
        """Who waits for one origin is not content with another's transaction."""
        waiting = self.wait(B)
        self.record(transaction(A, "1"))
        self.assertNoResult(waiting)
        self.record(transaction(B, "2"))
        [listed] = self.successResultOf(waiting)
        self.assertEqual(listed.txn_id, "2")

    def test_signers(self) -> None:
        """Of an event of a room version, the servers are known that had signed it."""
        signed = JudgedPdu(
            EventId("$a"), "12", "accepted", b"{}", signers=frozenset({A})
        )
        pdus = [
            signed,
            structs.replace(signed, room_version="11", signers=frozenset({A, B})),
            structs.replace(
                signed, event_id=EventId("$b"), verdict="redacted: content hash"
            ),
            structs.replace(signed, event_id=EventId("$c"), signers=frozenset()),
            structs.replace(signed, event_id=None),
        ]
        self.record(transaction(A, "1", pdus))
        self.record(transaction(B, "1", pdus))
        self.record(
            transaction(B, "2", [structs.replace(signed, signers=frozenset({B}))])
        )
        asked = [
            (EventId(event_id), version, 5)
            for event_id in ("$a", "$b", "$c", "$d")
            for version in ("11", "12")
        ]
        self.assertEqual(
            self.done(self.store.signers(asked)),
            {("$a", "12", 5): {A, B}, ("$a", "11", 5): {A, B}, ("$b", "12", 5): {A}},
        )
        self.assertEqual(self.done(self.store.signers(asked[4:])), {})

    def test_signers_of_events_with_times(self) -> None:
        """They are found by the time of the event, whatever integer that is."""
        times = [0, 2, 2**53, 2**63, 2**64 - 1, -(2**63), 1 - 2**64]
        events = [
            Event.parse(message("5", origin_server_ts=each), ROOM_VERSIONS["5"])
            for each in times
        ]
        pdus = [
            JudgedPdu(
                each.event_id,
                "5",
                "accepted",
                each.encoded,
                signers=frozenset({A}),
                parsed=each,
            )
            for each in events
        ]
        self.record(transaction(A, "1", pdus))
        asked = [(each.event_id, "5", each.origin_server_ts) for each in events]
        found = self.done(self.store.signers(asked))
        self.assertEqual(found, {each: {A} for each in asked})
        others = [(event_id, "5", 7) for event_id, _, _ in asked]
        self.assertEqual(self.done(self.store.signers(others)), {})

    def test_rooms(self) -> None:
        """A room has the version of the accepted event that founded it."""
        self.record(transaction(A, "1", [create(ROOM, "11"), create(OTHER_ROOM, "1")]))
        unknown = RoomId("!unknown:a.example")
        self.assertEqual(
            self.room_versions(ROOM, OTHER_ROOM, unknown), {ROOM: "11", OTHER_ROOM: "1"}
        )
        self.assertEqual(self.room_versions(OTHER_ROOM), {OTHER_ROOM: "1"})
        self.assertEqual(self.room_versions(), {})

    def test_a_room_is_founded_once(self) -> None:
        """A later create event does not change the version of a room."""
        self.record(
            transaction(A, "1", [create(ROOM, "11")]),
            transaction(A, "2", [create(ROOM, "12")]),
        )
        self.assertEqual(self.room_versions(ROOM), {ROOM: "11"})

    def test_other_events_found_no_room(self) -> None:
        """An event that creates no room leaves no room version."""
        message = JudgedPdu(None, "12", "accepted", encode({"room_id": ROOM}))
        self.record(transaction(A, "1", [message]))
        self.assertEqual(self.room_versions(ROOM), {})

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

    def test_a_page_is_bounded(self) -> None:
        """Large transactions come one at a time, and none is left out."""
        self.patch(pages, "MAX_PAGE_LENGTH", 1000)
        large = JudgedPdu(None, "12", "accepted", encode({"x": "y" * 600}))
        for number in range(3):
            self.record(transaction(A, str(number), [large], [{"x": "y" * 600}]))
        self.record(transaction(A, "3"), transaction(A, "4"))
        self.assertEqual(self.names(), ["0"])
        self.assertEqual(self.names(after=1), ["1"])
        self.assertEqual(self.names(after=3), ["3", "4"])


class PostgresReceivedStoreTests(ReceivedStoreTests):
    """The same, in PostgreSQL."""

    @pytest.fixture(autouse=True)
    def _open(self, postgres_database: PostgresDatabase) -> None:
        postgres_database.empty()
        self.database = postgres_database


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
