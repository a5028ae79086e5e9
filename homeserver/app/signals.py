"""What signals do to the daemon.

Rules: the first SIGTERM or SIGINT lets it finish, the second ends it at
once; SIGHUP reloads. A signal comes between any two steps of the program, so nothing is
done here but to hand over to the reactor, or to end.
"""

import os
import signal
from collections.abc import Callable

from twisted.internet.interfaces import IReactorFromThreads

_ENDING = (signal.SIGTERM, signal.SIGINT)


def obey(
    reactor: IReactorFromThreads,
    finish: Callable[[], None],
    reload: Callable[[], None],
) -> None:
    """Call `finish` and `reload`, in the reactor, when signals say so.

    To be called when the reactor runs: when it starts, it sets signals for itself.
    """

    def begin_to_finish(*_: object) -> None:
        for number in _ENDING:
            # Not the system's own way, which does nothing to a container's first
            # process.
            signal.signal(number, _end_at_once)
        reactor.callFromThread(finish)

    for number in _ENDING:
        signal.signal(number, begin_to_finish)
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload))


def _end_at_once(number: int, _: object) -> None:
    os._exit(128 + number)  # as a shell tells it
