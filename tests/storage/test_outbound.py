"""The outbound queue: in order, cut once, the same until it is delivered."""

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from homeserver.protocol.canonical import Json, as_list, parse_object
from homeserver.protocol.names import ServerName
from homeserver.protocol.transactions import MAX_TRANSACTION_BYTES
from homeserver.storage.outbound import BackOff, OutboundQueue, OwedTransaction
from tests.memory import MemoryDatabase

_T = TypeVar("_T")

A, B = map(ServerName.parse, ["a.example", "b.example"])
NOW = 1_600_000_000_000


def build(pdus: list[object], edus: list[object]) -> Json:
    """A body of nothing but PDUs and EDUs."""
    return {"pdus": pdus, "edus": edus}


def numbered(number: int) -> Json:
    """A PDU or EDU that can be told from others."""
    return {"number": number}


def result_of(call: Coroutine[Deferred[Any], Any, _T]) -> _T:
    """What a call that is done at once returns."""
    return SynchronousTestCase().successResultOf(Deferred.fromCoroutine(call))


class OutboundQueueTests(SynchronousTestCase):
    """The queues of all destinations."""

    def setUp(self) -> None:
        """Begin with nothing owed."""
        self.database = MemoryDatabase()
        self.queue = OutboundQueue(self.database)

    def add(self, destination: ServerName, *numbers: int) -> int:
        """Queue an entry of PDUs."""
        pdus = [numbered(number) for number in numbers]
        return result_of(self.queue.add(destination, pdus, []))

    def next(self, destination: ServerName, now_ts: int = NOW) -> OwedTransaction:
        """What is owed first."""
        owed = result_of(self.queue.next_transaction(destination, now_ts, build))
        assert owed is not None
        return owed

    def assert_nothing_owed(self, destination: ServerName) -> None:
        """Nothing is owed, and nothing is made of nothing."""
        owed = result_of(self.queue.next_transaction(destination, NOW, build))
        self.assertIsNone(owed)

    def deliver(self, owed: OwedTransaction) -> None:
        """Record a delivery."""
        reply: Json = {"pdus": {}}
        result_of(self.queue.record_delivery(owed, reply, {"address": "::1"}, NOW))

    def miss(self, owed: OwedTransaction, why: str, back_off: BackOff) -> None:
        """Record a failure."""
        result_of(self.queue.record_failure(owed, why, back_off))

    def state(self, destination: ServerName, entry_id: int) -> Json:
        """How far an entry has come."""
        state = result_of(self.queue.state(destination, entry_id))
        assert state is not None
        return state

    def test_nothing_is_owed(self) -> None:
        """An empty queue owes nothing to anybody."""
        self.assertEqual(result_of(self.queue.destinations()), [])
        self.assert_nothing_owed(A)
        self.assertIsNone(result_of(self.queue.back_off(A)))
        self.assertIsNone(result_of(self.queue.state(A, 1)))

    def test_transaction(self) -> None:
        """What is owed is a transaction of all entries, in order, as canonical JSON."""
        edus: list[Json] = [{"z": "ä", "a": 1.5}]
        first = result_of(self.queue.add(A, [numbered(2), numbered(1)], edus))
        result_of(self.queue.add(A, [numbered(3)], [numbered(4)]))
        owed = self.next(A)
        self.assertEqual(owed.destination, A)
        self.assertEqual(owed.txn_id, f"{NOW}-{first}")
        self.assertEqual(
            owed.body,
            b'{"edus":[{"a":1.5,"z":"\xc3\xa4"},{"number":4}],'
            b'"pdus":[{"number":2},{"number":1},{"number":3}]}',
        )

    def test_a_transaction_stays_the_same_until_it_is_delivered(self) -> None:
        """Whatever is queued meanwhile, ID and bytes are those that were cut first."""
        self.add(A, 1)
        owed = self.next(A)
        self.add(A, 2)

        def build_again(pdus: list[object], edus: list[object]) -> Json:
            raise AssertionError("it was built already")

        again = self.queue.next_transaction(A, NOW + 1, build_again)
        self.assertEqual(result_of(again), owed)
        self.miss(owed, "no", BackOff(1, NOW))
        self.assertEqual(self.next(A, NOW + 2), owed)

    def test_the_next_one_comes_after_delivery(self) -> None:
        """What was queued meanwhile is the next transaction, under a new ID."""
        self.add(A, 1)
        first = self.next(A)
        self.add(A, 2)
        later = self.add(A, 3)
        self.deliver(first)
        second = self.next(A, NOW + 1)
        self.assertEqual(second.txn_id, f"{NOW + 1}-{later - 1}")
        self.assertEqual(second.body, b'{"edus":[],"pdus":[{"number":2},{"number":3}]}')
        self.deliver(second)
        self.assert_nothing_owed(A)

    def test_ids_differ_within_a_millisecond(self) -> None:
        """Two transactions of the same time have different IDs."""
        ids = set()
        for number in range(3):
            self.add(A, number)
            owed = self.next(A)
            self.deliver(owed)
            ids.add(owed.txn_id)
        self.assertEqual(len(ids), 3)

    def test_destinations_are_independent(self) -> None:
        """A destination that is not reached keeps no other one waiting."""
        self.add(A, 1)
        self.add(B, 2)
        self.assertEqual(self.next(A).body, b'{"edus":[],"pdus":[{"number":1}]}')
        self.assertEqual(self.next(B).body, b'{"edus":[],"pdus":[{"number":2}]}')
        self.deliver(self.next(B))
        self.assert_nothing_owed(B)
        self.assertEqual(self.next(A).body, b'{"edus":[],"pdus":[{"number":1}]}')

    def test_names_are_compared_byte_for_byte(self) -> None:
        """What is owed to one name is not owed to another way of writing it."""
        self.add(A, 1)
        self.assert_nothing_owed(ServerName.parse("A.example"))

    def test_a_transaction_that_cannot_be_built(self) -> None:
        """Where building fails, nothing is cut, and it is tried again."""
        self.add(A, 1)

        def fail(pdus: list[object], edus: list[object]) -> Json:
            raise KeyError("no")

        failing = self.queue.next_transaction(A, NOW, fail)
        self.failureResultOf(Deferred.fromCoroutine(failing), KeyError)
        self.assertEqual(self.next(A, NOW + 1).txn_id, f"{NOW + 1}-1")

    def test_destinations(self) -> None:
        """A destination is owed something until all of it is delivered."""
        self.add(A, 1)
        self.add(A, 2)
        self.add(B, 3)
        self.assertEqual(set(result_of(self.queue.destinations())), {A, B})
        owed = self.next(A)
        self.assertEqual(len(result_of(self.queue.destinations())), 2)
        self.deliver(owed)
        self.assertEqual(result_of(self.queue.destinations()), [B])
        self.add(A, 4)
        self.assertEqual(set(result_of(self.queue.destinations())), {A, B})

    def test_state_of_what_waits(self) -> None:
        """An entry that is in no transaction yet is queued."""
        self.assertEqual(
            self.state(A, self.add(A, 1)),
            {
                "state": "queued",
                "txn_id": None,
                "attempts": 0,
                "next_attempt_ts": None,
                "error": None,
                "reply": None,
                "connection": None,
            },
        )

    def test_state_after_failures(self) -> None:
        """An entry is queued until delivered, and tells of the last attempt."""
        entry = self.add(A, 1)
        owed = self.next(A)
        self.miss(owed, "first", BackOff(1, NOW + 1))
        self.miss(owed, "second", BackOff(2, NOW + 2))
        self.assertEqual(
            self.state(A, entry),
            {
                "state": "queued",
                "txn_id": owed.txn_id,
                "attempts": 2,
                "next_attempt_ts": NOW + 2,
                "error": "second",
                "reply": None,
                "connection": None,
            },
        )

    def test_state_after_delivery(self) -> None:
        """All entries of a transaction are delivered with it."""
        entries = [self.add(A, 1), self.add(A, 2)]
        owed = self.next(A)
        self.miss(owed, "first", BackOff(1, NOW + 1))
        reply: Json = {"pdus": {"$a": {"error": "ä"}}}
        result_of(self.queue.record_delivery(owed, reply, {"address": "::1"}, NOW))
        for entry in entries:
            self.assertEqual(
                self.state(A, entry),
                {
                    "state": "delivered",
                    "txn_id": owed.txn_id,
                    "attempts": 2,
                    "next_attempt_ts": None,
                    "error": None,
                    "reply": reply,
                    "connection": {"address": "::1"},
                },
            )

    def test_state_is_still_told(self) -> None:
        """What was delivered is so for ever, whatever becomes of what comes later."""
        delivered = self.add(A, 1)
        self.deliver(self.next(A))
        before = self.state(A, delivered)
        waiting = self.add(A, 2)
        self.miss(self.next(A, NOW + 1), "no", BackOff(1, NOW + 5))
        self.assertEqual(self.state(A, delivered), before)
        self.assertEqual(self.state(A, waiting)["state"], "queued")

    def test_a_reply_that_is_none(self) -> None:
        """What was answered with something else than an object is delivered too."""
        entry = self.add(A, 1)
        result_of(self.queue.record_delivery(self.next(A), None, {}, NOW))
        state = self.state(A, entry)
        self.assertEqual((state["state"], state["reply"]), ("delivered", None))

    def test_state_of_another_destination(self) -> None:
        """An ID is an entry of its own destination only."""
        entry = self.add(A, 1)
        self.assertIsNone(result_of(self.queue.state(B, entry)))
        self.assertIsNone(result_of(self.queue.state(A, entry + 1)))

    def test_back_off(self) -> None:
        """A failure is remembered with the time of the next attempt."""
        self.add(A, 1)
        owed = self.next(A)
        self.miss(owed, "no", BackOff(1, NOW + 2000))
        self.assertEqual(result_of(self.queue.back_off(A)), BackOff(1, NOW + 2000))
        self.miss(owed, "no", BackOff(2, NOW + 4000))
        self.assertEqual(result_of(self.queue.back_off(A)), BackOff(2, NOW + 4000))
        self.assertIsNone(result_of(self.queue.back_off(B)))

    def test_a_delivery_ends_the_back_off(self) -> None:
        """A delivery makes up for the failures of its own destination."""
        self.add(A, 1)
        self.add(B, 1)
        for destination in A, B:
            self.miss(self.next(destination), "no", BackOff(3, NOW + 2000))
        self.deliver(self.next(A))
        self.assertIsNone(result_of(self.queue.back_off(A)))
        self.assertEqual(result_of(self.queue.back_off(B)), BackOff(3, NOW + 2000))

    def test_ending_a_back_off(self) -> None:
        """A back-off that is ended is over, for its destination alone."""
        for destination in A, B:
            self.add(destination, 1)
            self.miss(self.next(destination), "no", BackOff(3, NOW + 2000))
        result_of(self.queue.end_back_off(A))
        self.assertIsNone(result_of(self.queue.back_off(A)))
        self.assertEqual(result_of(self.queue.back_off(B)), BackOff(3, NOW + 2000))
        self.assertEqual(self.state(A, 1)["error"], "no")

    def test_summary(self) -> None:
        """A destination's summary is how much it is owed, and how it fails."""
        self.assertIsNone(result_of(self.queue.summary(A)))
        self.add(B, 1)
        self.assertIsNone(result_of(self.queue.summary(A)))
        self.add(A, 1)
        self.add(A, 2)
        expected: Json = {
            "queued": 2,
            "failures": 0,
            "next_attempt_ts": None,
            "last_error": None,
        }
        self.assertEqual(result_of(self.queue.summary(A)), expected)
        owed = self.next(A)
        self.add(A, 3)
        self.miss(owed, "no", BackOff(2, NOW + 2000))
        self.assertEqual(
            result_of(self.queue.summary(A)),
            {
                "queued": 3,
                "failures": 2,
                "next_attempt_ts": NOW + 2000,
                "last_error": "no",
            },
        )
        self.deliver(owed)
        self.assertEqual(result_of(self.queue.summary(A)), {**expected, "queued": 1})
        self.deliver(self.next(A))
        self.assertIsNone(result_of(self.queue.summary(A)))

    def test_what_was_delivered_takes_no_room(self) -> None:
        """PDUs and EDUs are not kept after their delivery; those of others are."""
        self.add(A, 1)
        self.add(B, 2)
        owed = self.next(A)
        self.next(B)
        self.add(A, 3)
        self.deliver(owed)
        execute = self.database.connection.execute
        entries = execute("SELECT pdus, edus FROM outbound_entries ORDER BY id")
        self.assertEqual(
            entries.fetchall(),
            [("", ""), ('[{"number":2}]', "[]"), ('[{"number":3}]', "[]")],
        )
        bodies = execute("SELECT LENGTH(body) FROM outbound_transactions ORDER BY 1")
        self.assertEqual(bodies.fetchall(), [(0,), (len(self.next(B).body),)])


