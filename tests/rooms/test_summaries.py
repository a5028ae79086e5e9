"""Aliases, the list of public rooms, and spaces."""

from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.rooms.building import NewEvent
from homeserver.rooms import summaries
from homeserver.rooms.resident import MAX_ALLOWED_ROOMS
from tests.support.coroutines import result_of
from tests.support.our_rooms import ALICE
from tests.support.room_side import RoomSide
from tests.support.signed_requests import OTHERS


def state(kind: str, content: Json, key: str = "") -> NewEvent:
    """A state event of Alice's."""
    return NewEvent(kind, ALICE, content, key)


def test_alias() -> None:
    """An alias leads to its room, and to the servers in it, ours first."""
    side = RoomSide()
    room = side.ours.create(preset="public_chat")
    side.join(room, f"@a:{OTHERS.server_name}", OTHERS)
    result_of(side.ours.rooms.directory.add_alias("#a:us.example", room.room_id))
    query = [("room_alias", "#a:us.example")]
    answer = side.ask("GET", "query", "directory", query=query)
    assert answer.json == {
        "room_id": room.room_id,
        "servers": ["us.example", OTHERS.server_name.name],
    }
    unknown = side.ask("GET", "query", "directory", query=[("room_alias", "#b:x")])
    assert unknown.error == (404, "M_NOT_FOUND")
    without = side.ask("GET", "query", "directory")
    assert without.error == (400, "M_MISSING_PARAM")


def listing(side: RoomSide, **content: object) -> Json:
    """The reply to a search in the list of public rooms."""
    answer = side.ask("POST", "publicRooms", content=content)
    assert answer.status == 200, answer.json
    return answer.json


def ids(reply: Json) -> list[str]:
    """The rooms of a page."""
    chunk: Any = reply["chunk"]
    return [each["room_id"] for each in chunk]


