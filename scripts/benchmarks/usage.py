"""The CPU time and the memory of processes, as the kernel counts them.

Rules: a server is its process with all child processes.

Reference: clock_getcpuclockid(3), proc(5); Linux only.
"""

import time
from collections.abc import Iterator
from pathlib import Path

_PAGE_BYTES = 4096  # statm counts in pages

# How the kernel names the CPU clock of a process: its ID, inverted, above these bits.
_PROCESS_CLOCK = 0b010


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process and its child processes."""
    return sum(time.clock_gettime(~each << 3 | _PROCESS_CLOCK) for each in _family(pid))


def resident_megabytes(pid: int) -> float:
    """The memory of a process and its child processes now."""
    pages = sum(
        int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in _family(pid)
    )
    return pages * _PAGE_BYTES / 1e6


def most_megabytes(pid: int) -> float:
    """The most memory that a process alone has had since it began."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise ProcessLookupError(f"no process has the ID {pid}")


def _family(pid: int) -> Iterator[int]:
    yield pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    for child in children.split():
        yield from _family(int(child))
