"""Whether the store works, told once and not with every request that needs it.

Rules of the room: everything here runs in the reactor's thread.
"""

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

# Between two lines of the same store: one that works and fails by turns, as a disk that
# is almost full does, fills no log.
_SILENT_SECONDS = 60.0


class Condition:
    """What is wrong with a store, by who has met it: its writer or its reader."""

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._problems: dict[str, str] = {}
        self._is_told = False
        self._told_at = -_SILENT_SECONDS

    @property
    def problem(self) -> str | None:
        """What is wrong now; None if the last that was tried went well."""
        return next(iter(self._problems.values()), None)

    def note(self, who: str, problem: str | None) -> None:
        """Note that somebody has met a problem, or that all went well again."""
        if problem is None:
            self._problems.pop(who, None)
        else:
            self._problems[who] = problem
        now = self._clock.seconds()
        if self._is_told and not self._problems:
            self._is_told = False
            self._log.info("the store is back")
        elif (
            problem is not None
            and not self._is_told
            and now - self._told_at >= _SILENT_SECONDS
        ):
            self._is_told = True
            self._told_at = now
            self._log.error(
                "{problem}; until the store is back, requests that need it are "
                "answered with 503 and nothing is sent",
                problem=problem,
            )
