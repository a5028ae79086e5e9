"""A file that is written once, and trusted from then on.

Rules: it is written as a whole, or it is not there. A file that exists is never
overwritten. Its mode, before the umask, is that of a secret unless another is given.
"""

import os
from pathlib import Path


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file that does not exist yet; raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except BaseException:  # an interruption also leaves a part
        path.unlink(missing_ok=True)
        raise
