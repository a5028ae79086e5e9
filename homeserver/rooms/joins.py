"""The joins of one of our servers that are under way: one of a room at a time.

Rules: what another server sends of a room while it is joined waits for the end of that
join, within a limit that leaves time to answer. The other server counts us as one of
the room from the moment in which it takes our join in. The processes of one endpoint
share the turns of rooms.

Specification: Server-server API, "Joining Rooms".
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from msgspec import Struct
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from homeserver.net.locks import Locks
from homeserver.net.time_limit import within
from homeserver.protocol.identifiers import RoomId, ServerName

_PATIENCE_SECONDS = 10.0  # the sender of a transaction waits a minute, also for gaps

# Between two looks at a join of another process; a join takes longer.
_LOOK_SECONDS = 0.05


class SharedJoins(Struct, frozen=True):
    """The turns of rooms among several processes."""

    locks: Locks
    clock: IReactorTime
    server_name: ServerName

    async def take(self, room_id: RoomId) -> None:
        """Wait until no other process has the turn of a room, and take it."""
        while not self.locks.take(self._key(room_id)):
            await deferLater(self.clock, _LOOK_SECONDS)

    def release(self, room_id: RoomId) -> None:
        """Let the turn go, which this process has."""
        self.locks.release(self._key(room_id))

    def is_taken(self, room_id: RoomId) -> bool:
        """Whether another process has the turn, if this one has not."""
        if not self.locks.take(self._key(room_id)):
            return True
        self.release(room_id)
        return False

    def _key(self, room_id: RoomId) -> str:
        return f"{self.server_name} joins {room_id}"


class Joins:
    """The joins under way."""

    def __init__(self, shared: SharedJoins | None = None) -> None:
        """`shared` is for several processes."""
        self._running: dict[RoomId, defer.DeferredLock] = {}
        self._shared = shared

    @asynccontextmanager
    async def turn(self, room_id: RoomId) -> AsyncIterator[None]:
        """Have the turn to join a room."""
        lock = self._running.setdefault(room_id, defer.DeferredLock())
        await lock.acquire()
        is_held = False
        try:
            if self._shared is not None:
                await self._shared.take(room_id)
                is_held = True
            yield
        finally:
            if is_held and self._shared is not None:
                self._shared.release(room_id)
            if not lock.waiting:
                self._running.pop(room_id, None)
            lock.release()

    async def ended(self, room_ids: Iterable[RoomId], clock: IReactorTime) -> None:
        """Wait for the joins of some rooms that are under way, if any.

        The limit is one for all of them.
        """
        running = [each for each in room_ids if self._is_running(each)]
        if running:
            with suppress(defer.TimeoutError):
                await within(_PATIENCE_SECONDS, clock, self._pass(running))

    def _is_running(self, room_id: RoomId) -> bool:
        if room_id in self._running:
            return True
        return self._shared is not None and self._shared.is_taken(room_id)

    async def _pass(self, room_ids: Iterable[RoomId]) -> None:
        for room_id in room_ids:
            async with self.turn(room_id):
                pass
