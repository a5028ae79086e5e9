"""What failed is gone once it was handled, without the garbage collector."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.net.handled import handled
from homeserver.net.time_limit import within


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Let nothing but the end of its last reference free an object."""
    gc.disable()
    yield
    gc.enable()


class _Thing:
    """What a failed request had."""


def test_frames_of_an_exception() -> None:
    """A handled exception holds nothing of the coroutines that it passed."""
    cause: Deferred[None] = Deferred()

    async def first(thing: _Thing) -> None:
        await cause

    async def second(thing: _Thing) -> None:
        try:
            await Deferred.fromCoroutine(first(thing))
        except ValueError:
            raise KeyError("not found") from None

    async def third(thing: _Thing) -> KeyError | None:
        try:
            await Deferred.fromCoroutine(second(thing))
        except KeyError as problem:
            return handled(problem)
        return None

    thing = _Thing()
    watched, found = ref(thing), list[KeyError | None]()
    Deferred.fromCoroutine(third(thing)).addCallback(found.append)
    del thing
    cause.errback(ValueError("wrong"))
    [problem] = found
    assert str(problem) == "'not found'"
    assert watched() is None


def test_frames_of_a_time_out() -> None:
    """Work that took too long is gone when its caller goes on."""
    clock = Clock()

    async def work(thing: _Thing) -> None:
        await Deferred()

    async def wait(thing: _Thing) -> str:
        try:
            await within(1, clock, work(thing))
        except defer.TimeoutError:
            return "late"
        return "in time"

    thing = _Thing()
    watched, found = ref(thing), list[str]()
    Deferred.fromCoroutine(wait(thing)).addCallback(found.append)
    del thing
    clock.advance(1)
    assert found == ["late"]
    assert watched() is None
