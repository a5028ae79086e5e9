"""Files with secrets that not only their owner can read or write.

Rules: files are reported, and not changed: an operator may let a group read one.
"""

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def find_exposed(files: Sequence[Path]) -> Iterator[str]:
    """A sentence for each existing file that not only its owner can use."""
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
