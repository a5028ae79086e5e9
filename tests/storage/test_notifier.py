"""Waiting for news: until there is enough, and never longer than was said."""

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.storage.notifier import Changes


class ChangesTests(SynchronousTestCase):
    """Waiting until a number is large enough."""

    def setUp(self) -> None:
        """Begin with nothing, and nobody who waits."""
        self.clock = Clock()
        self.changes = Changes(self.clock)
        self.seen = 0
        self.looks = 0

    def tearDown(self) -> None:
        """Whoever came is gone, and took what it had set up along."""
        self.assertEqual(self.changes._waiting, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def look(self) -> int:
        """The number as it is."""
        self.looks += 1
        return self.seen

    def until(
        self,
        at_least: int,
        seconds: float,
        look: Callable[[], Deferred[int]] | None = None,
    ) -> Deferred[int]:
        """Wait until the number is large enough."""
        return Deferred.fromCoroutine(
            self.changes.until(look or self.look, lambda n: n >= at_least, seconds)
        )

    def test_enough_at_once(self) -> None:
        """What is enough is returned without waiting, after one look."""
        self.assertEqual(self.successResultOf(self.until(0, 10)), 0)
        self.assertEqual(self.looks, 1)

    def test_no_time(self) -> None:
        """Who has no time to wait gets what there is."""
        self.assertEqual(self.successResultOf(self.until(1, 0)), 0)
        self.assertEqual(self.successResultOf(self.until(1, -1)), 0)

    def test_end_of_waits(self) -> None:
        """Whoever waits gets what there is, and nobody waits any more."""
        waiting = self.until(1, 10)
        self.assertNoResult(waiting)
        self.changes.end_waits()
        self.assertEqual(self.successResultOf(waiting), 0)
        self.assertEqual(self.successResultOf(self.until(1, 10)), 0)

    def test_nobody_announced(self) -> None:
        """What another process has done is seen within a second."""
        waiting = self.until(1, 10)
        self.clock.advance(0.9)
        self.seen = 1
        self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(waiting), 1)
        self.assertEqual(self.looks, 2)

    def test_other_processes(self) -> None:
        """What is announced here is told to them, and what they announce is not."""
        told: list[None] = []
        self.changes = Changes(self.clock, lambda: told.append(None))
        waiting = self.until(1, 10)
        self.seen = 1
        self.changes.wake()
        self.assertEqual((self.successResultOf(waiting), told), (1, []))
        self.changes.announce()
        self.assertEqual(told, [None])

    def test_announced_and_not_enough(self) -> None:
        """Who looked and did not find enough waits on."""
        waiting = self.until(2, 10)
        for self.seen in 1, 1, 2:
            self.assertNoResult(waiting)
            self.changes.announce()
        self.assertEqual(self.successResultOf(waiting), 2)

    def test_time_is_over(self) -> None:
        """After the time that was given, what there is then is returned."""
        waiting = self.until(2, 10)
        self.clock.advance(9.9)
        self.assertNoResult(waiting)
        self.seen = 1  # and nobody says so
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(waiting), 1)

    def test_news_give_no_more_time(self) -> None:
        """The time is that of the whole waiting, whatever is announced meanwhile."""
        waiting = self.until(1, 10)
        for seconds in 6, 3.5, 0.4:
            self.clock.advance(seconds)
            self.changes.announce()
            self.assertNoResult(waiting)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(waiting), 0)

    def test_all_are_told(self) -> None:
        """Everybody who waits looks again, and each has a limit of its own."""
        first, second, third = self.until(1, 10), self.until(2, 10), self.until(1, 5)
        self.clock.advance(5)
        self.assertEqual(self.successResultOf(third), 0)
        self.seen = 1
        self.changes.announce()
        self.assertEqual(self.successResultOf(first), 1)
        self.assertNoResult(second)
        self.seen = 2
        self.changes.announce()
        self.assertEqual(self.successResultOf(second), 2)

    def test_announced_to_nobody(self) -> None:
        """News that nobody waits for are not kept for who comes later."""
        self.changes.announce()
        waiting = self.until(1, 10)
        self.assertNoResult(waiting)
        self.clock.advance(10)
        self.successResultOf(waiting)

    def test_announced_during_a_look(self) -> None:
        """What changes while somebody looks is not missed."""
        looks: list[Deferred[int]] = []

        def look() -> Deferred[int]:
            looks.append(Deferred())
            return looks[-1]

        waiting = self.until(1, 10, look)
        self.changes.announce()
        looks[0].callback(0)  # as it was before
        self.assertEqual(len(looks), 2)
        looks[1].callback(1)
        self.assertEqual(self.successResultOf(waiting), 1)

    def test_time_is_over_during_a_look(self) -> None:
        """A look that takes longer than the time there is is the last one."""
        looked: Deferred[int] = Deferred()
        waiting = self.until(1, 10, lambda: looked)
        self.clock.advance(11)
        self.assertNoResult(waiting)
        looked.callback(0)
        self.assertEqual(self.successResultOf(waiting), 0)

    def test_announcing_while_being_told(self) -> None:
        """Who is told may announce something itself."""
        first = self.until(1, 10)
        second = self.until(2, 10)

        def announce(seen: int) -> int:
            self.seen = 2
            self.changes.announce()
            return seen

        first.addCallback(announce)
        self.seen = 1
        self.changes.announce()
        self.assertEqual(self.successResultOf(first), 1)
        self.assertEqual(self.successResultOf(second), 2)

    def test_cancelling_while_being_told(self) -> None:
        """Who is told first may make the other one give up."""
        waiting = [self.until(1, 10), self.until(1, 10)]

        def cancel_all(seen: int) -> int:
            for each in waiting:
                each.cancel()
            return seen

        for each in waiting:
            each.addCallback(cancel_all)
        self.seen = 1
        self.changes.announce()
        # Nobody says which of them is told first.
        told = [each for each in waiting if isinstance(each.result, int)]
        [cancelled] = [each for each in waiting if each not in told]
        self.assertEqual([self.successResultOf(each) for each in told], [1])
        self.failureResultOf(cancelled, CancelledError)

    def test_giving_up(self) -> None:
        """Who is cancelled waits no longer, and others are still told."""
        cancelled, other = self.until(1, 10), self.until(1, 10)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.seen = 1
        self.changes.announce()
        self.assertEqual(self.successResultOf(other), 1)
