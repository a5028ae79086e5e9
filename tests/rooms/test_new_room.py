"""Rooms that we create: their first events, and the power of those who own them."""

import pytest

from homeserver.protocol.errors import BadJson, InvalidParam, NotFound
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import RoomId
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.receipt import Outcome
from tests.support.coroutines import result_of
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import ALICE, BOB, OurRooms, new_room, same


@pytest.mark.parametrize("preset", ["private_chat", "public_chat"])
@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_created(version: str, preset: str) -> None:
    """A room of each version has the events of its preset, all of them accepted."""
    ours = OurRooms()
    room = ours.create(version, preset=preset, name="N", topic="T")
    entries = list(room.entries.values())
    assert [each.type for each in entries] == [
        "m.room.create",
        "m.room.member",
        "m.room.power_levels",
        "m.room.join_rules",
        "m.room.history_visibility",
        "m.room.guest_access",
        "m.room.name",
        "m.room.topic",
    ]
    assert {each.outcome for each in entries} == {Outcome.ACCEPTED}
    assert [each.depth for each in entries] == list(range(1, 9))
    assert room.extremities == {entries[-1].event_id}
    assert len(room.current) == 8
    rule = "public" if preset == "public_chat" else "invite"
    assert room.current["m.room.join_rules", ""].content == {"join_rule": rule}
    assert room.residents == {OUR_NAME}
    is_hash = version == "12"
    assert (":" in room.room_id) is not is_hash
    are_named = version in {"1", "2"}
    assert {"event_id" in event.pdu for event in room.current.values()} == {are_named}
    same(room, ours.read(room.room_id))
    assert result_of(ours.rooms.store.room_ids()) == [room.room_id]


@pytest.mark.parametrize(("version", "to_upgrade"), [("11", 100), ("12", 150)])
def test_levels_of_the_owners(version: str, to_upgrade: int) -> None:
    """What could take control of a room needs 100; an upgrade is the creators'."""
    content = OurRooms().create(version).current["m.room.power_levels", ""].content
    assert content["events"] == {
        "m.room.encryption": 100,
        "m.room.history_visibility": 100,
        "m.room.power_levels": 100,
        "m.room.server_acl": 100,
        "m.room.tombstone": to_upgrade,
    }


def test_trusted() -> None:
    """A trusted preset gives power to those who are invited; what is given replaces."""
    room = OurRooms().create(
        "11",
        preset="trusted_private_chat",
        invited=[BOB],
        power_levels={"kick": 10},
        content={"type": "m.space"},
        initial_state=[
            NewEvent("m.room.join_rules", ALICE, {"join_rule": "knock"}, ""),
            NewEvent("m.room.encryption", ALICE, {"algorithm": "x"}, ""),
        ],
    )
    levels = room.current["m.room.power_levels", ""].content
    assert levels["users"] == {ALICE.user_id: 100, BOB.user_id: 100}
    assert levels["kick"] == 10
    assert room.current["m.room.create", ""].content["type"] == "m.space"
    assert room.current["m.room.join_rules", ""].content == {"join_rule": "knock"}
    assert ("m.room.encryption", "") in room.current


def test_not_created() -> None:
    """A room that the rules do not allow leaves nothing behind."""
    ours = OurRooms()
    bad = [NewEvent("m.room.power_levels", ALICE, {"ban": "x"}, "")]
    with pytest.raises(BadJson):
        ours.create("12", initial_state=bad)
    assert result_of(ours.store.room_ids()) == []
    stranger = new_room(creator=BOB)
    with pytest.raises(InvalidParam, match=r"them\.example, not of ours"):
        result_of(ours.rooms.create(stranger))
    with pytest.raises(NotFound):
        result_of(ours.rooms.known(RoomId("!no:us.example")))


def test_why_not_created() -> None:
    """A create event that is not allowed is refused with its own rule."""
    ours = OurRooms()
    with pytest.raises(NotAllowed, match=r"^rule 1\.4: .*additional_creators"):
        ours.create("12", content={"additional_creators": "x"})
    assert result_of(ours.store.room_ids()) == []
