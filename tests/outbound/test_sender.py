"""What is owed is sent: in order, once at a time, again until it was acknowledged."""

from dataclasses import dataclass
from random import Random
from typing import TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from homeserver.config import Sending
from homeserver.outbound.client import Delivery, FederationClient
from homeserver.outbound.connector import Link, Unreachable
from homeserver.outbound.refusal import Refused
from homeserver.outbound.sender import Sender
from homeserver.outbound.verification import VerifiedPeer
from homeserver.protocol.canonical import Json, as_list, parse_object
from homeserver.protocol.discovery import Route
from homeserver.protocol.errors import TooLarge
from homeserver.protocol.names import ServerName
from homeserver.protocol.transactions import MAX_TRANSACTION_BYTES
from homeserver.storage.database import Database, Job, StoreUnavailable
from homeserver.storage.outbound import OutboundQueue
from tests.memory import MemoryDatabase
from tests.outbound.wire import start

_T = TypeVar("_T")

US = ServerName.parse("origin.test")
ALPHA = ServerName.parse("alpha.test")
BETA = ServerName.parse("beta.test")

FIRST_RETRY = 2.0
MAX_RETRY = 60.0

NOW = 1_700_000_000.0
"""The clock's time, in seconds since 1970."""

EDU: Json = {"edu_type": "m.test", "content": {}}


def link(destination: ServerName) -> Link:
    """A connection as a delivery has it."""
    route = Route("s.test", 8448, destination.name, destination.host)
    return Link(route, "192.0.2.1", VerifiedPeer(destination, "certificate", b"DER"))


UNREACHABLE = Unreachable(ALPHA, ["s.test:8448: cannot connect"])
REFUSED = Refused(ALPHA, 403, "M_FORBIDDEN", "no")


@dataclass
class Call:
    """A transaction that was handed to the client."""

    destination: ServerName
    txn_id: str
    body: bytes
    result: Deferred[Delivery]

    def acknowledge(self, reply: Json | None = None) -> None:
        """Let the destination say 200."""
        self.result.callback(Delivery(reply, link(self.destination)))

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

    async def send_transaction(
        self, destination: ServerName, txn_id: str, body: bytes
    ) -> Delivery:
        """As `FederationClient`."""
        call = Call(destination, txn_id, body, Deferred())
        self.calls.append(call)
        return await call.result


class Store:
    """A store that is there or not, and whose results come at once or later."""

    def __init__(self) -> None:
        self._database = MemoryDatabase()
        self.is_available = True
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

    def _checked(self, job: Job[_T]) -> Job[_T]:
        if not self.is_available:
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


