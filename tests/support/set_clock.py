"""Runs a program whose clock is as far ahead as a file says, now and later.

python -m tests.support.set_clock FILE PROGRAM ARGUMENT...: the file has a number of
seconds. Only the time since 1970 is changed; that since the machine's start is not, as
where a machine's clock is set.
"""

import runpy
import sys
import time
from pathlib import Path

_real = time.time  # noqa: TID251 - what is changed


def _changed() -> float:
    return _real() + float(_file.read_text() or "0")


if __name__ == "__main__":
    _file = Path(sys.argv[1])
    time.time = _changed  # noqa: TID251
    sys.argv = sys.argv[2:]
    runpy.run_path(sys.argv[0], run_name="__main__")
