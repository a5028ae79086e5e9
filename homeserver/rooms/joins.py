"""The joins of one of our servers that are under way: one of a room at a time.

Rules: what another server sends of a room while it is joined waits for the end of that
join, within a limit that leaves time to answer. The other server counts us as one of
the room from the moment in which it takes our join in.

Specification: Server-server API, "Joining Rooms".
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from homeserver.net.time_limit import within
from homeserver.protocol.identifiers import RoomId

_PATIENCE_SECONDS = 10.0  # the sender of a transaction waits a minute, also for gaps


class Joins:
    """The joins under way."""

    def __init__(self) -> None:
        self._running: dict[RoomId, defer.DeferredLock] = {}

    @asynccontextmanager
    async def turn(self, room_id: RoomId) -> AsyncIterator[None]:
        """Have the turn to join a room."""
        lock = self._running.setdefault(room_id, defer.DeferredLock())
        await lock.acquire()
        try:
            yield
        finally:
            if not lock.waiting:
                self._running.pop(room_id, None)
            lock.release()

    async def ended(self, room_ids: Iterable[RoomId], clock: IReactorTime) -> None:
        """Wait for the joins of some rooms that are under way, if any.

        The limit is one for all of them.
        """
        running = [each for each in room_ids if each in self._running]
        if running:
            with suppress(defer.TimeoutError):
                await within(_PATIENCE_SECONDS, clock, self._pass(running))

    async def _pass(self, room_ids: Iterable[RoomId]) -> None:
        for room_id in room_ids:
            async with self.turn(room_id):
                pass
