"""What this process takes: CPU time, memory, files.

Rules of the room: nothing is looked at but what a process may always know of itself;
where it runs with few rights, the rest of `/proc` is hidden. Linux only: elsewhere
nothing is told.

Names: Prometheus documentation, "Writing client libraries", "Process metrics".
Reference: proc(5).
"""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from homeserver.metrics.series import head, line

_SELF = Path("/proc/self")


def expose() -> Iterator[str]:
    """The lines of all that is measured of the process now."""
    try:
        status = (_SELF / "stat").read_text("utf-8", "replace")
        files = len(list((_SELF / "fd").iterdir()))
    except OSError:
        return
    # The second of them is a name in brackets, which may have more of them in it.
    fields = ["", "", "", *status.rpartition(")")[2].split()]
    second = os.sysconf("SC_CLK_TCK")
    for name, kind, what, value in (
        (
            "process_cpu_seconds_total",
            "counter",
            "CPU time that was spent, in the program and in the system for it.",
            (int(fields[14]) + int(fields[15])) / second,
        ),
        (
            "process_start_time_seconds",
            "gauge",
            "When the process was started, in seconds since 1970.",
            _booted() + int(fields[22]) / second,
        ),
        (
            "process_virtual_memory_bytes",
            "gauge",
            "Size of the virtual memory.",
            int(fields[23]),
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Size of the memory that is occupied.",
            int(fields[24]) * resource.getpagesize(),
        ),
        ("process_open_fds", "gauge", "Files that are open.", files),
        (
            "process_max_fds",
            "gauge",
            "Files that may be open.",
            resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        ),
    ):
        yield from head(name, kind, what)
        yield line(name, value)


def _booted() -> float:
    """When the system was started, in seconds since 1970."""
    now = time.clock_gettime(time.CLOCK_REALTIME)
    return now - time.clock_gettime(time.CLOCK_BOOTTIME)