class SenderTestCase(SynchronousTestCase):
    """A sender over a store in memory and a client under control."""

    def setUp(self) -> None:
        """Start the sender."""
        self.clock = Clock()
        self.clock.advance(NOW)
        self.store = Store()
        self.client = Client()
        self.sender = self.make_sender()
        self.successResultOf(start(self.sender.start()))

    def make_sender(self, random: Random | None = None) -> Sender:
        """A sender over the store."""
        return Sender(
            US,
            OutboundQueue(cast("Database", self.store)),
            cast("FederationClient", self.client),
            Sending(first_retry_seconds=FIRST_RETRY, max_retry_seconds=MAX_RETRY),
            self.clock,
            random or Middling(),
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
        return state


class DeliveryTests(SenderTestCase):
    """Who gets what, and when the next one goes."""

    def test_transaction_is_one_of_ours(self) -> None:
        """A transaction has our name, the time in milliseconds and what was queued."""
        self.enqueue(pdus=2, edus=1)
        [call] = self.calls
        self.assertEqual(call.destination, ALPHA)
        self.assertEqual(
            parse_object(call.body),
            {
                "origin": US.name,
                "origin_server_ts": int(NOW * 1000),
                "pdus": [{"n": 0}, {"n": 1}],
                "edus": [EDU],
            },
        )

    def test_one_is_in_flight_for_each_destination(self) -> None:
        """What is queued while a transaction is in flight waits for its end."""
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
        self.enqueue()
        self.enqueue()
        self.clock.advance(3600)
        self.assertEqual(len(self.calls), 1)

    def test_next_one_goes_after_delivery(self) -> None:
        """After an acknowledgement the next transaction goes, with another ID."""
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
        self.enqueue(pdus=3)
        self.calls[0].acknowledge()
        first, second = self.calls
        self.assertEqual(len(second.pdus), 3)
        self.assertNotEqual(first.txn_id, second.txn_id)

    def test_delivered_is_not_sent_again(self) -> None:
        """What was acknowledged is not sent again, by a later process neither."""
        self.enqueue()
        self.calls[0].acknowledge()
        self.clock.advance(7200)
        self.successResultOf(start(self.make_sender().start()))
        self.assertEqual(len(self.calls), 1)

    def test_destinations_are_independent(self) -> None:
        """A destination that fails or is slow keeps no other one waiting."""
        self.enqueue(ALPHA)
        self.calls[0].fail()
        self.enqueue(BETA)
        self.enqueue(ServerName.parse("slow.test"))
        self.enqueue(ServerName.parse("gamma.test"))
        self.assertEqual(
            [call.destination.name for call in self.calls],
            ["alpha.test", "beta.test", "slow.test", "gamma.test"],
        )

    def test_queued_during_the_last_look_is_sent(self) -> None:
        """What is queued while the queue is found to be empty is not forgotten."""
        self.store.clock = self.clock
        self.enqueue_slowly()
        for _ in range(10):
            self.clock.advance(0)
        self.calls[0].acknowledge()
        for moment in range(12):
            with self.subTest(moment):
                before = len(self.calls)
                for _ in range(moment):
                    self.clock.advance(0)
                self.enqueue_slowly()
                for _ in range(30):
                    self.clock.advance(0)
                self.assertEqual(len(self.calls), before + 1)
                self.calls[-1].acknowledge()

    def enqueue_slowly(self) -> None:
        """Queue one PDU without waiting for the store."""
        start(self.sender.enqueue(ALPHA, [{}], [])).addErrback(self.fail)


class MergingTests(SenderTestCase):
    """How entries become transactions."""

    def after(self, *entries: tuple[int, int]) -> list[tuple[int, int]]:
        """The sizes of the transactions that entries become, which wait together."""
        self.enqueue(pdus=0)
        self.calls[0].fail()
        for pdus, edus in entries:
            self.enqueue(pdus=pdus, edus=edus)
        self.clock.advance(FIRST_RETRY)
        sizes = []
        index = 1
        while index < len(self.calls):
            call = self.calls[index]
            sizes.append((len(call.pdus), len(call.edus)))
            call.acknowledge()
            index += 1
        self.assertEqual(sizes.pop(0), (0, 0))
        return sizes

    def test_entries_are_merged(self) -> None:
        """Entries that wait together go together."""
        self.assertEqual(self.after((1, 0), (2, 3), (0, 1)), [(3, 4)])

    def test_at_most_50_pdus(self) -> None:
        """Sixty entries of one PDU are two transactions, the first one full."""
        self.assertEqual(self.after(*[(1, 0)] * 60), [(50, 0), (10, 0)])

    def test_at_most_100_edus(self) -> None:
        """Entries of sixty EDUs do not fit together."""
        self.assertEqual(self.after((0, 60), (0, 60)), [(0, 60), (0, 60)])

    def test_entry_is_not_split(self) -> None:
        """An entry that does not fit beside others goes whole in the next one."""
        self.assertEqual(self.after((30, 0), (30, 0), (20, 0)), [(30, 0), (50, 0)])

    def test_no_entry_overtakes(self) -> None:
        """A small entry does not go before a large one that was queued earlier."""
        self.assertEqual(self.after((49, 0), (2, 0), (1, 0)), [(49, 0), (3, 0)])

    def test_at_most_150_entries(self) -> None:
        """Entries with nothing in them are merged as well, a bounded number at once."""
        self.assertEqual(self.after(*[(0, 0)] * 200), [(0, 0), (0, 0)])


class RetryTests(SenderTestCase):
    """What happens after a failure."""

    def fail_times(self, count: int) -> list[float]:
        """Let that many attempts fail; the pauses after each, in seconds."""
        pauses: list[float] = []
        while len(pauses) < count:
            before = len(self.calls)
            self.calls[-1].fail()
            failed = self.clock.seconds()
            while len(self.calls) == before:
                self.clock.advance(0.25)
            pauses.append(self.clock.seconds() - failed)
        return pauses

    def test_same_id_and_bytes(self) -> None:
        """A transaction keeps its ID and its bytes, whatever is queued meanwhile."""
        self.enqueue()
        self.calls[0].fail()
        self.enqueue()
        self.clock.advance(FIRST_RETRY)
        first, second = self.calls
        self.assertEqual((first.txn_id, first.body), (second.txn_id, second.body))

    def test_what_was_queued_meanwhile_follows(self) -> None:
        """What was queued during a back-off goes after what failed."""
        self.enqueue(pdus=1)
        self.calls[0].fail()
        self.enqueue(pdus=2)
        self.clock.advance(FIRST_RETRY)
        self.calls[1].acknowledge()
        self.assertEqual([len(call.pdus) for call in self.calls], [1, 1, 2])

    def test_any_answer_but_200_is_a_failure(self) -> None:
        """A transaction that is refused is owed as much as one that is not answered."""
        self.enqueue()
        self.calls[0].fail(REFUSED)
        self.clock.advance(FIRST_RETRY)
        first, second = self.calls
        self.assertEqual(first.body, second.body)

    def test_queueing_does_not_shorten_the_pause(self) -> None:
        """What is queued during a back-off does not end it."""
        self.enqueue()
        self.calls[0].fail()
        self.enqueue()
        self.clock.advance(FIRST_RETRY - 0.01)
        self.assertEqual(len(self.calls), 1)

    def test_pause_doubles_up_to_a_limit(self) -> None:
        """Each failure in a row doubles the pause, until it is the longest."""
        self.enqueue()
        self.assertEqual(
            self.fail_times(8), [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
        )

    def test_pause_ends_after_a_thousand_failures(self) -> None:
        """However often it failed, the pause is the longest one and no overflow."""
        self.enqueue()
        self.calls[0].fail()
        self.store._database.connection.execute("UPDATE back_offs SET failures = 9999")
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.fail_times(1), [MAX_RETRY])

    def test_success_clears_the_back_off(self) -> None:
        """After a success the next failure is a first one again."""
        self.enqueue()
        self.fail_times(3)
        self.calls[-1].acknowledge()
        self.enqueue()
        self.assertEqual(self.fail_times(1), [FIRST_RETRY])

    def test_jitter_is_within_a_fifth(self) -> None:
        """Pauses differ, by at most a fifth more or less."""
        self.sender = self.make_sender(Random(1))
        self.successResultOf(start(self.sender.start()))
        pauses: list[float] = []
        for number in range(50):
            destination = ServerName.parse(f"s{number}.test")
            entry = self.enqueue(destination)
            self.calls[-1].fail()
            next_ts = self.state(entry, destination)["next_attempt_ts"]
            assert isinstance(next_ts, int)
            pauses.append(next_ts / 1000 - self.clock.seconds())
        self.assertTrue(all(0.8 <= pause / FIRST_RETRY <= 1.2 for pause in pauses))
        self.assertLess(min(pauses), 0.9 * FIRST_RETRY)
        self.assertGreater(max(pauses), 1.1 * FIRST_RETRY)

    def test_back_off_outlives_the_process(self) -> None:
        """A sender that takes over waits for what is left, and counts on from there."""
        self.enqueue()
        self.fail_times(3)
        self.calls[-1].fail()
        before = self.client
        self.client = Client()
        self.successResultOf(start(self.sender.stop()))
        self.clock.advance(10)
        self.sender = self.make_sender()
        self.successResultOf(start(self.sender.start()))
        self.clock.advance(5.99)
        self.assertEqual(self.calls, [])
        self.clock.advance(0.02)
        [call] = self.calls
        self.assertEqual(call.txn_id, before.calls[0].txn_id)
        self.assertEqual(call.body, before.calls[0].body)
        self.assertEqual(self.fail_times(1), [32.0])

    def test_store_that_fails_is_asked_again(self) -> None:
        """Where the store cannot be written, it is tried again after five seconds."""
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
        self.store.is_available = False
        self.calls[0].acknowledge()
        self.clock.advance(5)
        self.store.is_available = True
        self.clock.advance(4.9)
        self.assertEqual(len(self.calls), 1)
        self.clock.advance(0.1)
        first, second = self.calls
        self.assertEqual((first.txn_id, first.body), (second.txn_id, second.body))

    def test_retry_ends_the_pause(self) -> None:
        """Who wants a retry gets it at once, and the next pause is a first one."""
        self.enqueue()
        self.fail_times(3)
        self.calls[-1].fail()
        self.successResultOf(start(self.sender.retry(ALPHA)))
        self.assertEqual(len(self.calls), 5)
        self.assertEqual(self.fail_times(1), [FIRST_RETRY])

    def test_retry_of_what_is_in_flight(self) -> None:
        """A retry while a transaction is in flight sends nothing more."""
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
        self.successResultOf(start(self.sender.retry(ALPHA)))
        self.successResultOf(start(self.sender.retry(BETA)))
        self.assertEqual(len(self.calls), 1)

    def test_unexpected_exception_stops_no_queue(self) -> None:
        """An exception that nobody foresaw is logged, told, and tried again."""
        entry = self.enqueue(ALPHA)
        self.calls[0].fail(ZeroDivisionError("a mistake"))
        [logged] = self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(str(logged.value), "a mistake")
        self.assertIn("an error of this server", str(self.state(entry, ALPHA)["error"]))
        self.enqueue(BETA)
        self.assertEqual(self.calls[1].destination, BETA)
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(self.calls[2].txn_id, self.calls[0].txn_id)

    def test_store_that_fails_under_the_client(self) -> None:
        """Where the store fails while a peer is verified, the peer has not failed."""
        entry = self.enqueue()
        self.calls[0].fail(StoreUnavailable("disk full"))
        self.assertEqual(self.state(entry)["attempts"], 0)
        self.clock.advance(4.9)
        self.assertEqual(len(self.calls), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.calls), 2)

    def test_clock_that_was_set_back(self) -> None:
        """A back-off until the far future lasts no longer than the longest one."""
        self.enqueue()
        self.calls[0].fail()
        self.store._database.connection.execute(
            "UPDATE back_offs SET next_attempt_ts = next_attempt_ts * 2"
        )
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(len(self.calls), 1)
        [waiting] = self.clock.getDelayedCalls()
        self.assertEqual(waiting.getTime() - self.clock.seconds(), MAX_RETRY)

    def test_retry_during_the_last_attempt_is_not_lost(self) -> None:
        """What is asked for while an attempt fails is done right after it."""
        self.enqueue()
        self.successResultOf(start(self.sender.retry(ALPHA)))
        self.calls[0].fail()
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertEqual(len(self.calls), 2)


