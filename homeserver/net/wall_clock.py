"""Two times: one to wait by, which only goes forward, and one that others have as well.

Rules: `seconds()` of the reactor is for waiting, and means nothing outside of this
process. What is compared with times of others, stored or shown is `wall_seconds`, which
is as right as the machine's clock, and jumps when that is set.
"""

import time

from twisted.internet.interfaces import IReactorTime
from twisted.internet.posixbase import PosixReactorBase


def steady(reactor: PosixReactorBase) -> PosixReactorBase:
    """The reactor, whose timers do not go by the machine's clock any more.

    By Twisted's default they do: after the clock is set back for a day, they stand
    still for a day.
    """
    reactor.seconds = time.monotonic
    # For `wall_seconds`: who is given the reactor has both times.
    reactor.wall_seconds = time.time  # type: ignore[attr-defined]  # noqa: TID251
    return reactor


def wall_seconds(clock: IReactorTime) -> float:
    """The time in seconds since 1970; that of a test's clock is its only one."""
    wall = getattr(clock, "wall_seconds", clock.seconds)
    return float(wall())
