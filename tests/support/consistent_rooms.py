"""Whether a room, as a store has it, is what its events make of it."""

from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import key_of
from homeserver.rooms.room import Room
from tests.support.coroutines import result_of
from tests.support.our_rooms import events_of
from tests.support.state_ids import ids


def check_consistent(room: Room) -> None:
    """Assert that each state, the ends and the current state follow from the events."""
    events = events_of(room)
    assert len(events) == len(room.entries)
    positions = [each.position for each in room.entries.values()]
    assert positions == list(range(len(positions)))
    cited: set[str] = set()
    for event in events:
        entry = room.entries[event.event_id]
        if entry.outcome is Outcome.ACCEPTED:
            cited.update(entry.prev)
        if entry.before is None:
            assert entry.outcome in {Outcome.OUTLIER, Outcome.REJECTED}
            continue
        assert entry.after is not None
        expected = ids(room.states.map(entry.before))
        key = key_of(event)
        if key is not None and entry.outcome.sets_state:
            expected[key] = event.event_id
        assert ids(room.states.map(entry.after)) == expected
    assert room.extremities
    assert not room.extremities & cited
    for each in room.extremities:
        assert room.entries[each].outcome is Outcome.ACCEPTED
    number = result_of(room.number_before(sorted(room.extremities)))
    assert number is not None
    assert ids(room.states.map(number)) == ids(room.current)
