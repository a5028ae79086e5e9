"""Restricted joins to rooms of ours, as other servers ask us for them."""

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.room import Room
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import ALICE, BOB, CAROL, join_rule
from tests.support.room_side import VERSIONS, RoomSide, changed
from tests.support.signed_requests import THEM

VIA = "join_authorised_via_users_server"


def restricted(side: RoomSide, version: str, **more: object) -> tuple[Room, Room]:
    """A room whose join rule admits the members of another one."""
    allowed = side.ours.create(version, preset="public_chat")
    entry = {"type": "m.room_membership", "room_id": allowed.room_id}
    rule = join_rule("restricted", allow=[entry])
    return allowed, side.ours.create(version, initial_state=[rule], **more)


@pytest.mark.parametrize("version", ["8", "9", "10", "11", "12"])
def test_restricted(version: str) -> None:
    """A member of the allowed room joins, by the authority of a user of ours."""
    side = RoomSide()
    allowed, room = restricted(side, version)
    args = ("GET", "make_join", room.room_id, BOB.user_id)
    assert side.ask(*args, query=VERSIONS).error == (403, "M_FORBIDDEN")
    side.join(allowed)
    event = side.membership(room, "join")
    assert event.content[VIA] == ALICE.user_id
    answer = side.send("join", event)
    assert answer.status == 200
    back = Event.parse(
        answer.json["event"],  # type: ignore[arg-type] # it is an object
        event.room_version,
    )
    assert back.event_id == event.event_id
    assert set(back.pdu["signatures"]) == {  # type: ignore[call-overload]
        OUR_NAME.name,
        THEM.server_name.name,
    }
    assert membership(side.known(room).current, BOB.user_id) == "join"


def test_restricted_by_others() -> None:
    """Where we cannot say, or may not let in, another server is to be asked."""
    side = RoomSide()
    entry = {"type": "m.room_membership", "room_id": "!unknown:them.example"}
    room = side.ours.create(
        "10", initial_state=[join_rule("restricted", allow=[entry])]
    )
    args = ("GET", "make_join", room.room_id, BOB.user_id)
    unknown = side.ask(*args, query=VERSIONS)
    assert unknown.error == (400, "M_UNABLE_TO_AUTHORISE_JOIN")
    allowed, closed = restricted(
        side, "10", power_levels={"invite": 200, "users": {ALICE.user_id: 100}}
    )
    side.join(allowed)
    args = ("GET", "make_join", closed.room_id, BOB.user_id)
    assert side.ask(*args, query=VERSIONS).error == (400, "M_UNABLE_TO_GRANT_JOIN")


def test_restricted_and_forged() -> None:
    """The conditions hold for the signed join as well, and the user is ours."""
    side = RoomSide()
    allowed, room = restricted(side, "10")
    side.join(allowed)
    event = side.membership(room, "join")
    content = {"membership": "join", VIA: CAROL}
    foreign = changed(event, content=content)
    assert side.send("join", foreign).error == (400, "M_INVALID_PARAM")
    content = {"membership": "join", VIA: f"@nobody:{OUR_NAME}"}
    stranger = changed(event, content=content)
    assert side.send("join", stranger).error == (403, "M_FORBIDDEN")
    leave = side.membership(allowed, "leave")
    assert side.send("leave", leave).status == 200
    assert side.send("join", event).error == (403, "M_FORBIDDEN")
