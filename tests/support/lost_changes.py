"""A change of a room that is not written, and what begins while it is under way.

It is in the memory of our server until it is lost, and other processes never know it.
"""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms.room import Room
from tests.support.coroutines import result_of
from tests.support.our_rooms import ALICE, OurRooms

_T = TypeVar("_T")

_TOPIC = NewEvent("m.room.topic", ALICE, {"topic": "lost"}, "")


class _Lost(Exception):
    """Ends the change."""


def during_a_lost_change(
    ours: OurRooms,
    room: Room,
    begin: Callable[[], Coroutine[Deferred[Any], Any, _T]],
) -> _T:
    """The result of work that begins during a change, which is lost."""
    begun: list[Deferred[_T]] = []

    async def lose() -> None:
        async with ours.rooms.turn(room.room_id) as turn:
            await turn.take(await ours.author.make(turn.room, _TOPIC))
            begun.append(Deferred.fromCoroutine(begin()))
            raise _Lost

    async def work() -> _T:
        try:
            await lose()
        except _Lost:
            return await begun[0]
        raise AssertionError("the change was not lost")

    return result_of(work())
