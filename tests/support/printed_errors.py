"""Tracebacks on standard error: each fails the test in which a process printed it.

Rules: they are of processes that a test starts, such as a lab, and whose standard error
is its own. Twisted prints none of the errors of this process: they are logged. Nothing
is seen where pytest captures nothing (`-s`).
"""

import warnings
from collections.abc import Generator

import pytest
from twisted.logger import globalLogBeginner


class PrintedErrors:
    """A plugin of pytest."""

    def pytest_configure(self) -> None:
        """Let Twisted print nothing: it does until logging begins."""
        with pytest.MonkeyPatch.context() as patch:
            # It would take the warnings of this process as well.
            patch.setattr(warnings, "showwarning", warnings.showwarning)
            globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self,
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Look at what was printed in a part of a test that has passed."""
        report = yield
        captured = f"Captured stderr {report.when}"
        printed = "".join(text for name, text in report.sections if name == captured)
        if report.passed and "Traceback" in printed:
            report.outcome = "failed"
            report.longrepr = "a traceback on standard error, which is below"
        return report
