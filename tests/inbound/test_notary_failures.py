"""Servers that do not answer a notary, or answer badly.

A query waits for three seconds, and is answered with what is known. Who was not reached
is left in peace for a while.
"""

from homeserver.inbound.notary import Query
from homeserver.outbound.remote_error import Refused
from homeserver.protocol.errors import BadJson
from homeserver.protocol.identifiers import ServerName
from tests.support.keyrings import (
    DAY,
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

BAD = BadJson("`verify_keys` is not a JSON object")


class FailureTests(NotaryCase):
    """Servers without a good answer."""

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
