"""Work has so many seconds, is cancelled after that, and raises a time-out."""

from twisted.internet import defer
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.net.time_limit import within


class WithinTests(SynchronousTestCase):
    """A coroutine, or a Deferred, with a limit of five seconds."""

    def setUp(self) -> None:
        """Make work that is done when the test says so."""
        self.clock = Clock()
        self.cancelled: list[object] = []
        self.done: Deferred[str] = Deferred(self.cancelled.append)

    async def work(self) -> str:
        """Wait until the work is done."""
        return await self.done

    def start(self, *, is_coroutine: bool = True) -> Deferred[str]:
        """Begin the work."""
        work = self.work() if is_coroutine else self.done
        return Deferred.fromCoroutine(within(5, self.clock, work))

    def test_in_time(self) -> None:
        """Work that is done in time has its result, and leaves no timer."""
        for is_coroutine in True, False:
            self.done = Deferred()
            result = self.start(is_coroutine=is_coroutine)
            self.clock.advance(4.9)
            self.assertNoResult(result)
            self.done.callback("done")
            assert self.successResultOf(result) == "done"
            assert self.clock.getDelayedCalls() == []

    def test_too_late(self) -> None:
        """Work that takes too long is cancelled, and is a time-out."""
        for is_coroutine in True, False:
            self.cancelled.clear()
            self.done = Deferred(self.cancelled.append)
            result = self.start(is_coroutine=is_coroutine)
            self.clock.advance(5)
            self.failureResultOf(result, defer.TimeoutError)
            assert self.cancelled == [self.done]

    def test_done_at_once(self) -> None:
        """Work that does not wait begins no timer."""
        self.clock.callLater = self.fail  # type: ignore[assignment]
        for is_coroutine in True, False:
            self.done = defer.succeed("done")
            result = self.start(is_coroutine=is_coroutine)
            assert self.successResultOf(result) == "done"

    def test_work_that_became_more(self) -> None:
        """A Deferred whose callback waits for another one is not done."""
        more: Deferred[str] = Deferred(self.cancelled.append)
        self.done = defer.succeed("done").addCallback(lambda _: more)
        result = self.start(is_coroutine=False)
        self.clock.advance(5)
        self.failureResultOf(result, defer.TimeoutError)
        assert self.cancelled == [more]

    def test_failure(self) -> None:
        """Work that fails in time raises what it raises."""
        result = self.start()
        self.done.errback(ValueError("wrong"))
        assert str(self.failureResultOf(result, ValueError).value) == "wrong"
        assert self.clock.getDelayedCalls() == []

    def test_cancelled_by_the_caller(self) -> None:
        """A caller that gives up cancels the work; that is no time-out."""
        result = self.start()
        result.cancel()
        self.failureResultOf(result, CancelledError)
        assert self.cancelled == [self.done]
        assert self.clock.getDelayedCalls() == []
