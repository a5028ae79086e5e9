"""Look-ups are shared, kept for their time, and bounded in number."""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.outbound.cache import Cache

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

    def find(self, value: str, seconds: float) -> None:
        """End the look-up that was begun first."""
        self.looking.pop(0)[1].callback((value, seconds))

    def test_many_who_ask_at_once_cost_one_look_up(self) -> None:
        """Ten who ask for the same key get the value of one look-up."""
        asked = [self.ask("a") for _ in range(10)]
        self.assertEqual(len(self.looking), 1)
        self.find("1", 5)
        self.assertEqual([self.successResultOf(each) for each in asked], ["1"] * 10)

    def test_a_value_is_kept_for_its_time(self) -> None:
        """A value is not looked up again before its seconds are over."""
        self.ask("a")
        self.find("1", 5)
        self.clock.advance(4.9)
        self.assertEqual(self.successResultOf(self.ask("a")), "1")
        self.clock.advance(0.1)
        self.assertNoResult(self.ask("a"))
        self.assertEqual(len(self.looking), 1)

    def test_a_value_without_time_is_not_kept(self) -> None:
        """A value of no seconds is for those alone who wait for it."""
        asked = self.ask("a")
        self.find("1", 0)
        self.assertEqual(self.successResultOf(asked), "1")
        self.assertNoResult(self.ask("a"))

    def test_a_failure_is_told_to_all_and_not_kept(self) -> None:
        """What a look-up raises reaches everybody who waits, and nobody later."""
        asked = [self.ask("a"), self.ask("a")]
        self.looking.pop(0)[1].errback(ValueError("no"))
        for each in asked:
            self.failureResultOf(each, ValueError)
        self.assertNoResult(self.ask("a"))

    def test_who_gives_up_takes_nobody_along(self) -> None:
        """A look-up goes on for the others when the one who began it is cancelled."""
        first, second = self.ask("a"), self.ask("a")
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.find("1", 5)
        self.assertEqual(self.successResultOf(second), "1")

    def test_the_oldest_goes_first(self) -> None:
        """Where there are too many values, the one found first is forgotten."""
        for key in "abc":
            self.ask(key)
            self.find(key, 60)
        self.assertEqual(self.successResultOf(self.ask("b")), "b")
        self.assertNoResult(self.ask("a"))

    def test_keys_are_independent(self) -> None:
        """Two keys are looked up each alone."""
        first, second = self.ask("a"), self.ask("b")
        self.assertEqual([key for key, _ in self.looking], ["a", "b"])
        self.find("1", 5)
        self.assertEqual(self.successResultOf(first), "1")
        self.assertNoResult(second)
