"""How a command ends whose output cannot be written.

Rules: as in `main`.
"""

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from homeserver.cli.options import fail
from homeserver.net.system_errors import in_words


class _NotWritten(OSError):
    """Standard output cannot be written."""


class _Output:
    """Standard output. Its errors have a class of their own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As `TextIO`; raises `_NotWritten`."""
        with _marked():
            return self._stream.write(text)

    def flush(self) -> None:
        """As `TextIO`; raises `_NotWritten`."""
        with _marked():
            self._stream.flush()


@contextmanager
def _marked() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise _NotWritten(problem.errno, in_words(problem)) from None


@contextmanager
def written_output() -> Iterator[None]:
    """End the command with a line where what it prints cannot be written.

    A reader that closes the pipe is no error of the command, which ends silently.
    """
    stream = sys.stdout
    if stream is None:  # it is closed
        yield
        return
    output = cast("TextIO", _Output(stream))
    sys.stdout = output
    try:
        try:
            yield
        finally:
            output.flush()
    except _NotWritten as problem:
        # What is left cannot be written at the end of Python, either.
        sys.stdout = None
        if problem.errno == errno.EPIPE:
            sys.exit(1)
        fail(1, f"standard output cannot be written: {problem.strerror}")
    finally:
        if sys.stdout is output:
            sys.stdout = stream
