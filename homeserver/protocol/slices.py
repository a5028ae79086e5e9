"""Long work in slices: a generator that yields where others may have their turn.

Rules: where it yields depends on its input alone, never on time. Between two yields it
does at most about a millisecond of work.
"""

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")

Steps = Generator[None, None, _T]
"""Work that yields between slices, and returns its result."""


def run(steps: Steps[_T]) -> _T:
    """The result of work, without pauses."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: _T = end.value
            return result


def slices(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """The items in lists of at most `size`."""
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
