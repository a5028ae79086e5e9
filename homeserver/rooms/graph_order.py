"""An order of events in which each comes after those that it cites.

Rules: nothing recurses, and a circle, which only IDs that are no hashes allow, ends.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

_K = TypeVar("_K", bound=str)
_T = TypeVar("_T")


def oldest_first(
    events: Mapping[_K, _T], cited_by: Callable[[_T], Iterable[_K]]
) -> list[_T]:
    """Events by their IDs, each after those that it cites and that are among them.

    Else the order stays; events that lead back to each other come in any order.
    """
    ordered: dict[_K, _T] = {}
    opened: set[_K] = set()
    path = list(events)[::-1]
    while path:
        event_id = path[-1]
        opened.add(event_id)
        before = [
            each
            for each in cited_by(events[event_id])
            if each in events and each not in opened
        ]
        if before:
            path += before
        else:
            ordered.setdefault(path.pop(), events[event_id])
    return list(ordered.values())
