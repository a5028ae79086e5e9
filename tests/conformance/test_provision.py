"""What checks need of the target's own, and what is left of it at the end."""

from collections.abc import Awaitable, Callable

import pytest

from homeserver.conformance.advice import NO_ROOMS
from homeserver.conformance.check import (
    ACL_ROOM,
    ALIAS,
    INVITE_ROOM,
    KNOCK_ROOM,
    RESTRICTED_ROOM,
    USER,
    room,
)
from homeserver.conformance.facts import Facts
from homeserver.conformance.leaving import leave_all
from homeserver.conformance.membership_requests import make, put, sign, user_of
from homeserver.conformance.ours import Ours
from homeserver.conformance.provision import provide
from homeserver.conformance.setup import SetupFailed
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import RoomId
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.rooms import Rooms
from tests.support.conformance_stage import SOUND, Stage
from tests.support.eventually import HANGING_SECONDS
from tests.support.target_rooms import TargetRooms
from tests.support.waiting import wait


class _Nothing:
    async def make(self, need: str, **_: object) -> Json:
        """As `Maker`, and cannot."""
        raise SetupFailed(f"{need}: there is no such thing")


def beside(
    stage: Stage, work: Callable[[Target, TargetRooms, Rooms], Awaitable[None]]
) -> None:
    """Do something with a target of ours that has nothing yet."""

    async def run() -> None:
        endpoint, ground = await stage.target(SOUND)
        try:
            await ground.find()
            maker = TargetRooms(endpoint, ground.target)
            rooms = endpoint.parts.servers[ground.target].rooms
            await work(Target(ground, Facts(setup=maker)), maker, rooms)
        finally:
            await endpoint.stop()

    wait(run(), HANGING_SECONDS)


def test_rooms_are_found_by_their_names(on_stage: Stage) -> None:
    """An ID and an alias lead to the version; what none can join is advice."""

    async def work(t: Target, maker: TargetRooms, _: Rooms) -> None:
        first = await maker.make("room", version="6")
        second = await maker.make("room", version="12")
        closed = await maker.make(
            "room", version="10", state={"m.room.join_rules": {"join_rule": "invite"}}
        )
        named = [str(first["room_id"]), str(second["alias"]), str(closed["room_id"])]
        t.facts.setup = None
        await provide(t, named, set())
        facts = t.facts
        assert facts.rooms == {"6": first["room_id"], "12": second["room_id"]}
        assert facts.alias == second["alias"]
        assert not {room("6").code, room("12").code, ALIAS.code} & facts.unmet.keys()
        assert "--room" in facts.unmet[room("10").code]
        assert "--setup" in facts.unmet[KNOCK_ROOM.code]
        assert [f"--room {closed['room_id']}: "] == [
            each.partition("the target")[0] for each in facts.advice
        ]

    beside(on_stage, work)


def test_without_rooms_there_is_advice(on_stage: Stage) -> None:
    """It is for checks that need one."""

    async def work(t: Target, _: TargetRooms, __: Rooms) -> None:
        t.facts.setup = None
        await provide(t, [], {USER.code})
        assert t.facts.advice == []
        await provide(t, [], {KNOCK_ROOM.code})
        assert t.facts.advice == [NO_ROOMS]

    beside(on_stage, work)


def test_what_is_missing_is_made(on_stage: Stage) -> None:
    """A room that was named is not made again; a user is named by an alias."""

    async def work(t: Target, maker: TargetRooms, rooms: Rooms) -> None:
        first = await maker.make("room", version="10")
        needs = {room("10").code, room("11").code, ALIAS.code}
        await provide(t, [str(first["room_id"])], needs)
        assert t.facts.rooms["10"] == first["room_id"]
        made = await rooms.known(RoomId(t.facts.rooms["11"]))
        assert made.room_version.version == "11"
        assert t.facts.alias is not None

    beside(on_stage, work)


def test_what_cannot_be_made_says_why(on_stage: Stage) -> None:
    """The reason is that of the command."""

    async def work(t: Target, _: TargetRooms, __: Rooms) -> None:
        t.facts.setup = _Nothing()
        await provide(t, [], {USER.code, room("10").code, RESTRICTED_ROOM.code})
        unmet = t.facts.unmet
        assert unmet[USER.code] == "--setup: user: there is no such thing"
        assert unmet[room("10").code] == "--setup: room: there is no such thing"
        assert "no public room of version 10" in unmet[RESTRICTED_ROOM.code]

    beside(on_stage, work)


def test_names_that_differ_in_the_port_are_not_denied(on_stage: Stage) -> None:
    """An ACL would deny the target with them."""

    async def work(t: Target, _: TargetRooms, __: Rooms) -> None:
        t.ground.naming = "localhost"
        await provide(t, [], {ACL_ROOM.code})
        assert "no ACL sees" in t.facts.unmet[ACL_ROOM.code]

    beside(on_stage, work)


async def _knocks(t: Target) -> tuple[Ours, str]:
    ours, room_id = t.server(), t.facts.rooms["knock"]
    reply = await put(t, "knock", sign(t, ours, await make(t, ours, "knock", room_id)))
    assert reply.is_ok
    return ours, room_id


async def _is_invited(t: Target) -> tuple[Ours, str]:
    return t.facts.guests["invite"][0], t.facts.rooms["invite"]


@pytest.mark.parametrize(("who", "kind"), [(_knocks, "knock"), (_is_invited, "invite")])
def test_nothing_is_left_of_our_users(
    on_stage: Stage, who: Callable[[Target], Awaitable[tuple[Ours, str]]], kind: str
) -> None:
    """Knocks are taken back, and invites declined."""

    async def work(t: Target, _: TargetRooms, rooms: Rooms) -> None:
        await provide(t, [], {KNOCK_ROOM.code, INVITE_ROOM.code})
        ours, room_id = await who(t)
        found, user = await rooms.known(RoomId(room_id)), user_of(ours)
        assert membership(found.current, user) == kind
        await leave_all(t)
        assert membership(found.current, user) == "leave"

    beside(on_stage, work)
