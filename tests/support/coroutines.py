"""Coroutines whose result is there at once, as nothing in memory makes them wait."""

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")


def result_of(coroutine: Coroutine[Deferred[Any], Any, _T]) -> _T:
    """What the coroutine returns; what it raises is raised."""
    results: list[_T | Failure] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    assert results, "the coroutine waits for something"
    if isinstance(results[0], Failure):
        results[0].raiseException()
    assert not isinstance(results[0], Failure)
    return results[0]
