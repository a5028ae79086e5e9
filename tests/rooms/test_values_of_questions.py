"""Numbers and texts in the bodies of other servers' questions about rooms."""

import pytest

from homeserver.protocol.canonical_json import Json
from tests.support.room_side import RoomSide, reply_in_list

WRONG_VALUES: dict[str, tuple[str, Json, str]] = {
    "a negative limit of missing events": (
        "get_missing_events",
        {"earliest_events": [], "latest_events": [], "limit": -1},
        "M_INVALID_PARAM",
    ),
    "a negative limit of public rooms": (
        "publicRooms",
        {"limit": -1},
        "M_INVALID_PARAM",
    ),
    "a search for a number": (
        "publicRooms",
        {"filter": {"generic_search_term": 5}},
        "M_BAD_JSON",
    ),
}


@pytest.mark.parametrize("case", WRONG_VALUES)
def test_wrong_values(case: str) -> None:
    """A value that has no meaning is refused, and not taken for another one."""
    route, content, errcode = WRONG_VALUES[case]
    side = RoomSide()
    room = side.ours.create(preset="public_chat")
    side.join(room)
    steps = [room.room_id] if route == "get_missing_events" else []
    answer = side.ask("POST", route, *steps, content=content)
    assert answer.error == (400, errcode)


def test_null_stands_for_no_search() -> None:
    """Clients leave members of the filter out, or have null in their place."""
    content: Json = {"filter": {"generic_search_term": None, "room_types": None}}
    answer = RoomSide().ask("POST", "publicRooms", content=content)
    assert answer.json == {"chunk": [], "total_room_count_estimate": 0}


def test_version_1_of_a_join_leaves_no_member_out() -> None:
    """Only version 2 knows `omit_members`: the reply has the whole state."""
    side = RoomSide()
    room = side.ours.create(preset="public_chat")
    event, before = side.membership(room, "join"), len(room.current)
    answer = side.send("join", event, query=[("omit_members", "true")], v2=False)
    reply = reply_in_list(answer)
    state = reply["state"]
    assert isinstance(state, list)
    assert len(state) == before
    assert reply["members_omitted"] is False
