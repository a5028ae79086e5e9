"""Errors in Twisted's log: each fails the test in which it was logged.

Rules: an event with a failure is an error, whatever its level. A test that expects an
error takes it back with `logged_errors.flush`, or raises a `PlantedError` where ours
shall fail. The test cases of trial have `flushLoggedErrors` for that.

A Deferred that nobody asks for its error logs it when it is freed. If it is part of a
cycle, the garbage collector frees it: after each test it looks at what is young, which
costs almost nothing, and after each module at everything.
"""

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer


class PlantedError(Exception):
    """A mistake in our code, as a test makes it; it may be logged."""


@implementer(ILogObserver)
class LoggedErrors:
    """The errors since the last look; a plugin of pytest."""

    def __init__(self) -> None:
        self._events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        """As `ILogObserver`."""
        failure = event.get("log_failure")
        if failure is not None and not failure.check(PlantedError):
            self._events.append(event)

    def flush(self, kind: type[BaseException]) -> list[Failure]:
        """Take back the errors of a kind."""
        events = self._take()
        self._events = [each for each in events if not each["log_failure"].check(kind)]
        failures = [each["log_failure"] for each in events]
        return [failure for failure in failures if failure.check(kind)]

    @pytest.fixture(name="logged_errors")
    def _itself(self) -> "LoggedErrors":
        return self

    def pytest_configure(self) -> None:
        """Begin to look."""
        globalLogPublisher.addObserver(self)

    def pytest_unconfigure(self) -> None:
        """Look no more."""
        globalLogPublisher.removeObserver(self)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """Look at what the fixtures have done."""
        with self._looking(item, "setup"):
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Look at what the test has done."""
        with self._looking(item, "call"):
            yield
            if _looks_itself(item):
                self._take()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Iterator[None]:
        """Look at what is freed after the test."""
        with self._looking(item, "teardown"):
            yield
            if isinstance(item, pytest.Function):
                item.funcargs.clear()  # pytest holds them a little longer
            is_last = nextitem is None or nextitem.path != item.path
            gc.collect(2 if is_last else 1)

    @contextmanager
    def _looking(self, item: pytest.Item, when: str) -> Iterator[None]:
        """Fail if there is an error; if it fails anyway, its report has the errors."""
        try:
            yield
        except BaseException:
            item.add_report_section(when, "log", self._said())
            raise
        if said := self._said():
            pytest.fail(f"errors in Twisted's log:\n{said}", pytrace=False)

    def _said(self) -> str:
        return "\n".join(map(_text, self._take()))

    def _take(self) -> Sequence[LogEvent]:
        events, self._events = self._events, []
        return events


def _looks_itself(item: pytest.Item) -> bool:
    """Whether a test is one of trial's."""
    case = getattr(item, "cls", None)
    return case is not None and issubclass(case, SynchronousTestCase)


def _text(event: LogEvent) -> str:
    return f"{formatEvent(event)}\n{event['log_failure'].getTraceback()}"
