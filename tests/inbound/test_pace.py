"""When others have their turn, and works that are done at the same time."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.inbound.pace import Pace, together


class PaceTests(SynchronousTestCase):
    """Long work that pauses."""

    def test_short_work_does_not_pause(self) -> None:
        """Who has worked for less than three milliseconds goes on at once."""
        clock = Clock()
        pace = Pace(clock)
        clock.advance(0.0029)
        self.successResultOf(Deferred.fromCoroutine(pace.pause()))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_long_work_pauses(self) -> None:
        """Who has worked for longer lets others go first, and then begins anew."""
        clock = Clock()
        pace = Pace(clock)
        clock.advance(0.003)
        pausing = Deferred.fromCoroutine(pace.pause())
        self.assertNoResult(pausing)
        clock.advance(0)
        self.successResultOf(pausing)
        self.successResultOf(Deferred.fromCoroutine(pace.pause()))


class TogetherTests(SynchronousTestCase):
    """Works at the same time."""

    def setUp(self) -> None:
        """Begin two works."""
        self.waiting: list[Deferred[None]] = [Deferred(), Deferred()]

        async def work(waiting: Deferred[None]) -> None:
            await waiting

        self.done = Deferred.fromCoroutine(together(map(work, self.waiting)))

    def test_all_are_waited_for(self) -> None:
        """It is over when all works are, in whatever order they end."""
        self.waiting[1].callback(None)
        self.assertNoResult(self.done)
        self.waiting[0].callback(None)
        self.successResultOf(self.done)

    def test_first_failure_counts(self) -> None:
        """What the first work raises that fails is raised; later ones are not told."""
        self.waiting[1].errback(ValueError("first"))
        failure = self.failureResultOf(self.done, ValueError)
        self.assertEqual(str(failure.value), "first")
        self.waiting[0].errback(ValueError("second"))
