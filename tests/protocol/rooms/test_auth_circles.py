"""State resolution ends, also where events of version 2 cite each other."""

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.state import state_of
from homeserver.protocol.rooms.state_resolution import resolve
from tests.protocol.rooms.made_rooms import ALICE, MadeRoom


def _circle(room: MadeRoom) -> list[Event]:
    """Two power levels of chosen IDs that cite each other."""
    made = []
    for own, other in (
        ("$x:a.example", "$y:a.example"),
        ("$y:a.example", "$x:a.example"),
    ):
        cites = [[room.create.event_id, {}], [room.join.event_id, {}], [other, {}]]
        made.append(
            room.send(
                "m.room.power_levels",
                ALICE,
                {"users": {ALICE: 100}},
                cites=[],
                event_id=own,
                auth_events=cites,
            )
        )
    return made


def test_events_that_cite_each_other() -> None:
    """In version 2, senders choose IDs: a circle of auth events ends no work."""
    room = MadeRoom("2")
    circle = _circle(room)
    topics = [
        room.send("m.room.topic", ALICE, {}, cites=[room.join, each], ts=ts)
        for ts, each in enumerate(circle)
    ]
    base = state_of([room.create, room.join])
    states = [
        base | state_of([each, t]) for each, t in zip(circle, topics, strict=True)
    ]
    resolved = resolve(room.graph, states)
    assert ("m.room.power_levels", "") not in resolved
    assert resolved["m.room.topic", ""].event_id == topics[1].event_id


def test_a_mainline_that_is_a_circle() -> None:
    """Power levels that both states have may lie on a circle, too."""
    room = MadeRoom("2")
    circle = _circle(room)
    topics = [
        room.send("m.room.topic", ALICE, {}, cites=[room.join, each], ts=ts)
        for ts, each in enumerate(reversed(circle))
    ]
    base = state_of([room.create, room.join, circle[0]])
    states = [base | state_of([each]) for each in topics]
    resolved = resolve(room.graph, states)
    assert resolved["m.room.topic", ""].event_id == topics[1].event_id
