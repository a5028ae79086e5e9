"""What is given up: by an operator at any time, by the sender when out of date."""

from homeserver.outbound.remote_error import Refused
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.outbox.leases import RENEWAL_SECONDS
from homeserver.storage.outbox.queue_id import QueueId
from tests.support.manual_sender import ALPHA, BETA, US, SenderTestCase
from tests.support.memory_tls_servers import start


class StaleTests(SenderTestCase):
    """Which entries may be dropped after an hour."""

    def dropped(self, pdus: int, *kinds: str) -> bool:
        """Whether an entry of that many PDUs and of EDUs of these types is dropped."""
        self.successResultOf(start(self.sender.stop()))
        edus: list[Json] = [{"edu_type": kind, "content": {}} for kind in kinds]
        entry = self.successResultOf(
            start(self.sender.enqueue(ALPHA, [{}] * pdus, edus))
        )
        self.clock.advance(3600)
        self.sender = self.make_sender()
        self.successResultOf(start(self.sender.start()))
        self.clock.advance(1)
        return self.state(entry)["state"] == "dropped"

    def test_what_means_nothing_any_more(self) -> None:
        """Typing and presence are dropped."""
        for kinds in (["m.typing"], ["m.presence"], ["m.presence", "m.typing"]):
            self.assertTrue(self.dropped(0, *kinds), kinds)
        self.assertEqual(self.calls, [])

    def test_what_has_to_arrive(self) -> None:
        """PDUs and all other EDUs are sent, with what stands beside them."""
        for pdus, *kinds in (
            (1, "m.typing"),
            (0, "m.typing", "m.receipt"),
            (0, "m.direct_to_device"),
            (0, "m.device_list_update"),
            (0, "x.unknown"),
            (0,),
        ):
            self.assertFalse(self.dropped(int(pdus), *map(str, kinds)), kinds)
            self.calls[-1].acknowledge()
        self.assertEqual(len(self.calls), 6)


class DropTests(SenderTestCase):
    """What an operator gives up."""

    def drop(self, entry: int, destination: ServerName = ALPHA) -> int | None:
        """Give up an entry; how many went with it."""
        return self.successResultOf(start(self.sender.drop(destination, entry)))

    def test_under_way(self) -> None:
        """What is under way is cut off before the answer, and the next one goes."""
        entry = self.enqueue(pdus=1)
        [first] = self.calls
        self.enqueue(pdus=2)
        self.assertEqual(self.drop(entry), 1)
        self.assertTrue(first.result.called)
        self.assertEqual(self.state(entry)["state"], "dropped")
        second = self.calls[1]
        self.assertEqual(len(second.pdus), 2)
        self.assertEqual([each.result for each in self.attempts], ["aborted"])
        second.acknowledge()
        self.assertEqual(self.state(entry)["attempts"], 0)

    def test_between_two_forms_of_the_path(self) -> None:
        """A dropped transaction is not tried in the other form of the path."""
        entry = self.enqueue()
        self.calls[0].fail(Refused(ALPHA, 400, None, ""))
        self.assertEqual(self.calls[1].slash, True)
        self.drop(entry)
        self.clock.advance(3600)
        self.assertEqual(len(self.calls), 2)

    def test_who_waits_is_told(self) -> None:
        """Waiting for a delivery ends when it is given up."""
        entry = self.enqueue()
        waiting = start(self.sender.state(ALPHA, entry, 60))
        self.drop(entry)
        state = self.successResultOf(waiting)
        assert state is not None
        self.assertEqual(state.state, "dropped")

    def test_all(self) -> None:
        """All that is queued for a destination is given up, and nothing of another."""
        entries = [self.enqueue() for _ in range(3)]
        other = self.enqueue(BETA)
        dropped = self.successResultOf(start(self.sender.drop_all(ALPHA)))
        self.assertEqual(dropped, 3)
        self.assertEqual([self.state(e)["state"] for e in entries], ["dropped"] * 3)
        self.assertEqual(self.state(other, BETA)["state"], "sending")
        self.assertEqual(self.successResultOf(start(self.sender.drop_all(ALPHA))), 0)
        self.enqueue(pdus=4)
        self.assertEqual(len(self.calls[-1].pdus), 4)

    def test_drop_by_another_process(self) -> None:
        """What another process drops is cut off here when leases are renewed."""
        entry = self.enqueue(pdus=1)
        [call] = self.calls
        other = self.make_sender(is_shared=True)
        self.successResultOf(start(other.drop(ALPHA, entry)))
        self.assertFalse(call.result.called)
        self.clock.advance(RENEWAL_SECONDS)
        self.assertTrue(call.result.called)
        self.assertEqual(self.state(entry)["state"], "dropped")
        self.enqueue(pdus=2)
        self.assertEqual(len(self.calls[-1].pdus), 2)

    def test_another_transaction_is_not_cut_off(self) -> None:
        """What began after another one was dropped is not taken for that one."""
        self.enqueue()
        [call] = self.calls
        self.sender._attempts.abort(QueueId(US, ALPHA), "it was dropped", "another")
        self.sender._attempts.abort(QueueId(US, BETA), "it was dropped", call.txn_id)
        self.assertFalse(call.result.called)
        self.sender._attempts.abort(QueueId(US, ALPHA), "it was dropped", call.txn_id)
        self.assertTrue(call.result.called)

    def test_what_is_held_is_not_cut_off(self) -> None:
        """A request that takes its time keeps its lease."""
        self.enqueue()
        [call] = self.calls
        self.clock.pump([RENEWAL_SECONDS] * 8)
        self.assertFalse(call.result.called)

    def test_store_that_fails(self) -> None:
        """Where the store fails, nothing is given up and nothing cut off."""
        entry = self.enqueue()
        [call] = self.calls
        self.store.is_available = False
        self.failureResultOf(start(self.sender.drop(ALPHA, entry)), StoreUnavailable)
        self.store.is_available = True
        self.assertFalse(call.result.called)
