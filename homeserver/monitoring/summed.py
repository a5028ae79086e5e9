"""The metrics of several processes as those of one, in the text format of Prometheus.

| metric | of several processes |
|---|---|
| counter, histogram | the sum |
| gauge | the sum, or the largest where each process has the same |

Rules: only what `Registry.expose` writes is read here.
"""

from collections.abc import Iterable
from math import isnan

from prometheus_client.utils import floatToGoString

SAME_FOR_ALL = frozenset(
    {
        "homeserver_build_info",
        "homeserver_outbound_entries",
        "homeserver_outbound_oldest_entry_age_seconds",
        "homeserver_outbound_destinations",
        "process_start_time_seconds",
        "process_max_fds",
    }
)
"""The gauges of which each process has the same, or none has a part."""


class _Family:
    """One metric: its lines of text, and the value of each series."""

    def __init__(self) -> None:
        self.head: list[str] = []
        self.values: dict[str, float] = {}

    def take(self, name: str, series: str, value: float) -> None:
        """Take the value of a series of one more process."""
        known = self.values.get(series)
        if known is None or isnan(known):
            self.values[series] = value
        elif not isnan(value):
            largest = name in SAME_FOR_ALL
            self.values[series] = max(known, value) if largest else known + value


def add(texts: Iterable[bytes]) -> bytes:
    """The metrics of some processes as those of one."""
    families: dict[str, _Family] = {}
    for text in texts:
        name, head = "", [""]
        for line in text.decode("utf-8").splitlines():
            if line.startswith("# HELP "):
                head = [line]
            elif line.startswith("# TYPE "):
                name = line.split(" ")[2]
                families.setdefault(name, _Family()).head = [*head, line]
            else:
                series, _, number = line.rpartition(" ")
                families[name].take(name, series, float(number))
    lines: list[str] = []
    for family in families.values():
        lines += family.head
        for series, value in family.values.items():
            shown = floatToGoString(value)  # type: ignore[no-untyped-call]
            lines.append(f"{series} {shown}")
    return "\n".join([*lines, ""]).encode("utf-8")
