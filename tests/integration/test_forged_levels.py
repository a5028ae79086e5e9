"""Power levels that the rules forbid, sent by one server of a lab to another one."""

from typing import Any

import pytest

from homeserver.testing import Lab, LabError
from tests.support.forged_events import LEVEL_SPOILS, ForgedRoom

LEVELS = "m.room.power_levels"


def levelled(lab: Lab, version: str) -> ForgedRoom:
    """A room in which Eve has as much power as a user of the other server."""
    room = ForgedRoom(lab, version)
    before = room.state(room.ours)[LEVELS, ""]["content"]
    users = {room.eve: 100, f"@creator:{room.theirs.name}": 100}
    content = {**before, "users": {**before.get("users", {}), **users}}
    room.send(LEVELS, content, "")
    return room


RULES = {
    "raised-levels": "is less than the 101",
    "demoted-equal": "is not more than the 100",
    "text-levels": "not a power level",
    "creator-levels": "creator",
}
"""What the reason of the rejection names."""


@pytest.mark.parametrize("version", ["5", "9", "10", "12"])
@pytest.mark.parametrize("name", LEVEL_SPOILS)
def test_levels(lab: Lab, name: str, version: str) -> None:
    """They are rejected by their rule since its version, and else hold."""
    room = levelled(lab, version)
    before = room.state(room.theirs)[LEVELS, ""]
    made = room.forge(name, kind=LEVELS, state_key="", sender=room.eve)
    [right] = made["expected"]
    assert right.startswith("A right server rejects the event")
    found = room.event(made["event_id"])
    after = room.state(room.theirs)[LEVELS, ""]
    if int(version) >= int(LEVEL_SPOILS[name]):
        assert found["verdict"] == "rejected"
        assert RULES[name] in found["reason"]
        assert after == before
    else:
        assert found["verdict"] == "accepted"
        assert after["hashes"] == made["event"]["hashes"]


def test_what_cannot_be_levelled(lab: Lab) -> None:
    """The answer says what the room or the request lacks."""
    room = ForgedRoom(lab, "12")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"spoil": ["raised-levels"]}, "another `sender`"),
        ({"spoil": ["demoted-equal"]}, "another `sender`"),
    ]
    for members, text in wrong:
        with pytest.raises(LabError, match=text) as refused:
            content = {"type": LEVELS, "state_key": "", **members}
            room.call("POST", room.ours, *room.at("forge"), content=content)
        assert refused.value.status == 400, refused.value
    with pytest.raises(LabError, match="another user"):
        ForgedRoom(lab, "10").forge("demoted-equal", kind=LEVELS)
    event = {"type": LEVELS, "sender": room.eve, "content": {}, "state_key": ""}
    body = {"event": event, "room_version": "12", "spoil": ["creator-levels"]}
    with pytest.raises(LabError, match="needs a room"):
        room.call("POST", room.ours, "sign", content=body)