class LimitTests(SenderTestCase):
    """What is bounded."""

    def test_a_hundred_destinations_at_once(self) -> None:
        """The hundred and first destination waits until another one is done."""
        for number in range(103):
            self.enqueue(ServerName.parse(f"s{number}.test"))
        self.assertEqual(len(self.calls), 100)
        self.calls[0].acknowledge()
        self.assertEqual(len(self.calls), 101)
        self.calls[1].fail()
        self.assertEqual(len(self.calls), 102)

    def test_exception_gives_its_slot_back(self) -> None:
        """A queue that an exception stopped takes no slot from the others."""
        for number in range(101):
            self.enqueue(ServerName.parse(f"s{number}.test"))
        self.calls[0].fail(ZeroDivisionError())
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertEqual(len(self.calls), 101)

    def test_too_much_for_one_transaction(self) -> None:
        """What does not fit into one transaction is refused and not queued."""
        half: Json = {"body": "x" * (MAX_TRANSACTION_BYTES // 2)}
        cases: list[tuple[list[Json], list[Json]]] = [
            ([{}] * 51, []),
            ([], [EDU] * 101),
            ([half, half], []),
            ([half], [half]),
        ]
        for pdus, edus in cases:
            failure = self.failureResultOf(
                start(self.sender.enqueue(ALPHA, pdus, edus)), TooLarge
            )
            self.assertIn(f"{len(pdus)} PDUs and {len(edus)} EDUs", str(failure.value))
        self.assertEqual(self.calls, [])

    def test_just_enough_for_one_transaction(self) -> None:
        """Fifty PDUs and a hundred EDUs are one transaction."""
        self.enqueue(pdus=50, edus=100)
        [call] = self.calls
        self.assertEqual((len(call.pdus), len(call.edus)), (50, 100))

    def test_store_that_is_full_is_said(self) -> None:
        """Who queues is told when the store cannot take it."""
        self.store.is_available = False
        self.failureResultOf(
            start(self.sender.enqueue(ALPHA, [], [])), StoreUnavailable
        )


class LifetimeTests(SenderTestCase):
    """Starting and stopping."""

    def test_nothing_goes_before_the_start(self) -> None:
        """What is queued before the start is kept until then."""
        self.sender = self.make_sender()
        self.enqueue()
        self.clock.advance(60)
        self.assertEqual(self.calls, [])
        self.successResultOf(start(self.sender.start()))
        self.assertEqual(len(self.calls), 1)

    def test_start_takes_up_what_is_owed(self) -> None:
        """A sender that starts sends what waits, and what was cut, to everybody."""
        self.enqueue(ALPHA)
        self.calls[0].fail(ZeroDivisionError())
        self.flushLoggedErrors(ZeroDivisionError)
        self.successResultOf(start(self.sender.stop()))
        self.enqueue(BETA)
        self.assertEqual(len(self.calls), 1)
        self.clock.advance(FIRST_RETRY)
        self.sender = self.make_sender()
        self.successResultOf(start(self.sender.start()))
        self.assertEqual(
            sorted(call.destination.name for call in self.calls[1:]),
            ["alpha.test", "beta.test"],
        )

    def test_start_needs_the_store(self) -> None:
        """A sender whose store cannot be read does not start."""
        sender = self.make_sender()
        self.store.is_available = False
        self.failureResultOf(start(sender.start()), StoreUnavailable)

    def test_stop_waits_for_what_is_in_flight(self) -> None:
        """The sender has stopped once what is in flight is over and recorded."""
        entry = self.enqueue()
        self.enqueue()
        [call] = self.calls
        stopping = start(self.sender.stop())
        self.assertNoResult(stopping)
        call.acknowledge()
        self.successResultOf(stopping)
        self.assertEqual(self.state(entry)["state"], "delivered")

    def test_stop_waits_for_a_failure(self) -> None:
        """The sender has stopped once a failure is recorded, and waits no back-off."""
        self.enqueue()
        [call] = self.calls
        stopping = start(self.sender.stop())
        call.fail()
        self.successResultOf(stopping)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_begins_after_a_stop(self) -> None:
        """Neither a next transaction, nor a retry, nor what is new begins any more."""
        self.enqueue(ALPHA)
        self.calls[0].fail()
        self.enqueue(BETA)
        in_flight = self.calls[1]
        self.enqueue(BETA)
        stopping = start(self.sender.stop())
        in_flight.acknowledge()
        self.successResultOf(stopping)
        self.enqueue(ServerName.parse("gamma.test"))
        self.clock.advance(3600)
        self.assertEqual(len(self.calls), 2)

    def test_stop_at_once(self) -> None:
        """A sender that stops before it began to send what is queued sends nothing."""
        self.enqueue()
        stopping = start(self.sender.stop())
        self.assertEqual(self.calls, [])
        self.successResultOf(stopping)


class StateTests(SenderTestCase):
    """What is told of an entry."""

    def test_queued(self) -> None:
        """An entry that nothing was done with yet is queued."""
        entry = self.enqueue()
        self.assertEqual(
            self.state(entry),
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

    def test_sending(self) -> None:
        """An entry whose transaction is in flight is being sent; the next one waits."""
        entry = self.enqueue()
        [call] = self.calls
        following = self.enqueue()
        state = self.state(entry)
        self.assertEqual((state["state"], state["txn_id"]), ("sending", call.txn_id))
        self.assertEqual(self.state(following)["state"], "queued")

    def test_failed(self) -> None:
        """An entry that failed is queued, and says why and when it is tried again."""
        entry = self.enqueue()
        self.calls[0].fail(REFUSED)
        self.assertEqual(
            self.state(entry),
            {
                "state": "queued",
                "txn_id": self.calls[0].txn_id,
                "attempts": 1,
                "next_attempt_ts": int((NOW + FIRST_RETRY) * 1000),
                "error": "alpha.test answers 403 M_FORBIDDEN: no",
                "reply": None,
                "connection": None,
            },
        )

    def test_sending_again(self) -> None:
        """While it is tried again, an entry says what went wrong, and no next time."""
        entry = self.enqueue()
        self.calls[0].fail()
        self.clock.advance(FIRST_RETRY)
        self.assertEqual(len(self.calls), 2)
        state = self.state(entry)
        self.assertEqual(
            (state["state"], state["attempts"], state["next_attempt_ts"]),
            ("sending", 1, None),
        )
        self.assertEqual(
            state["error"],
            "alpha.test cannot be reached: s.test:8448: cannot connect",
        )

    def test_delivered(self) -> None:
        """A delivered entry has the reply and the connection, and no error any more."""
        entry = self.enqueue()
        self.calls[0].fail()
        self.clock.advance(FIRST_RETRY)
        self.calls[1].acknowledge({"pdus": {}})
        self.assertEqual(
            self.state(entry),
            {
                "state": "delivered",
                "txn_id": self.calls[0].txn_id,
                "attempts": 2,
                "next_attempt_ts": None,
                "error": None,
                "reply": {"pdus": {}},
                "connection": {
                    "route": "s.test:8448",
                    "address": "192.0.2.1",
                    "verified_by": "certificate",
                    "certificate_sha256": link(ALPHA).peer.certificate_sha256,
                },
            },
        )

    def test_reply_that_is_no_object(self) -> None:
        """A 200 without a JSON object is a delivery without a reply."""
        entry = self.enqueue()
        self.calls[0].acknowledge(None)
        state = self.state(entry)
        self.assertEqual((state["state"], state["reply"]), ("delivered", None))

    def test_any_reply_can_be_recorded(self) -> None:
        """Whatever JSON a peer replies, the delivery is recorded with it."""
        replies: list[Json] = [{"a": 2**64 - 1, "b": 1.5}, {"é": ["x" * 1000]}, {}]
        for reply in replies:
            entry = self.enqueue()
            self.calls[-1].acknowledge(reply)
            self.assertEqual(self.state(entry)["reply"], reply)

    def test_unknown(self) -> None:
        """There is no state of an entry that is not there, or is somebody else's."""
        entry = self.enqueue()
        for destination, number in [(ALPHA, entry + 1), (BETA, entry)]:
            self.assertIsNone(
                self.successResultOf(start(self.sender.state(destination, number, 60)))
            )

    def test_waiting_ends_with_the_delivery(self) -> None:
        """Who waits for an entry is told as soon as it is delivered, not before."""
        entry = self.enqueue()
        waiting = start(self.sender.state(ALPHA, entry, 60))
        self.calls[0].fail()
        self.assertNoResult(waiting)
        self.clock.advance(FIRST_RETRY)
        self.calls[1].acknowledge()
        state = self.successResultOf(waiting)
        assert state is not None
        self.assertEqual(state["state"], "delivered")

    def test_waiting_ends_in_time(self) -> None:
        """Who waits for an entry is told how far it has come when the time is over."""
        entry = self.enqueue()
        self.assertEqual(len(self.calls), 1)
        waiting = start(self.sender.state(ALPHA, entry, 5))
        self.clock.advance(4.9)
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        state = self.successResultOf(waiting)
        assert state is not None
        self.assertEqual(state["state"], "sending")
