"""When a notary asks a server for its document anew.

A document is kept for half of its life. It is good enough until the time that is
wanted of it.
"""

from homeserver.inbound.notary import Query
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import MAX_VALIDITY_MS
from tests.support.keyrings import DAY, HOUR, K1, K2, K3, NOW, UNREACHABLE, A, document
from tests.support.notaries import NotaryCase


class RefreshTests(NotaryCase):
    """Documents that are old, or not valid for long enough."""

    def to(self, now_ts: float) -> None:
        """Let it be that time."""
        self.clock.advance(now_ts / 1000 - self.clock.seconds())

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
