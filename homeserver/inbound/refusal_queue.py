"""The refused requests of all our servers that wait to be recorded.

Rules: a client chooses how often it is refused, so refusals are written in groups, a
few times a second, and a bounded number waits. Who reads them has those that wait
written first. There is one write at a time.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from homeserver.net.bounded_map import SharedLimit
from homeserver.net.bounds import Bound
from homeserver.net.cooperate import together
from homeserver.net.time_limit import within
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.refusals import Refusal

# Short for a person who waits, and at most four writes a second.
_RECORD_SECONDS = 0.25

_CATCH_UP_SECONDS = 1.0  # a write takes milliseconds

_MAX_WAITING = 250  # writing this many takes five milliseconds

# Requests whose hints are to be found when an operator asks: four megabytes at most.
_MAX_EVIDENCE = 200


class Writer(Protocol):
    """What has refused requests."""

    async def write(self, waiting: Sequence[Refusal]) -> None:
        """Record refusals now; raises `StoreUnavailable`."""
        ...


class RefusalQueue:
    """The refusals of all our servers that wait to be recorded."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[Writer, list[Refusal]] = {}
        self._is_recording = False
        self._readers: list[Deferred[None]] = []
        """Those that wait for the end of the write that runs."""

        self._next: IDelayedCall | None = None
        self.evidence = SharedLimit(_MAX_EVIDENCE)
        """Of the requests whose hints are still to be found."""

        self.bound = Bound(
            "refusals_waiting",
            "refused requests that wait to be recorded",
            _MAX_WAITING,
            lambda: sum(map(len, self._waiting.values())),
        )

    def has_room(self, refusals: Writer) -> bool:
        """Whether one more refusal may wait.

        When the queue is full, a server that has less than the average still has room,
        so that no flood to one server hides the refusals of another one. So it never
        holds more than twice its limit.
        """
        own = len(self._waiting.get(refusals, ()))
        if self.bound.is_reached and own * len(self._waiting) >= _MAX_WAITING:
            self.bound.refuse()
            return False
        return True

    def add(self, refusals: Writer, refusal: Refusal) -> None:
        """Let a refusal wait."""
        self._waiting.setdefault(refusals, []).append(refusal)
        self._record_soon()

    async def catch_up(self) -> None:
        """Record all that wait, for one who reads next.

        Waits a second at most: what a slow or failing store has not got is missed then.
        """
        if self._waiting:
            with suppress(defer.TimeoutError):
                await within(_CATCH_UP_SECONDS, self._clock, self._catch_up())

    async def _catch_up(self) -> None:
        if self._is_recording:
            await self._until_written()
        if not self._is_recording:  # else another reader has begun the next one
            self._cancel_next()
            self._begin()
        if self._is_recording:
            await self._until_written()

    async def stop(self) -> None:
        """Record all that wait, if the store answers."""
        while self._is_recording:  # two writes at once would record the same
            await self._until_written()
        self._cancel_next()
        await self._record()
        self._cancel_next()

    async def _until_written(self) -> None:
        """Wait until the write that runs has ended, well or badly."""
        ended: Deferred[None] = Deferred()
        self._readers.append(ended)
        await ended

    def _cancel_next(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _record_soon(self) -> None:
        """Schedule the next write, unless one is scheduled or running."""
        if self._waiting and self._next is None and not self._is_recording:
            self._next = self._clock.callLater(_RECORD_SECONDS, self._begin)

    def _begin(self) -> None:
        self._next = None
        Deferred.fromCoroutine(self._record())

    async def _record(self) -> None:
        """Record all that wait; after a failure they wait for the next write."""
        if not self._waiting:
            return
        self._is_recording = True
        # At once, so that the store commits them together.
        await together(self._write(each) for each in list(self._waiting))
        self._is_recording = False
        readers, self._readers = self._readers, []
        for reader in readers:
            reader.callback(None)  # ignored where it was cancelled
        self._record_soon()

    async def _write(self, refusals: Writer) -> None:
        waiting = self._waiting[refusals]
        count = len(waiting)
        with suppress(StoreUnavailable):  # the store logs it
            await refusals.write(waiting[:count])
            del waiting[:count]
        if not waiting:
            del self._waiting[refusals]
