"""When others have their turn, and works that are done at the same time."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.net.cooperate import Pace, together


class TurningClock(Clock):
    """A clock whose calls are made as the reactor makes them."""

    def turn(self) -> None:
        """Make the calls that are due; what they call for later is of the next turn."""
        due, self.calls = self.calls, []
        for call in due:
            call.func(*call.args, **call.kw)


class PaceTests(SynchronousTestCase):
    """Long work that pauses."""

    def setUp(self) -> None:
        """No work is going on."""
        self.clock = TurningClock()
        self.pace = Pace(self.clock)
        self.steps: list[str] = []

    def work(self, name: str, seconds: float, times: int) -> Deferred[None]:
        """Work so many times for so long, and pause before each time."""

        async def work() -> None:
            for _ in range(times):
                await self.pace.pause()
                self.steps.append(name)
                self.clock.rightNow += seconds

        return Deferred.fromCoroutine(work())

    def test_short_work_does_not_pause(self) -> None:
        """Work of less than three milliseconds in a turn goes on at once."""
        self.successResultOf(self.work("a", 0.0007, 4))
        self.clock.turn()
        self.successResultOf(self.work("b", 0.0007, 4))

    def test_long_work_pauses(self) -> None:
        """Longer work lets others go first, and then begins anew."""
        pausing = self.work("a", 0.001, 7)
        assert len(self.steps) == 3
        self.clock.turn()
        assert len(self.steps) == 6
        self.clock.turn()
        self.successResultOf(pausing)

    def test_many_works_share_a_turn(self) -> None:
        """However many work, a turn is as long, and all go on in their order."""
        works = [self.work(name, 0.002, 2) for name in "abc"]
        turns = ["".join(self.steps)]
        while not all(work.called for work in works):
            self.steps.clear()
            self.clock.turn()
            turns.append("".join(self.steps))
        assert turns == ["aa", "bb", "cc"]

    def test_short_work_among_long_ones(self) -> None:
        """Short work is over soon, however much long work waits; all goes on."""

        async def work(name: str, seconds: float, times: int) -> None:
            self.pace.begin_work()
            for _ in range(times):
                await self.pace.pause()
                self.steps.append(name)
                self.clock.rightNow += seconds

        def begin(name: str, seconds: float, times: int) -> Deferred[None]:
            return Deferred.fromCoroutine(work(name, seconds, times))

        long = [begin(name, 0.01, 40) for name in "abcdefgh"]
        for _ in range(20):
            self.clock.turn()
        short = begin("short", 0.0005, 60)
        turns = 0
        while not short.called:
            self.clock.turn()
            turns += 1
        # Six steps in a turn, of every other turn at least.
        assert turns <= 20
        self.steps.clear()
        while not all(each.called for each in long):
            self.clock.turn()
        assert set(self.steps) == set("abcdefgh")

    def beside_io(self, seconds: float, work: Deferred[None]) -> int:
        """How many turns work takes that has I/O beside it in each of them."""
        turns = 0
        while not work.called:
            self.clock.rightNow += seconds
            self.clock.turn()
            turns += 1
        return turns

    def test_work_beside_much_io(self) -> None:
        """Where I/O takes long, works have a quarter of the time as well."""
        assert self.beside_io(0.0, self.work("a", 0.001, 60)) == 19
        assert self.beside_io(0.08, self.work("b", 0.001, 60)) <= 4

    def test_longest_turn(self) -> None:
        """After the process has stood still, others wait for 50 ms at most."""
        work = self.work("a", 0.001, 500)
        self.steps.clear()
        self.clock.rightNow += 10.0
        self.clock.turn()
        assert 50 <= len(self.steps) <= 51  # a sum of floats
        self.beside_io(0.0, work)

    def test_a_later_turn_is_short_again(self) -> None:
        """That the process stood still once is nothing to work that begins later."""
        self.successResultOf(self.work("a", 0.001, 1))
        self.clock.rightNow += 10.0
        self.clock.turn()
        self.steps.clear()
        work = self.work("b", 0.001, 50)
        assert len(self.steps) <= 4  # a sum of floats
        self.beside_io(0.0, work)

    def test_nothing_is_left_when_all_is_done(self) -> None:
        """Without work there is no call."""
        self.work("a", 0.001, 7)
        for _ in range(3):
            self.clock.turn()
        assert self.clock.getDelayedCalls() == []


class TogetherTests(SynchronousTestCase):
    """Works at the same time."""

    def setUp(self) -> None:
        """Begin two works."""
        self.waiting: list[Deferred[None]] = [Deferred(), Deferred()]

        async def work(waiting: Deferred[None]) -> None:
            await waiting

        self.done = Deferred.fromCoroutine(together(map(work, self.waiting)))

    def test_one_and_none(self) -> None:
        """One work alone is waited for, and may fail; without any it is over."""
        self.successResultOf(Deferred.fromCoroutine(together([])))
        alone: Deferred[None] = Deferred()

        async def work() -> None:
            await alone

        done = Deferred.fromCoroutine(together([work()]))
        self.assertNoResult(done)
        alone.errback(ValueError("alone"))
        assert str(self.failureResultOf(done, ValueError).value) == "alone"

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
        assert str(failure.value) == "first"
        self.waiting[0].errback(ValueError("second"))
