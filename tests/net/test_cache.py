"""Look-ups are shared, kept for their time, and bounded in number."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.net.cache import Cache, Kept

LookUp = Callable[[], Coroutine[Deferred[Any], Any, tuple[str, float]]]


class CacheTests(SynchronousTestCase):
    """What a cache does with one look-up or many."""

    def setUp(self) -> None:
        """Make a cache whose look-ups end when the test says so."""
        self.clock = Clock()
        self.cache: Cache[str, str] = Cache(self.clock, max_entries=2)
        self.looking: list[tuple[str, Deferred[tuple[str, float]]]] = []

    def look_up(self, key: str) -> LookUp:
        """A look-up that is noted in `looking`."""

        async def look_up() -> tuple[str, float]:
            found: Deferred[tuple[str, float]] = Deferred()
            self.looking.append((key, found))
            return await found

        return look_up

    def ask(self, key: str) -> Deferred[str]:
        """Ask for a key's value."""
        return Deferred.fromCoroutine(self.cache.fetch(key, self.look_up(key)))

    def want(self, key: str, wanted: str) -> Deferred[str]:
        """Ask for a key's value, which is no good if it is another one."""
        return Deferred.fromCoroutine(
            self.cache.fetch(key, self.look_up(key), lambda value: value == wanted)
        )

    def find(self, value: str, seconds: float) -> None:
        """End the look-up that was begun first."""
        self.looking.pop(0)[1].callback((value, seconds))

    def test_many_who_ask_at_once_cost_one_look_up(self) -> None:
        """Ten requests for the same key get the value of one look-up."""
        asked = [self.ask("a") for _ in range(10)]
        assert len(self.looking) == 1
        self.find("1", 5)
        assert [self.successResultOf(each) for each in asked] == ["1"] * 10

    def test_whether_a_value_is_kept(self) -> None:
        """It is from when it was found until its seconds are over."""
        seen = [self.cache.is_kept("a")]
        self.ask("a")
        seen.append(self.cache.is_kept("a"))
        self.find("1", 5)
        for seconds in (4.9, 0.1):
            self.clock.advance(seconds)
            seen.append(self.cache.is_kept("a"))
        assert seen == [False, False, True, False]

    def test_a_value_is_kept_for_its_time(self) -> None:
        """A value is not looked up again before its seconds are over."""
        self.ask("a")
        self.find("1", 5)
        self.clock.advance(4.9)
        assert self.successResultOf(self.ask("a")) == "1"
        self.clock.advance(0.1)
        self.assertNoResult(self.ask("a"))
        assert len(self.looking) == 1

    def test_what_is_over_is_removed(self) -> None:
        """Of a crowd's values, the last ones are in memory; all of ours are."""
        cache: Cache[str, str] = Cache(self.clock, 10_000)
        use = cache.make_bound("values", "values").use
        for number in range(50):
            cache.keep(f"long {number}", "1", 10_000)
        most = 0
        for number in range(8000):
            cache.keep(f"short {number}", "1", 5)
            self.clock.advance(0.05)
            most = max(most, use())
        assert most <= 2 * (50 + 100) + 1
        assert all(cache.is_kept(f"long {number}") for number in range(50))

    def test_a_value_without_time_is_not_kept(self) -> None:
        """A value of no seconds is only for the requests that wait for it."""
        asked = self.ask("a")
        self.find("1", 0)
        assert self.successResultOf(asked) == "1"
        self.assertNoResult(self.ask("a"))

    def test_a_value_without_time_takes_no_place(self) -> None:
        """What is not kept pushes out nothing that is."""
        for key, seconds in [("a", 60), ("b", 60), ("c", 0)]:
            self.ask(key)
            self.find(key, seconds)
        assert self.successResultOf(self.ask("a")) == "a"

    def test_a_failure_is_told_to_all_and_not_kept(self) -> None:
        """What a look-up raises reaches all that wait for it, and no later request."""
        asked = [self.ask("a"), self.ask("a")]
        self.looking.pop(0)[1].errback(ValueError("no"))
        for each in asked:
            self.failureResultOf(each, ValueError)
        self.assertNoResult(self.ask("a"))

    def test_who_gives_up_takes_nobody_along(self) -> None:
        """A look-up goes on for the others when the one that began it is cancelled."""
        first, second = self.ask("a"), self.ask("a")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.find("1", 5)
        assert self.successResultOf(second) == "1"

    def test_the_oldest_goes_first(self) -> None:
        """Where there are too many values, the one found first is forgotten."""
        for key in "abc":
            self.ask(key)
            self.find(key, 60)
        assert self.successResultOf(self.ask("b")) == "b"
        self.assertNoResult(self.ask("a"))

    def test_keys_are_independent(self) -> None:
        """Two keys are looked up each alone."""
        first, second = self.ask("a"), self.ask("b")
        assert [key for key, _ in self.looking] == ["a", "b"]
        self.find("1", 5)
        assert self.successResultOf(first) == "1"
        self.assertNoResult(second)

    # What is forgotten.

    def test_what_is_forgotten_is_looked_up_anew(self) -> None:
        """A value that was forgotten is found again by a look-up of its own."""
        self.ask("a")
        self.find("1", 60)
        self.cache.forget("a")
        again = self.ask("a")
        self.assertNoResult(again)
        self.find("2", 60)
        assert self.successResultOf(again) == "2"
        assert self.successResultOf(self.ask("a")) == "2"

    def test_others_are_not_forgotten(self) -> None:
        """To forget one key leaves the others as they are."""
        self.ask("a")
        self.find("1", 60)
        self.cache.forget("b")
        assert self.successResultOf(self.ask("a")) == "1"

    def test_what_is_forgotten_while_it_is_looked_up_is_not_kept(self) -> None:
        """Requests that wait get the old value, and later ones do not."""
        asked = self.ask("a")
        self.cache.forget("a")
        self.find("old", 60)
        assert self.successResultOf(asked) == "old"
        self.assertNoResult(self.ask("a"))
        self.find("new", 60)
        assert self.successResultOf(self.ask("a")) == "new"

    def test_who_asks_after_forgetting_is_told_what_is_true_then(self) -> None:
        """A look-up from before does not serve requests that come while it goes on."""
        before = self.ask("a")
        self.cache.forget("a")
        after, with_it = self.ask("a"), self.ask("a")
        assert len(self.looking) == 2
        self.find("old", 60)
        assert self.successResultOf(before) == "old"
        self.assertNoResult(after)
        # The first look-up has not ended the second, and is not in its place.
        self.assertNoResult(self.ask("a"))
        assert len(self.looking) == 1
        self.find("new", 60)
        assert self.successResultOf(after) == "new"
        assert self.successResultOf(with_it) == "new"
        assert self.successResultOf(self.ask("a")) == "new"

    def test_an_old_look_up_that_ends_last_is_not_kept(self) -> None:
        """What was found later is not pushed out by what was asked for earlier."""
        self.ask("a")
        self.cache.forget("a")
        self.ask("a")
        self.looking.pop()[1].callback(("new", 60))
        self.find("old", 60)
        assert self.successResultOf(self.ask("a")) == "new"

    # What is not wanted.

    def test_a_value_that_is_wanted_is_not_looked_up(self) -> None:
        """A request gets the kept value where that is good enough for it."""
        self.ask("a")
        self.find("1", 60)
        assert self.successResultOf(self.want("a", "1")) == "1"

    def test_a_value_that_is_not_wanted_is_looked_up_anew(self) -> None:
        """A kept value that is not good enough is replaced by what is found."""
        self.ask("a")
        self.find("1", 60)
        asked = self.want("a", "2")
        self.assertNoResult(asked)
        self.find("2", 60)
        assert self.successResultOf(asked) == "2"
        assert self.successResultOf(self.ask("a")) == "2"

    def test_a_value_that_is_not_wanted_is_good_for_others(self) -> None:
        """While one has it looked up anew, others get what is kept."""
        self.ask("a")
        self.find("1", 60)
        self.want("a", "2")
        assert self.successResultOf(self.ask("a")) == "1"

    def test_a_look_up_under_way_serves_who_wants_another_value(self) -> None:
        """There is one look-up at a time; what it finds is the value."""
        first, second = self.ask("a"), self.want("a", "2")
        assert len(self.looking) == 1
        self.find("1", 60)
        assert self.successResultOf(first) == "1"
        assert self.successResultOf(second) == "1"

    def test_bound(self) -> None:
        """The bound on the number of values counts those that are pushed out."""
        bound = self.cache.make_bound("n", "values")
        assert (bound.use(), bound.limit) == (0, 2)
        for key in "abc":
            self.ask(key)
            self.find("1", 5)
        assert (bound.use(), bound.refusals) == (2, 1)

    def test_what_is_kept_is_shown(self) -> None:
        """A value has its age and the seconds that are left, until they are over."""
        self.ask("a")
        self.find("1", 5)
        self.clock.advance(1)
        self.ask("b")
        self.find("2", 10)
        self.clock.advance(2)
        assert self.cache.kept() == [Kept("a", "1", 3.0, 2.0), Kept("b", "2", 2.0, 8.0)]
        assert self.cache.find("a") == Kept("a", "1", 3.0, 2.0)
        assert self.cache.find("c") is None
        self.clock.advance(2)
        assert self.cache.kept() == [Kept("b", "2", 4.0, 6.0)]
        assert self.cache.find("a") is None

    def test_everything_is_forgotten(self) -> None:
        """What was kept is looked up; what is being looked up is not kept."""
        self.ask("a")
        self.find("1", 5)
        asked = self.ask("b")
        self.cache.forget_all()
        self.find("2", 5)
        assert self.successResultOf(asked) == "2"
        assert self.cache.kept() == []
        self.ask("a")
        assert [key for key, _ in self.looking] == ["a"]

    def test_what_is_meant_is_forgotten(self) -> None:
        """Keys that are meant are forgotten, also those that are being looked up."""
        self.cache.keep("a1", "1", 5)
        self.cache.keep("b1", "1", 5)
        asked = self.ask("a2")
        self.cache.forget_where(lambda key: key.startswith("a"))
        self.find("2", 5)
        assert self.successResultOf(asked) == "2"
        assert [kept.key for kept in self.cache.kept()] == ["b1"]

    def test_a_value_of_another_place_is_kept(self) -> None:
        """A value from elsewhere is kept for its time, within the number.

        One without time replaces an older one, and is not kept.
        """
        for key in "a", "b", "c":
            self.cache.keep(key, key, 5)
        self.cache.keep("d", "d", 0)
        self.cache.keep("a", "a", 5)
        self.cache.keep("a", "newer", 0)
        assert [kept.key for kept in self.cache.kept()] == ["c"]
        self.clock.advance(5)
        assert self.cache.kept() == []
