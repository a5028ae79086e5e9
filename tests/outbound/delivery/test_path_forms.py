"""Which form of a transaction's path is tried, and which one is remembered."""

from homeserver.outbound.remote_error import Refused
from tests.support.manual_sender import (
    ALPHA,
    BETA,
    FIRST_RETRY,
    UNREACHABLE,
    SenderTestCase,
)


class PathTests(SenderTestCase):
    """Which form of the path is tried, and which one is remembered."""

    def answer(self, status: int, errcode: str | None) -> None:
        """Let the last call be answered so."""
        self.calls[-1].fail(Refused(ALPHA, status, errcode, ""))

    def test_what_leads_to_the_other_form(self) -> None:
        """A 400 that knows no route leads to a slash; from there, a 404 leads back."""
        for has_slash, status, errcode, leads in [
            (False, 400, "M_UNRECOGNIZED", True),
            (False, 400, None, True),
            (False, 400, "M_BAD_JSON", False),
            (False, 400, "M_UNKNOWN", False),
            (False, 404, "M_UNRECOGNIZED", False),
            (False, 404, None, False),
            (False, 413, None, False),
            (False, 500, None, False),
            (False, 200, None, False),
            (True, 400, "M_UNRECOGNIZED", True),
            (True, 400, None, True),
            (True, 404, "M_UNRECOGNIZED", True),
            (True, 404, None, True),
            (True, 400, "M_BAD_JSON", False),
            (True, 405, "M_UNRECOGNIZED", False),
            (True, 401, None, False),
        ]:
            with self.subTest((has_slash, status, errcode)):
                self.setUp()
                self.enqueue(BETA)
                slash = int(has_slash)
                self.store.execute(f"UPDATE destinations SET slash = {slash}")
                self.calls[0].acknowledge()
                self.store.execute(f"UPDATE destinations SET slash = {slash}")
                self.enqueue(BETA)
                self.assertEqual(self.calls[-1].slash, has_slash)
                first = self.calls[-1]
                first.fail(Refused(BETA, status, errcode, ""))
                self.assertEqual(len(self.calls), 3 if leads else 2)
                if leads:
                    other = self.calls[-1]
                    self.assertEqual(other.slash, not has_slash)
                    self.assertEqual(
                        (first.txn_id, first.body), (other.txn_id, other.body)
                    )

    def test_form_that_was_answered_is_remembered(self) -> None:
        """A delivery, and a no to the content, show that the path is known."""
        for status in (None, 400, 413):
            with self.subTest(status):
                self.setUp()
                self.enqueue()
                self.answer(400, None)
                if status is None:
                    self.calls[-1].acknowledge()
                else:
                    self.answer(status, "M_TOO_LARGE")
                self.enqueue()
                self.assertTrue(self.calls[-1].slash)

    def test_form_is_remembered_for_what_is_tried_again(self) -> None:
        """A transaction that failed is tried again in the form that is remembered."""
        self.enqueue()
        self.answer(400, None)
        self.calls[-1].acknowledge()
        self.enqueue()
        self.answer(500, None)
        self.clock.advance(FIRST_RETRY)
        self.assertTrue(self.calls[-1].slash)

    def test_failure_is_not_remembered(self) -> None:
        """Where both forms failed, the next attempt begins as this one did."""
        for status in (400, 404, 500):
            with self.subTest(status):
                self.setUp()
                entry = self.enqueue()
                self.answer(400, None)
                self.answer(status, None)
                self.assertEqual(len(self.calls), 2)
                state = self.state(entry)
                self.assertEqual((state["state"], state["attempts"]), ("queued", 2))
                self.assertEqual(
                    state["error"],
                    "alpha.test answers 400; in the other form of the path: "
                    f"alpha.test answers {status}",
                )
                self.clock.advance(FIRST_RETRY)
                self.assertFalse(self.calls[-1].slash)
                self.assertEqual(self.state(entry)["attempts"], 2)

    def test_no_answer_to_the_second_form(self) -> None:
        """A server that dies between the two forms is unreachable, and tried again."""
        entry = self.enqueue()
        self.answer(400, None)
        self.calls[-1].fail(UNREACHABLE)
        self.assertEqual(self.attempts[-1].result, "unreachable")
        self.assertIn("cannot be reached", str(self.state(entry)["error"]))
        self.clock.advance(FIRST_RETRY)
        self.assertFalse(self.calls[-1].slash)

    def test_one_lease_for_both_forms(self) -> None:
        """Between the two forms nothing is asked of the store."""
        self.enqueue()
        self.assertEqual(len(self.calls), 1)
        before = self.store.jobs
        self.answer(400, None)
        self.assertEqual(len(self.calls), 2)
        self.assertEqual(self.store.jobs, before)
