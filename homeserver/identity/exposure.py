"""Files with secrets that others than their owner can read or write.

Rules: what is found is said, and nothing is changed: a group that may read a file is
somebody's choice.
"""

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def find_exposed(files: Sequence[Path]) -> Iterator[str]:
    """A sentence for each of `files` that is there and not for its owner alone."""
    for path in files:
        try:
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError:
            continue
        if mode & _OTHERS:
            yield (
                f"{path} is not for its owner alone (mode {mode:04o}); "
                f"chmod {mode & ~_OTHERS:04o} it"
            )
