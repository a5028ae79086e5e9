"""How a command ends that was used wrongly, or whose output cannot be written.

Rules: as in `main`.
"""

import errno
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click
from click.exceptions import NoArgsIsHelpError

from homeserver.cli.options import fail

# A full disk, a quota, a limit on the size of files, and a disk that fails.
_UNWRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


@contextmanager
def misuse_in_one_line() -> Iterator[None]:
    """End the command with a line where it was used wrongly.

    A group of commands without arguments still shows its help.
    """
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as problem:
        text = " ".join(problem.format_message().split()).rstrip(".")
        text = text[:1].lower() + text[1:]
        text = re.sub(
            r"\. \(?Did (you mean) (one of: )?([^?]*\?)\)?", r"; did \1 \3", text
        )
        path = problem.ctx.command_path if problem.ctx else "homeserver"
        fail(2, text if text.endswith("?") else f"{text}; see {path} --help")


@contextmanager
def written_output() -> Iterator[None]:
    """End the command with a line where what it prints cannot be written.

    Whoever reads it may have read enough, though: nothing is said then.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:  # it may be closed
                sys.stdout.flush()
    except OSError as problem:
        # That of a file has its name.
        if problem.filename or problem.errno not in {*_UNWRITTEN, errno.EPIPE}:
            raise
        # What is left cannot be written at the end of Python, either.
        sys.stdout = None
        if problem.errno == errno.EPIPE:
            sys.exit(1)
        fail(1, f"standard output cannot be written: {problem.strerror}")
