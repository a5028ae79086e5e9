"""An error in Twisted's log fails the test that caused it, and no other."""

from textwrap import dedent

import pytest

from tests.support.logged_errors import LoggedErrors
from tests.support.tables import cases

pytest_plugins = ["pytester"]

MODULE = """
import gc

import pytest
from twisted.internet.defer import fail
from twisted.trial.unittest import SynchronousTestCase

from tests.support.logged_errors import PlantedError

def failed():
    return fail(ZeroDivisionError())

def cycle():
    deferred = failed()
    deferred.itself = deferred
    return deferred

def test_before():
    pass
{test}
def test_after():
    pass
"""

ROWS = [
    ("nothing", "def test_it(): pass", []),
    ("an error", "def test_it(): failed()", ["test_it call"]),
    ("an error in a cycle", "def test_it(): cycle()", ["test_it teardown"]),
    (
        "an error in a cycle that the collector has seen in use",
        """
        def test_it():
            kept = cycle()
            gc.collect(1)
        """,
        ["test_after teardown"],
    ),
    (
        "an error of a fixture",
        """
        @pytest.fixture
        def broken(): failed()

        def test_it(broken): pass
        """,
        ["test_it setup"],
    ),
    (
        "an error in what a fixture made",
        """
        @pytest.fixture
        def broken(): return cycle()

        def test_it(broken): pass
        """,
        ["test_it teardown"],
    ),
    (
        "an error that is expected",
        """
        def test_it(logged_errors):
            failed()
            assert len(logged_errors.flush(ZeroDivisionError)) == 1
            assert len(logged_errors.flush(ZeroDivisionError)) == 0
        """,
        [],
    ),
    (
        "another error than what is expected",
        """
        def test_it(logged_errors):
            failed()
            assert len(logged_errors.flush(KeyError)) == 0
        """,
        ["test_it call"],
    ),
    ("an error that is planted", "def test_it(): fail(PlantedError())", []),
    (
        "an error beside a failure",
        """
        def test_it():
            failed()
            assert False
        """,
        ["test_it call"],
    ),
    (
        "an error in a test case",
        """
        class Tests(SynchronousTestCase):
            def test_it(self): failed()
        """,
        ["test_it call"],
    ),
    (
        "an error that a test case expects",
        """
        class Tests(SynchronousTestCase):
            def test_it(self):
                failed()
                assert len(self.flushLoggedErrors(ZeroDivisionError)) == 1
        """,
        [],
    ),
]


@cases("test failures", ROWS)
def test_failures(
    pytester: pytest.Pytester,
    logged_errors: LoggedErrors,
    test: str,
    failures: list[str],
) -> None:
    """The tests that fail, and when."""
    source = MODULE.format(test=dedent(test))
    pytester.makepyfile(test_first=source, test_second=MODULE.format(test=""))
    result = pytester.inline_run("-p", "no:cacheprovider", plugins=[LoggedErrors()])
    logged_errors.flush(ZeroDivisionError)  # this run has seen them, too
    failed = [
        report
        for report in result.getreports("pytest_runtest_logreport")
        if report.failed
    ]
    assert [
        f"{report.nodeid.rpartition('::')[2]} {report.when}" for report in failed
    ] == failures
    for report in failed:
        shown = [report.longreprtext, *(text for _, text in report.sections)]
        assert "ZeroDivisionError" in "".join(shown)
