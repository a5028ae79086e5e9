"""Rooms of a target that a server of ours joins."""

import re
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from homeserver.conformance import preflight
from homeserver.conformance.check import room
from homeserver.conformance.joined_room import JoinedRoom
from homeserver.conformance.joining import enter
from homeserver.conformance.leaving import leave_all
from homeserver.conformance.preflight import Given
from homeserver.conformance.provision import ROOM_VERSIONS
from homeserver.conformance.target import Target
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.protocol.identifiers import RoomId
from tests.conformance.faulty import changed_reply
from tests.support.conformance_stage import SOUND, Fault, Stage
from tests.support.eventually import HANGING_SECONDS
from tests.support.target_rooms import TargetRooms
from tests.support.waiting import wait


def in_room(
    stage: Stage,
    version: str,
    work: Callable[[Target, JoinedRoom], Awaitable[None]],
    fault: Fault = SOUND,
) -> None:
    """Do something in a room of a target of ours, with a server that joined it."""

    async def run() -> None:
        endpoint, ground = await stage.target(fault)
        try:
            await ground.find()
            maker, needs = TargetRooms(endpoint, ground.target), {room(version).code}
            facts = await preflight.look(ground, Given(), needs, maker)
            t = Target(ground, facts)
            joined = await enter(t, version)
            await work(t, joined)
            await leave_all(t)
            rooms = endpoint.parts.servers[ground.target].rooms
            found = await rooms.known(RoomId(facts.rooms[version]))
            assert [each.name for each in found.residents] == [ground.target.name]
        finally:
            await endpoint.stop()

    wait(run(), HANGING_SECONDS)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_sound_event_is_accepted_and_a_bad_one_is_not(
    on_stage: Stage, version: str
) -> None:
    """The ends of the room tell them apart, and the state has what was accepted."""

    async def work(t: Target, joined: JoinedRoom) -> None:
        async with joined.turn():
            place = await joined.place()
            sound = await joined.message(at=place)
            assert await joined.accepts(sound, at=place)
            place = await joined.place()
            assert joined.id_of(sound) in place.ids
            # A member may not name a room of others.
            bad = await joined.build("m.room.name", {"name": "ours"}, "", at=place)
            assert not await joined.accepts(bad, at=place)
        later = await joined.say("later")
        state = await joined.state_at(later)
        assert joined.join.event_id in state
        assert joined.id_of(bad) not in state
        event = await joined.event(joined.id_of(later))
        assert event.json["pdus"] == [later]

    in_room(on_stage, version, work)


def test_events_of_two_branches_are_merged_by_the_next_one(on_stage: Stage) -> None:
    """A place after several events cites them all."""

    async def work(t: Target, joined: JoinedRoom) -> None:
        other = await enter(t, "10")
        async with joined.turn():
            place = await joined.place()
            one = await joined.message("one", at=place)
            two = await other.message("two", at=place)
            await joined.send(one)
            await other.send(two)
            assert set(await joined.ends()) == {joined.id_of(one), joined.id_of(two)}
            last = await joined.message("last", at=joined.after(one, two))
            await joined.send(last)
            assert await joined.ends() == [joined.id_of(last)]

    in_room(on_stage, "10", work)


_MEMBERSHIPS = rb".*/(make|send)_(join|leave)/.*"


def _limits(wait_ms: int = 5, path: bytes = _MEMBERSHIPS) -> Fault:
    """A target that refuses each first request about a membership, as too soon."""
    seen: set[bytes] = set()

    def change(reply: Reply, request: Request) -> Reply:
        if request.path in seen:
            return reply
        seen.add(request.path)
        limit = {"errcode": "M_LIMIT_EXCEEDED", "error": "", "retry_after_ms": wait_ms}
        return Reply(msgspec.json.encode(limit), 429)

    is_meant = re.compile(path).fullmatch
    return changed_reply(
        "/_matrix/federation/", change, lambda request: bool(is_meant(request.path))
    )


def test_a_join_that_comes_too_soon_is_made_again(on_stage: Stage) -> None:
    """So is a leave."""

    async def work(t: Target, joined: JoinedRoom) -> None:
        await joined.say()

    in_room(on_stage, "10", work, _limits())


def test_a_long_pause_is_not_waited_for(on_stage: Stage) -> None:
    """The check is not testable then, and says why; a short one is waited for."""
    for wait_ms, result in ((5, "pass"), (3_600_000, "not-testable")):
        found = on_stage.run(["Q08", "I01.v10"], _limits(wait_ms, b".*"))
        for check_id in ("Q08", "I01.v10"):
            each = found[check_id]
            assert (each.id, each.result) == (check_id, result), each.observed
