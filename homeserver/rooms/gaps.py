"""Filling the gaps before an event: what it cites, asked of the servers of its room.

Rules: the server that sent the event is asked first, then the one that made it, then
others of the room; a few in all. One walk of a room at a time, each with a bound on
requests, events and seconds. Other servers are asked for an origin at a bounded rate,
so that one that lies costs them little. What the room still lacks then is not taken in.

Specification: Server-server API, "Backfilling and retrieving missing events".
"""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, TypeVar

from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounded_map import BoundedMap
from homeserver.net.cause import Cause
from homeserver.net.time_limit import within
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import Overloaded
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomId, ServerName
from homeserver.protocol.rooms.server_acl import may_take_part
from homeserver.rooms.intake import Intake
from homeserver.rooms.missing import Missing
from homeserver.rooms.room import Room
from homeserver.rooms.rooms import Rooms
from homeserver.rooms.source import Source, TooMuch
from homeserver.rooms.walk import walk_back

_SECONDS = 40.0  # of one transaction: its sender waits a minute, also for its keys
_WALK_SECONDS = 15.0  # at one server
_MAX_WAITING = 4  # walks of one room that wait
_OTHERS = 3  # servers beside the origin that are asked for one event

# Events of an origin for which other servers are asked: at once, and in a second. An
# honest server lacks what it cites only after a long absence.
_LENIENCE, _PER_SECOND = 20.0, 0.1

_MAX_ORIGINS = 1000  # whose gaps are counted; one that is forgotten begins anew

_T = TypeVar("_T")


class Gaps:
    """Fills the gaps in the rooms of one of our servers."""

    def __init__(
        self,
        rooms: Rooms,
        source_of: Callable[[Room, ServerName, Cause], Source],
        clock: IReactorTime,
        random: Random,
    ) -> None:
        """`source_of` makes the source of a room's events at another server.

        `random` chooses among the servers of a room.
        """
        self._rooms = rooms
        self._source_of = source_of
        self._clock = clock
        self._random = random
        self._walks: dict[RoomId, defer.DeferredLock] = {}
        self._left: BoundedMap[ServerName, tuple[float, float]]
        self._left = BoundedMap(_MAX_ORIGINS)

    def deadline(self, seconds: float = _SECONDS) -> float:
        """Until when other servers may be asked for a transaction that arrives now."""
        return self._clock.seconds() + seconds

    async def in_time(
        self, until: float, work: Coroutine[defer.Deferred[Any], Any, _T]
    ) -> _T:
        """The result of `work`; raises `defer.TimeoutError` if it comes too late."""
        seconds = until - self._clock.seconds()
        if seconds <= 0:
            work.close()
            raise defer.TimeoutError
        return await within(seconds, self._clock, work)

    async def end_joins(self, pdus: Iterable[Json]) -> None:
        """Wait for the joins under way of the rooms of some PDUs."""
        named = [pdu.get("room_id") for pdu in pdus]
        room_ids = {RoomId(each) for each in named if isinstance(each, str)}
        await self._rooms.joins.ended(room_ids, self._clock)

    async def fill(
        self, event: Event, origin: ServerName, cause: Cause, until: float
    ) -> None:
        """Fetch what an event of a known room cites and the room lacks.

        It is done as far as servers of the room answer in time, `until` at the latest.
        Raises `StoreUnavailable`.
        """
        async with self._turn(event.room_id, until) as has_turn:
            if not has_turn:
                return
            room = await self._rooms.known(event.room_id)
            for name in self._servers(room, event, origin):
                seconds = min(_WALK_SECONDS, until - self._clock.seconds())
                if seconds <= 0:
                    return
                room = await self._rooms.known(event.room_id)
                intake = Intake(self._rooms, room, self._source_of(room, name, cause))
                # What is still missing says what has failed.
                with suppress(
                    defer.TimeoutError,
                    Unreachable,
                    Refused,
                    Overloaded,
                    TooMuch,
                ):
                    await within(seconds, self._clock, walk_back(intake, event))
                room = await self._rooms.known(event.room_id)
                if not Missing.of(room, event):
                    return

    def _servers(
        self, room: Room, event: Event, origin: ServerName
    ) -> Iterator[ServerName]:
        """Whom to ask, one after the other; those that the room denies are left out."""
        yield origin
        if not self._may_ask_others(origin):
            return
        author = event.sender.server_name
        others = sorted(
            room.residents - {origin, author, self._rooms.server_name},
            key=str,
        )
        self._random.shuffle(others)
        if author not in {origin, self._rooms.server_name}:
            others.insert(0, author)
        allowed = (each for each in others if may_take_part(room.current, each))
        for _, name in zip(range(_OTHERS), allowed, strict=False):
            yield name

    def _may_ask_others(self, origin: ServerName) -> bool:
        """Whether others are asked for one more event of an origin; counts it."""
        now = self._clock.seconds()
        left, since = self._left.get(origin, (_LENIENCE, now))
        left = min(_LENIENCE, left + (now - since) * _PER_SECOND)
        if left < 1:
            return False
        self._left[origin] = left - 1, now
        return True

    @asynccontextmanager
    async def _turn(self, room_id: RoomId, until: float) -> AsyncIterator[bool]:
        """The turn of a walk; False if too many wait for one, or it comes too late."""
        lock = self._walks.setdefault(room_id, defer.DeferredLock())
        seconds = until - self._clock.seconds()
        if len(lock.waiting) >= _MAX_WAITING or seconds <= 0:
            yield False
            return
        try:
            await within(seconds, self._clock, lock.acquire())
        except defer.TimeoutError:
            yield False
            return
        try:
            yield True
        finally:
            if not lock.waiting:
                self._walks.pop(room_id, None)
            lock.release()
