"""The changes that make an event of a room wrong, in the citations."""

import pytest

from homeserver.lab.spoil.event_changes import Workpiece, cite_foreign
from homeserver.protocol.canonical_json import as_list
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.rooms.auth_events import auth_keys_of
from homeserver.protocol.rooms.building import reference
from homeserver.protocol.rooms.state import CREATE
from tests.protocol.rooms.room import ALICE, Room
from tests.support.signed_requests import identity, signing_key


def piece_of(room: Room, version: str) -> Workpiece:
    """A message in a room, before it is made wrong."""
    pdu = dict(room.make("m.room.message", ALICE, {}).pdu)
    return Workpiece(
        pdu, ROOM_VERSIONS[version], room.state, identity(), signing_key("other")
    )


@pytest.mark.parametrize("version", ["1", "11", "12"])
def test_a_foreign_event_is_cited(version: str) -> None:
    """It is in the state, the rules do not select it, and it is no create event."""
    room = Room(version)
    piece = piece_of(room, version)
    before = as_list(piece.pdu["auth_events"], "before")
    cite_foreign(piece, "")
    *same, foreign = as_list(piece.pdu["auth_events"], "after")
    assert same == before
    selected = auth_keys_of(room.make("m.room.message", ALICE, {}))
    foreigners = [
        reference(event)
        for key, event in room.state.items()
        if key != CREATE and key not in selected
    ]
    assert foreign in foreigners


def test_a_room_without_a_foreign_event() -> None:
    """A room with nothing but what is selected has none to cite."""
    room = Room("12")
    selected = auth_keys_of(room.make("m.room.message", ALICE, {}))
    piece = piece_of(room, "12")
    kept = {*selected, CREATE}
    piece.state = {key: room.state[key] for key in room.state if key in kept}
    with pytest.raises(InvalidParam, match="no event for `foreign-auth`"):
        cite_foreign(piece, "")
