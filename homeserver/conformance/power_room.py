"""The room of the target in which a user of ours has power, as checks share it.

Rules: the user with power changes nothing there but what a check is about: the
memberships of users that the check has brought.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from homeserver.conformance.check import POWER_ROOM
from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.joining import join_room
from homeserver.conformance.provision import kind_of
from homeserver.conformance.target import Target

_KIND = kind_of(POWER_ROOM)


async def enter_power_room(t: Target) -> JoinedRoom:
    """Join it with a fresh server of ours, without power; raises as `join_room`."""
    return await join_room(t, t.facts.rooms[_KIND])


@asynccontextmanager
async def with_power(t: Target) -> AsyncIterator[JoinedRoom]:
    """The turn in it, as the user that has power; raises as `join_room`."""
    members = t.ground.members
    async with members.lock(f"shared {_KIND}"):
        member = members.shared.get(_KIND)
        if member is None:
            [ours] = t.facts.guests[_KIND]
            joined = await join_room(t, t.facts.rooms[_KIND], ours)
            member = members.shared[_KIND] = joined.member
    joined = JoinedRoom(t, member)
    async with joined.turn():
        t.share(member.ours)
        yield joined
