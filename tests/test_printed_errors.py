"""A traceback on standard error fails the test in which it was printed."""

import pytest

from tests.support.printed_errors import PrintedErrors

pytest_plugins = ["pytester"]

MODULE = """
import subprocess
import sys

import pytest

def fall():
    subprocess.run([sys.executable, "-c", "1 / 0"])

@pytest.fixture
def falls_after():
    yield
    fall()

def test_good():
    print("a trace", file=sys.stderr)

def test_in_it():
    fall()

def test_after_it(falls_after):
    pass
"""


def test_failures(pytester: pytest.Pytester) -> None:
    """The tests that fail, and when."""
    pytester.makepyfile(MODULE)
    options = ["-p", "no:cacheprovider", "--capture=fd"]
    result = pytester.inline_run(*options, plugins=[PrintedErrors()])
    failed = [
        report
        for report in result.getreports("pytest_runtest_logreport")
        if report.failed
    ]
    assert [
        f"{report.nodeid.rpartition('::')[2]} {report.when}" for report in failed
    ] == ["test_in_it call", "test_after_it teardown"]
    assert all("ZeroDivisionError" in report.capstderr for report in failed)
