"""When a notary asks a server, how long it waits, and how many it asks."""

from twisted.internet.defer import Deferred

from homeserver.inbound.notary import Query
from homeserver.net import shares
from homeserver.net.cause import Cause
from homeserver.outbound.remote_error import Refused
from homeserver.protocol.errors import BadJson
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import MAX_VALIDITY_MS
from tests.support.keyrings import (
    HOUR,
    K1,
    K2,
    K3,
    NOW,
    REFUSED,
    UNREACHABLE,
    A,
    B,
    document,
)
from tests.support.notaries import NotaryCase

DAY = 24 * HOUR
STRANGER = Cause("192.0.2.1")
BAD = BadJson("`verify_keys` is not a JSON object")


def names(count: int) -> list[ServerName]:
    """So many servers."""
    return [ServerName.parse(f"{number}.example") for number in range(count)]


class RefreshTests(NotaryCase):
    """What is asked of the servers themselves."""

    def to(self, now_ts: float) -> None:
        """Let it be that time."""
        self.clock.advance(now_ts / 1000 - self.clock.seconds())

    def assert_asks(self, *queries: Query | ServerName) -> None:
        """See to it that a server is asked before there is an answer."""
        before = len(self.client.asked)
        asked = self.query(*queries)
        self.assertNoResult(asked)
        self.assertGreater(len(self.client.asked), before)
        while len(self.client._waiting):
            self.client.answer(UNREACHABLE)
        self.successResultOf(asked)
        self.clock.advance(301)

    def test_news_that_say_less_are_news(self) -> None:
        """A server that has made its documents' lives shorter is left in peace too."""
        self.store(document(K1, until=NOW + 365 * DAY))
        self.to(NOW + 4 * DAY)
        asked = self.query(A)
        self.client.answer(document(K1, until=NOW + 6 * DAY))
        self.successResultOf(asked)
        self.known(A)
        self.known(self.keys([K1]))
        self.to(NOW + 5 * DAY)
        self.assert_asks(A)

    def test_who_is_not_known_is_asked(self) -> None:
        """A server of whom nothing is known is asked, and what it says handed out."""
        asked = self.query(A)
        self.assertNoResult(asked)
        self.assertEqual(self.client.asked, ["v2 of a.example"])
        self.client.answer(document(K1))
        self.assert_are(self.successResultOf(asked), document(K1))

    def test_a_document_is_kept_for_half_of_its_life(self) -> None:
        """A server is asked anew when half of its document's time is over."""
        self.store(document(K1, until=NOW + 10 * HOUR))
        self.to(NOW + 5 * HOUR - 1)
        self.known(A)
        self.known(self.keys([K1]))
        self.to(NOW + 5 * HOUR)
        asked = self.query(A)
        self.assertNoResult(asked)
        self.client.answer(document(K1, until=NOW + 20 * HOUR))
        later = document(K1, until=NOW + 20 * HOUR)
        self.assert_are(self.successResultOf(asked), later)
        self.to(NOW + 12.5 * HOUR - 1000)
        self.assert_are(self.known(A), later)
        self.to(NOW + 12.5 * HOUR)
        self.assert_asks(A)

    def test_the_same_document_has_half_of_what_is_left(self) -> None:
        """A document that came again is kept for half of the rest of its time."""
        self.store(document(K1, until=NOW + 8 * HOUR))
        self.store_at(document(K1, until=NOW + 8 * HOUR), NOW + 4 * HOUR)
        self.to(NOW + 6 * HOUR - 1)
        self.known(A)
        self.to(NOW + 6 * HOUR)
        self.assert_asks(A)

    def test_no_life_is_longer_than_seven_days(self) -> None:
        """A document without an end in sight is kept for three and a half days."""
        self.store(document(K1, until=2**53 - 1))
        self.to(NOW + MAX_VALIDITY_MS / 2 - 1)
        self.known(A)
        self.to(NOW + MAX_VALIDITY_MS / 2)
        self.assert_asks(A)

    def test_what_was_expired_when_it_came_is_asked_for_again(self) -> None:
        """A document that has no life left is not taken for news the next time."""
        self.store(document(K1, until=NOW - HOUR))
        self.assert_asks(A)
        self.assert_asks(self.keys([K1]))

    def test_what_ends_late_enough_is_not_asked_for_again(self) -> None:
        """A document is good enough until the time that is wanted, also a past one."""
        self.store(document(K1, until=NOW + 10 * HOUR))
        self.to(NOW + 20 * HOUR)
        for minimum in 0, NOW + 10 * HOUR:
            self.known(Query(A, {}, minimum))
            self.known(self.keys([K1], until=minimum))
        self.assert_asks(self.keys([K1], until=NOW + 10 * HOUR + 1))

    # For how long it has to be valid.

    def test_what_is_valid_for_long_enough_is_not_asked_for(self) -> None:
        """A document that is valid until the time that is wanted is good enough."""
        self.store(document(K1, until=NOW + HOUR))
        for minimum in 0, NOW, NOW + HOUR:
            self.known(self.keys([K1], until=minimum))
            self.known(Query(A, {}, minimum))

    def test_what_is_not_valid_for_long_enough_is_asked_for(self) -> None:
        """A document that ends before the time that is wanted is asked for anew."""
        self.store(document(K1, until=NOW + HOUR))
        self.assert_asks(self.keys([K1], until=NOW + HOUR + 1))
        self.assert_asks(Query(A, {}, NOW + HOUR + 1))

    def test_the_time_of_each_key_counts(self) -> None:
        """Where keys are named, what counts is the time wanted of each."""
        self.store(document(K1, until=NOW + 4 * HOUR))
        self.store(document(K2, until=NOW + 2 * HOUR))
        self.known(Query(A, {K1: NOW + 4 * HOUR, K2: NOW + 2 * HOUR}, 0))
        self.known(Query(A, {K1: NOW + 4 * HOUR}, NOW + 9 * HOUR))
        self.assert_asks(Query(A, {K1: NOW + 4 * HOUR, K2: NOW + 2 * HOUR + 1}, 0))
        self.assert_asks(Query(A, {K1: NOW + 4 * HOUR + 1, K2: NOW}, 0))

    def test_each_key_has_to_be_known(self) -> None:
        """Where one of the keys that are named is not known, its server is asked."""
        self.store(document(K1, K2))
        self.known(self.keys([K1, K2]))
        self.assert_asks(self.keys([K1, K3]))
        self.assert_asks(self.keys([K3]))

    def test_old_news_are_better_than_none(self) -> None:
        """What is not valid for long enough is handed out where there is no better."""
        self.store(document(K1, until=NOW + HOUR))
        asked = self.query(A, minimum=NOW + DAY)
        self.client.answer(UNREACHABLE)
        self.assert_are(self.successResultOf(asked), document(K1, until=NOW + HOUR))

    def test_what_has_expired_is_handed_out(self) -> None:
        """Long after its end, a document is handed out where its server is gone."""
        self.store(document(K1))
        self.to(NOW + 365 * DAY)
        queries: list[Query | ServerName] = [A, self.keys([K1], until=NOW + 365 * DAY)]
        for query in queries:
            asked = self.query(query)
            self.client.answer(UNREACHABLE)
            self.assert_are(self.successResultOf(asked), document(K1))
            self.clock.advance(300)

    def test_better_news_take_their_place(self) -> None:
        """What comes when a later end is wanted is handed out alone."""
        self.store(document(K1, until=NOW + HOUR))
        asked = self.query(A, minimum=NOW + DAY)
        self.client.answer(document(K1, until=NOW + 2 * DAY))
        later = document(K1, until=NOW + 2 * DAY)
        self.assert_are(self.successResultOf(asked), later)
        self.assertEqual(len(self.client.asked), 1)

    # Servers that do not answer.

    def test_who_fails_is_left_out(self) -> None:
        """Servers that cannot be reached or have no document are not in the answer."""
        c_example = ServerName.parse("c.example")
        asked = self.query(A, B, c_example)
        self.assertEqual(len(self.client.asked), 3)  # before anybody has answered
        self.client.answer(UNREACHABLE)
        self.client.answer(REFUSED)
        self.client.answer(document(K1, server_name=c_example))
        self.client.answer(REFUSED)
        found = self.successResultOf(asked)
        self.assertEqual([each["server_name"] for each in found], ["c.example"])

    def test_a_bad_answer_does_not_keep_the_next_query_waiting(self) -> None:
        """A server that answered badly is asked by the next query, old news stay."""
        self.store(document(K1, until=NOW + HOUR))
        known = document(K1, until=NOW + HOUR)
        for problem in Refused(A, 400, None, ""), Refused(A, 500, None, ""), BAD:
            asked = self.query(self.keys([K1], until=NOW + DAY))
            self.client.answer(problem)
            self.assert_are(self.successResultOf(asked), known)
        self.assertEqual(self.client.asked, ["v2 of a.example"] * 3)
        self.assert_are(self.known(A), known)
        self.assert_are(self.known(self.keys([K1])), known)

    def test_silence_does_not_make_the_next_query_empty(self) -> None:
        """While a server is left in peace, what is known of it is handed out."""
        self.store(document(K1, until=NOW + HOUR))
        asked = self.query(self.keys([K1], until=NOW + DAY))
        self.client.answer(UNREACHABLE)
        for _ in range(3):
            known = document(K1, until=NOW + HOUR)
            self.assert_are(self.known(self.keys([K1], until=NOW + DAY)), known)
        self.assert_are(self.successResultOf(asked), document(K1, until=NOW + HOUR))

    def test_a_key_that_nobody_lists_is_not_asked_for_each_time(self) -> None:
        """A key that was not in the answer is asked for again after a minute."""
        self.store(document(K1, until=NOW + DAY))
        asked = self.query(self.keys([K1, K3]), self.keys(["rsa:1"], B))
        self.client.answer(document(K1, until=NOW + DAY))
        self.client.answer(document(K1, server_name=B))
        self.successResultOf(asked)
        self.clock.advance(59)
        for _ in range(3):
            self.known(self.keys([K1, K3]), self.keys(["rsa:1"], B))
        # Another key is another question.
        self.assert_asks(self.keys([K2]))
        self.assert_asks(self.keys([K3]))

    def test_a_key_that_was_not_fetched_is_asked_for_each_time(self) -> None:
        """Where a server answered badly, it is not known which keys it lists."""
        for number in range(1, 3):
            asked = self.query(self.keys([K3]))
            self.client.answer(Refused(A, 500, None, ""))
            self.successResultOf(asked)
            self.assertEqual(len(self.client.asked), number)

    def test_who_failed_is_not_asked_again(self) -> None:
        """A server that did not answer a moment ago is left in peace."""
        asked = self.query(A)
        self.client.answer(UNREACHABLE)
        self.assertEqual(self.successResultOf(asked), [])
        self.clock.advance(29)
        self.assertEqual(self.known(A), [])
        self.clock.advance(1)
        self.assert_asks(A)

    def test_who_hangs_is_left_out_after_three_seconds(self) -> None:
        """A query waits three seconds, and is answered with what is known by then."""
        self.store(document(K1, until=NOW + HOUR))
        asked = self.query(Query(A, {}, NOW + DAY), B)
        self.clock.advance(2.9)
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.assert_are(self.successResultOf(asked), document(K1, until=NOW + HOUR))

    def test_who_answers_late_is_known_to_the_next(self) -> None:
        """A fetch goes on when nobody waits any more, and is not begun twice."""
        asked = self.query(A)
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(asked), [])
        again = self.query(A)
        self.assertEqual(len(self.client.asked), 1)
        self.client.answer(document(K1))
        self.assert_are(self.successResultOf(again), document(K1))
        self.assert_are(self.known(A), document(K1))

    def test_nothing_is_left_behind(self) -> None:
        """Where a server answered in time, nothing waits for it any more."""
        asked = self.query(A)
        self.client.answer(document(K1))
        self.successResultOf(asked)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    # How many.

    def test_one_fetch_serves_many(self) -> None:
        """Whoever asks for a server at the same time waits for one fetch from it."""
        asked = [self.query(A) for _ in range(10)]
        asked += [self.query(self.keys([K1])) for _ in range(10)]
        self.assertEqual(self.client.asked, ["v2 of a.example"])
        self.client.answer(document(K1))
        for each in asked:
            self.assert_are(self.successResultOf(each), document(K1))
        self.assertEqual(len(self.client.asked), 1)

    def test_a_hundred_are_asked_at_once(self) -> None:
        """However many servers one client asks for, another one goes first."""
        asked = self.query(*names(150), cause=STRANGER)
        self.assertEqual(len(self.client.asked), 100)
        request = Deferred.fromCoroutine(
            self.keyring.request_key(A, K1, Cause("192.0.2.2"))
        )
        self.assertEqual(self.client.asked[-1], "v2 of a.example")
        self.assertEqual(len(self.client.asked), 101)
        self.client.answer(UNREACHABLE)  # which gave way
        for _ in range(100):
            self.client.answer(UNREACHABLE)
        self.refusal(request)
        self.assertNoResult(asked)  # the rest waits for the slots
        self.clock.advance(3)
        self.assertEqual(self.successResultOf(asked), [])
        self.assertEqual(len(self.client.asked), 151)
        for _ in range(50):
            self.client.answer(UNREACHABLE)

    def test_many_wait_for_one_turn(self) -> None:
        """Who asks for a server that waits for its turn takes no other turn."""
        waiting = self.query(*names(101))
        again = self.query(names(101)[100])
        for _ in range(101):
            self.client.answer(UNREACHABLE)
        self.successResultOf(waiting)
        self.successResultOf(again)
        self.assertEqual(len(self.client.asked), 101)

    def test_few_wait_for_their_turn(self) -> None:
        """Where too many wait, the next one gets what is known at once."""
        self.patch(shares, "_MAX_OWN_WAITING", 2)
        self.store(document(K1, until=NOW + HOUR))
        waiting = self.query(*names(102))
        asked = self.successResultOf(self.query(A, minimum=NOW + DAY))
        self.assert_are(asked, document(K1, until=NOW + HOUR))
        self.assertEqual(self.successResultOf(self.query(B)), [])
        self.assertNoResult(waiting)
        self.client.answer(UNREACHABLE)
        self.assertNoResult(self.query(B))

    def test_a_thousand_may_wait(self) -> None:
        """A thousand servers wait for their turn, and one more does not."""
        waiting = self.query(*names(1100))
        self.assertEqual(self.successResultOf(self.query(A)), [])
        self.assertNoResult(waiting)
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(waiting), [])
