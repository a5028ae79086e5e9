"""The signals that the daemon obeys.

Rules: the first SIGTERM or SIGINT lets it finish, the second ends it at once; SIGHUP
reloads. A signal may arrive between any two steps of the program, so a handler only
calls the reactor, or ends the process. At the end of the program, signals are ignored.
"""

import atexit
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

    The reactor must run: at its start, it sets handlers of its own.
    """

    def begin_to_finish(*_: object) -> None:
        for number in _ENDING:
            # Not the default action, which a container's first process has not.
            signal.signal(number, _end_at_once)
        reactor.callFromThread(finish)

    keep_status()
    for number in _ENDING:
        signal.signal(number, begin_to_finish)
    signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload))


def keep_status() -> None:
    """Let no signal replace the exit status that the program has decided on.

    The interpreter gives its handlers up a moment before the process has ended.
    """
    atexit.register(_ignore_all)


def _ignore_all() -> None:
    for number in (*_ENDING, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _end_at_once(number: int, _: object) -> None:
    os._exit(128 + number)  # as a shell reports it
