"""Two clocks: a monotonic one for timers, and the wall clock for times of the world.

Rules: `seconds()` of the reactor is monotonic, for timers, and means nothing outside of
this process. Times that are stored, shown or compared with times of others come from
`wall_seconds` and `wall_ts`, which jump when the clock of the machine is set.
"""

import time

from twisted.internet.interfaces import IReactorTime
from twisted.internet.posixbase import PosixReactorBase


def steady(reactor: PosixReactorBase) -> PosixReactorBase:
    """The reactor, with timers that run by the monotonic clock.

    By Twisted's default they run by the wall clock: after it is set back by a day, no
    timer fires for a day.
    """
    reactor.seconds = time.monotonic
    # For `wall_seconds`: both clocks come with the reactor.
    reactor.wall_seconds = time.time  # type: ignore[attr-defined]  # noqa: TID251
    return reactor


def wall_seconds(clock: IReactorTime) -> float:
    """The time in seconds since 1970; a test's clock has one time for both."""
    wall = getattr(clock, "wall_seconds", clock.seconds)
    return float(wall())


def wall_ts(clock: IReactorTime) -> int:
    """The time in milliseconds since 1970, as the protocol and the store have it."""
    return int(wall_seconds(clock) * 1000)
