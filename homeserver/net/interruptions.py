"""Signals that end the process at any moment: what is not left half done.

Rules: no exception is raised by a signal. It would come between any two steps of the
program, and be lost in some of them, such as a callback of the garbage collector.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ENDING = (signal.SIGINT, signal.SIGTERM)


def end_at_once() -> None:
    """Let SIGINT end the process as SIGTERM does, without a word.

    Where it is ignored, as of a command in the background of a shell, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def postponed() -> Iterator[None]:
    """Let no signal end the process within, but right after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def undo_at_end(undo: Callable[[], object]) -> None:
    """Call `undo` before a signal ends the process, until it has another handler."""

    def end(number: int, _: object) -> None:
        undo()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in _ENDING:
        if signal.getsignal(number) in {signal.SIG_DFL, signal.default_int_handler}:
            signal.signal(number, end)


@contextmanager
def ending(status: int, why: Callable[[], str] = lambda: "") -> Iterator[None]:
    """Let SIGINT end the process with a status, and a line on standard error if any."""

    def end(*_: object) -> None:
        # Not `print`: the program may be in the midst of one.
        if line := why():
            os.write(2, f"{line}\n".encode("utf-8", "backslashreplace"))
        os._exit(status)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