def test_public_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed rooms are shown in pages, and found by their names and types."""
    side = RoomSide()
    side.ours.create(name="not listed")
    made = [
        side.ours.create(
            preset="public_chat",
            name=f"Room {number}",
            topic="T",
            content={"type": "m.space"} if number else {},
            is_listed=True,
        )
        for number in range(3)
    ]
    rooms = sorted(each.room_id for each in made)
    reply = side.ask("GET", "publicRooms").json
    assert ids(reply) == rooms
    assert reply["total_room_count_estimate"] == 3
    assert "next_batch" not in reply
    chunk: Any = reply["chunk"]
    [shown] = [each for each in chunk if each["name"] == "Room 1"]
    assert shown == {
        "room_id": made[1].room_id,
        "name": "Room 1",
        "topic": "T",
        "join_rule": "public",
        "room_type": "m.space",
        "num_joined_members": 1,
        "world_readable": False,
        "guest_can_join": False,
    }
    first = side.ask("GET", "publicRooms", query=[("limit", "2")]).json
    assert ids(first) == rooms[:2]
    since = str(first["next_batch"])
    rest = side.ask("GET", "publicRooms", query=[("since", since)]).json
    assert ids(rest) == rooms[2:]
    found = listing(side, filter={"generic_search_term": "room 2"})
    assert ids(found) == [made[2].room_id]
    spaces = listing(side, filter={"room_types": ["m.space"]}, limit=10)
    assert set(ids(spaces)) == {made[1].room_id, made[2].room_id}
    plain = listing(side, filter={"room_types": [None]})
    assert ids(plain) == [made[0].room_id]
    monkeypatch.setattr(summaries, "_MAX_ROOMS", 1)
    assert len(ids(listing(side, limit=100))) == 1


def test_rooms_that_are_not_ours_any_more() -> None:
    """A room that our last user left is not listed."""
    side = RoomSide()
    left, kept = (side.ours.create(name=name, is_listed=True) for name in "ab")
    assert ids(listing(side)) == sorted([left.room_id, kept.room_id])
    side.ours.send(left, "m.room.member", {"membership": "leave"}, ALICE.user_id)
    assert ids(listing(side)) == [kept.room_id]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ({"limit": "1"}, (400, "M_BAD_JSON")),
        ({"since": 1}, (400, "M_INVALID_PARAM")),
        ({"filter": []}, (400, "M_BAD_JSON")),
        ({"filter": {"room_types": "x"}}, (400, "M_BAD_JSON")),
    ],
)
def test_bad_search(content: Json, error: tuple[int, str]) -> None:
    """A member of another type is named."""
    assert RoomSide().ask("POST", "publicRooms", content=content).error == error


def test_hierarchy() -> None:
    """A space shows its children as far as the other server may join or see them."""
    side = RoomSide()
    child = side.ours.create("11", preset="public_chat", name="child")
    hidden = side.ours.create("11", name="hidden")
    via: Json = {"via": ["us.example"]}
    space = side.ours.create(
        "11",
        preset="public_chat",
        content={"type": "m.space"},
        initial_state=[
            state("m.space.child", {**via, "suggested": True}, child.room_id),
            state("m.space.child", via, hidden.room_id),
            state("m.space.child", via, "!elsewhere:x.example"),
            state("m.space.child", {}, "!removed:x.example"),
        ],
    )
    reply: Any = side.ask("GET", "hierarchy", space.room_id).json
    assert [x["room_id"] for x in reply["children"]] == [child.room_id]
    assert reply["inaccessible_children"] == [hidden.room_id]
    assert reply["room"]["room_version"] == "11"
    keys = {each["state_key"] for each in reply["room"]["children_state"]}
    assert keys == {child.room_id, hidden.room_id, "!elsewhere:x.example"}
    query = [("suggested_only", "true")]
    few: Any = side.ask("GET", "hierarchy", space.room_id, query=query).json
    assert [x["room_id"] for x in few["children"]] == [child.room_id]
    assert few["inaccessible_children"] == []
    assert len(few["room"]["children_state"]) == 1
    bad = [("suggested_only", "yes")]
    args = ("GET", "hierarchy", space.room_id)
    assert side.ask(*args, query=bad).error == (400, "M_INVALID_PARAM")
    for room_id in (hidden.room_id, "!no:us.example"):
        assert side.ask("GET", "hierarchy", room_id).error == (404, "M_NOT_FOUND")
    # A member of an allowed room may see a restricted one.
    entry = {"type": "m.room_membership", "room_id": child.room_id}
    rule: Json = {"join_rule": "restricted", "allow": [entry]}
    closed = side.ours.create("11", initial_state=[state("m.room.join_rules", rule)])
    assert side.ask("GET", "hierarchy", closed.room_id).status == 404
    side.join(child)
    shown: Any = side.ask("GET", "hierarchy", closed.room_id).json
    assert shown["room"]["allowed_room_ids"] == [child.room_id]


def test_many_allowed_rooms() -> None:
    """Of a join rule, a bounded number of rooms is looked for, as for a join."""
    side = RoomSide()
    child = side.ours.create("11", preset="public_chat")
    side.join(child)
    names = [f"!r{number}:x.example" for number in range(MAX_ALLOWED_ROOMS)]
    statuses = []
    for room_ids in ([*names[1:], child.room_id], [*names, child.room_id]):
        allow = [{"type": "m.room_membership", "room_id": each} for each in room_ids]
        rule: Json = {"join_rule": "restricted", "allow": allow}
        closed = side.ours.create(
            "11", initial_state=[state("m.room.join_rules", rule)]
        )
        statuses.append(side.ask("GET", "hierarchy", closed.room_id).status)
    assert statuses == [200, 404]


def test_redacted() -> None:
    """Of redacted state nothing is shown, and a redacted child is none."""
    side = RoomSide()
    child = side.ours.create(preset="public_chat")
    via: Json = {"via": ["us.example"]}
    space = side.ours.create(
        preset="public_chat",
        is_listed=True,
        name="secret",
        topic="secret",
        initial_state=[
            state("m.room.avatar", {"url": "mxc://secret"}),
            state("m.space.child", via, child.room_id),
        ],
    )
    side.join(space)

    def shown() -> str:
        answer = side.ask("GET", "hierarchy", space.room_id)
        return f"{listing(side)}{answer.json}"

    room = side.known(space)
    kinds = ["m.room.name", "m.room.topic", "m.room.avatar", "m.space.child"]
    redacted = [x for key, x in room.current.items() if key[0] in kinds]
    assert len(redacted) == len(kinds)
    assert shown().count("secret") == 6
    assert child.room_id in shown()
    for each in redacted:
        content: Json = {"redacts": each.event_id}
        side.ours.send(room, "m.room.redaction", content)
    assert "secret" not in shown()
    assert child.room_id not in shown()
    assert ids(listing(side, filter={"generic_search_term": "secret"})) == []
