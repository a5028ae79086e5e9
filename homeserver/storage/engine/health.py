"""Whether the store works, logged once and not with every request that needs it.

Rules: everything here runs in the reactor's thread.
"""

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

# Between two errors in the log: a store that works and fails by turns, as on a disk
# that is almost full, does not fill it.
_SILENT_SECONDS = 60.0


class StoreHealth:
    """The problems of a store, by the thread that met each: `writer` or `reader`."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._problems: dict[str, str] = {}
        self._is_logged = False
        self._logged_at = -_SILENT_SECONDS

    @property
    def problem(self) -> str | None:
        """What is wrong now; None if each thread's last attempt succeeded."""
        return next(iter(self._problems.values()), None)

    def note(self, thread: str, problem: str | None) -> None:
        """Record the problem that a thread met, or None once it has succeeded."""
        if problem is None:
            self._problems.pop(thread, None)
        else:
            self._problems[thread] = problem
        if self._is_logged:
            if not self._problems:
                self._is_logged = False
                self._log.info("the store is back")
        elif problem and self._clock.seconds() - self._logged_at >= _SILENT_SECONDS:
            self._is_logged = True
            self._logged_at = self._clock.seconds()
            self._log.error(
                "{problem}; until the store is back, requests that need it are "
                "answered with 503 and nothing is sent",
                problem=problem,
            )