# (name, PDUs and EDUs of each entry, how many entries each transaction takes)
CUTS: list[tuple[str, Sequence[tuple[int, int]], list[int]]] = [
    ("one", [(1, 1)], [1]),
    ("several", [(1, 1), (2, 0), (0, 3)], [3]),
    ("50 PDUs in one", [(50, 0)], [1]),
    ("50 PDUs in two", [(20, 0), (30, 0)], [2]),
    ("51 PDUs in two", [(20, 0), (31, 0)], [1, 1]),
    ("51 PDUs one by one", [(1, 0)] * 51, [50, 1]),
    ("100 EDUs in two", [(0, 60), (0, 40)], [2]),
    ("101 EDUs in two", [(0, 60), (0, 41)], [1, 1]),
    ("101 EDUs one by one", [(0, 1)] * 101, [100, 1]),
    ("50 PDUs and 100 EDUs one by one", [(1, 0)] * 50 + [(0, 1)] * 101, [150, 1]),
    ("what fits does not overtake", [(30, 0), (30, 0), (1, 0)], [1, 2]),
    ("two full ones", [(50, 100), (50, 100)], [1, 1]),
    ("of nothing", [(0, 0)] * 151, [150, 1]),
]


def drain(queue: OutboundQueue) -> list[Json]:
    """The bodies of all transactions that are owed to A, each delivered."""
    bodies = []
    while owed := result_of(queue.next_transaction(A, NOW, build)):
        bodies.append(parse_object(owed.body))
        result_of(queue.record_delivery(owed, {}, {}, NOW))
    return bodies


