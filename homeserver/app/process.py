"""What the whole process has: its reactor, its open files, its garbage.

Rules: the global reactor is named here and nowhere else.
"""

import gc
import resource

from twisted.internet import reactor as global_reactor  # noqa: TID251 - see above
from twisted.internet.posixbase import PosixReactorBase
from twisted.logger import Logger

from homeserver.net.wall_clock import steady
from homeserver.outbound.delivery.slots import MAX_SECOND

_log = Logger()

# How much more was made than freed when the youngest objects are looked through for
# garbage, and after how many times of that the older ones. With Python's own numbers, a
# full look-through every other second took a quarter of the CPU time of a flood, whose
# requests wait for seconds. There is little garbage: see `net/handled`.
_GARBAGE_THRESHOLDS = (10_000, 10, 20)

# Beside inbound connections: outbound ones, most of them to servers that do not answer;
# questions to the DNS, arriving bodies, the store.
_OTHER_FILES = 1000 + MAX_SECOND


def process_reactor() -> PosixReactorBase:
    """The reactor of this process, with timers that run by the monotonic clock."""
    if not isinstance(global_reactor, PosixReactorBase):
        raise TypeError("this program needs a reactor of a POSIX system")
    return steady(global_reactor)


def raise_file_limit(connections: int) -> None:
    """Raise the limit of open files to the configured connections, if possible."""
    wanted = connections + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        _log.warn(
            "limits.max_connections is {connections}, but this process may open only "
            "{hard} files; let it have {wanted} (`ulimit -Hn`, or LimitNOFILE)",
            connections=connections,
            hard=hard,
            wanted=wanted,
        )
        wanted = hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def collect_garbage() -> None:
    """Collect garbage from now on.

    A full collection visits all objects, for tens of milliseconds. The present ones
    stay for the life of the process, and are left out.
    """
    gc.freeze()
    gc.set_threshold(*_GARBAGE_THRESHOLDS)
    gc.enable()
