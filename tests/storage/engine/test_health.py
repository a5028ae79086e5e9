"""Whether the store works: what is known of it, and how often it is told."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from homeserver.storage.engine.health import StoreHealth


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> StoreHealth:
    """A store of which nothing is known yet."""
    return StoreHealth(clock)


@contextmanager
def told() -> Iterator[list[LogLevel]]:
    """The levels of what is told."""
    levels: list[LogLevel] = []
    with capturedLogs() as events:
        yield levels
    levels.extend(event["log_level"] for event in events)


def test_what_is_wrong_is_known_until_all_is_well(health: StoreHealth) -> None:
    """As long as the writer or the reader meets a problem, there is one."""
    seen = [health.problem]
    for who, problem in [
        ("writer", "full"),
        ("reader", "gone"),
        ("writer", None),
        ("reader", None),
    ]:
        health.note(who, problem)
        seen.append(health.problem)
    assert seen == [None, "full", "full", "gone", None]


def test_a_problem_is_told_once(health: StoreHealth, clock: Clock) -> None:
    """However many meet it for however long, and whatever they call it; and its end."""
    with told() as levels:
        for _ in range(100):
            health.note("writer", "connection closed")
            health.note("reader", "connection refused")
            clock.advance(3)
    assert levels == [LogLevel.error]
    with told() as levels:
        health.note("writer", None)
        health.note("reader", None)
        health.note("reader", None)
    assert levels == [LogLevel.info]


def test_what_comes_and_goes_is_told_each_minute(
    health: StoreHealth, clock: Clock
) -> None:
    """A store that works and fails by turns does not fill the log."""
    with told() as levels:
        for _ in range(119):
            health.note("writer", "full")
            health.note("writer", None)
            clock.advance(1)
    assert levels == [LogLevel.error, LogLevel.info] * 2


def test_a_problem_that_lasts_is_told_when_it_may_be(
    health: StoreHealth, clock: Clock
) -> None:
    """What comes back too soon to be told is told later, if it stays."""
    for problem in ("full", None, "full"):
        health.note("writer", problem)
    with told() as levels:
        clock.advance(60)
        health.note("writer", "full")
    assert levels == [LogLevel.error]