@pytest.mark.parametrize(
    ("entries", "expected"), [row[1:] for row in CUTS], ids=[row[0] for row in CUTS]
)
def test_cut(entries: Sequence[tuple[int, int]], expected: list[int]) -> None:
    """A transaction takes whole entries, in order, as many as its limits allow."""
    queue = OutboundQueue(MemoryDatabase())
    for number, (pdus, edus) in enumerate(entries):
        item = numbered(number)
        result_of(queue.add(A, [item] * pdus, [item] * edus))
    bodies = drain(queue)
    left = list(enumerate(entries))
    for body, count in zip(bodies, expected, strict=True):
        taken, left = left[:count], left[count:]
        pdus_of = [numbered(n) for n, (pdus, _) in taken for _ in range(pdus)]
        edus_of = [numbered(n) for n, (_, edus) in taken for _ in range(edus)]
        assert body == {"pdus": pdus_of, "edus": edus_of}
    assert left == []


@pytest.mark.parametrize("character", ["a", "€"])
def test_cut_by_bytes(character: str) -> None:
    """A transaction is no longer than receivers take, in bytes as they are sent."""
    queue = OutboundQueue(MemoryDatabase())
    third = MAX_TRANSACTION_BYTES // 3 // len(character.encode())
    for _ in range(4):
        result_of(queue.add(A, [], [{"text": character * third}]))
    assert [len(as_list(body["edus"], "EDUs")) for body in drain(queue)] == [2, 2]
