"""Which time is for waiting, and which one others have as well."""

import re
import time
from pathlib import Path
from typing import cast

from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.task import Clock

import homeserver
from homeserver.net.wall_clock import steady, wall_seconds, wall_ts


def test_clock_of_a_test() -> None:
    """A clock without another time has one for both."""
    clock = Clock()
    clock.advance(5.0019)
    assert wall_seconds(clock) == 5.0019
    assert wall_ts(clock) == 5001  # whole milliseconds that have passed


def test_two_times() -> None:
    """A steady reactor waits by the one time, and tells the other one."""
    reactor = steady(cast("PosixReactorBase", Clock()))
    assert abs(reactor.seconds() - time.monotonic()) < 5
    assert abs(wall_seconds(reactor) - time.time()) < 5  # noqa: TID251 - a comparison


def test_no_time_of_waiting_is_a_timestamp() -> None:
    """No millisecond since 1970 is made of the time that is for waiting."""
    made = re.compile(r"\.seconds\(\) \* 1000")
    for path in Path(homeserver.__file__).parent.rglob("*.py"):
        assert not made.search(path.read_text("utf-8")), path
