"""Waiting for the real reactor, from tests that are plain functions."""

import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar, cast

from twisted.internet import reactor as global_reactor  # noqa: TID251 - a real one
from twisted.internet.defer import Deferred
from twisted.internet.posixbase import PosixReactorBase
from twisted.python.failure import Failure

from tests.support.eventually import ANSWER_SECONDS

_T = TypeVar("_T")

reactor = cast("PosixReactorBase", global_reactor)


def wait(
    coroutine: Coroutine[Deferred[Any], Any, _T], seconds: float = ANSWER_SECONDS
) -> _T:
    """Run the reactor until a coroutine is done; its result, or what it raises."""
    results: list[_T | Failure] = []
    Deferred.fromCoroutine(coroutine).addBoth(results.append)
    deadline = time.monotonic() + seconds
    while not results:
        assert time.monotonic() < deadline, "it takes too long"
        reactor.iterate(0.05)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def wait_for_thread(work: Callable[[], _T]) -> _T:
    """Run the reactor until `work` is done in a thread; its result, or what it raises.

    It is for clients that block.
    """
    with ThreadPoolExecutor(1) as executor:
        future = executor.submit(work)
        deadline = time.monotonic() + ANSWER_SECONDS
        while not future.done():
            assert time.monotonic() < deadline, "it takes too long"
            reactor.iterate(0.01)
        return future.result()


def pause(seconds: float) -> Deferred[None]:
    """Let the reactor run for a while."""
    done: Deferred[None] = Deferred()
    reactor.callLater(seconds, done.callback, None)
    return done
