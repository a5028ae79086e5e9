"""Events that come after, or are authorised by, what they must not cite."""

import pytest

from homeserver.testing import Lab
from tests.support.forged_events import ForgedRoom


@pytest.fixture(scope="module", params=["10", "12"])
def room(lab: Lab, request: pytest.FixtureRequest) -> ForgedRoom:
    """A room for all tests that do not change it.

    Its state has more events than an event may cite.
    """
    more = [{"type": "m.room.x", "content": {}, "state_key": str(n)} for n in range(20)]
    return ForgedRoom(lab, request.param, name="N", initial_state=more)


MEMBER = "m.room.member"


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_auth_events_that_were_rejected(lab: Lab, version: str) -> None:
    """An event that cites one is rejected itself."""
    room = ForgedRoom(lab, version)
    join = {"membership": "join"}
    ghost = f"@ghost:{room.ours.name}"
    bad = room.forge(kind=MEMBER, state_key=ghost, content=join, enter=True)
    assert room.verdict(bad["event_id"]) == "rejected"
    auth = room.forge(destinations=[])["event"]["auth_events"]
    ids = [each if isinstance(each, str) else each[0] for each in auth]
    [*kept, _] = ids
    made = room.forge(sender=ghost, auth_events=[*kept, bad["event_id"]], enter=True)
    assert room.verdict(made["event_id"]) == "rejected"


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_auth_events_of_another_room(lab: Lab, version: str) -> None:
    """They authorise nothing, although the other server has that room as well."""
    room = ForgedRoom(lab, version)
    made = room.call(
        "POST",
        room.ours,
        "rooms",
        content={"preset": "public_chat", "room_version": version},
    )
    there = "rooms", made["room_id"]
    room.call("POST", room.theirs, *there, "join", content={"via": [room.ours.name]})
    [levels] = [
        each["event_id"]
        for each in room.call("GET", room.ours, *there, "graph")["events"]
        if each["type"] == "m.room.power_levels"
    ]
    auth = room.forge(destinations=[])["event"]["auth_events"]
    ids = [each if isinstance(each, str) else each[0] for each in auth]
    bad = room.forge(auth_events=[*ids[:-1], levels])
    assert room.verdict(bad["event_id"]) is None
    assert room.event(levels) is None
    assert bad["event_id"] not in room.ends()


def test_events_of_another_room_before_it(lab: Lab) -> None:
    """Nothing of the other room is taken in, and the event is not part of this one."""
    room, other = ForgedRoom(lab, "10"), ForgedRoom(lab, "10")
    [end] = other.call("GET", other.ours, *other.at())["extremities"]
    made = room.forge(prev_events=[end])
    assert room.verdict(made["event_id"]) is None
    assert room.event(end) is None
