"""Whatever a file of events has, the explanation is a verdict, or a reason for none."""

import json
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.identifiers import EventId
from homeserver.rooms.drawing import MARKS, draw
from homeserver.rooms.explanation import NotExplained, explain
from homeserver.rooms.room_file import read
from tests.protocol.rooms.random_rooms import VERSIONS, RandomRoom

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
_MEMBERS = ["type", "sender", "room_id", "state_key", "content", "depth", "hashes"]
_MEMBERS += ["prev_events", "auth_events", "origin_server_ts", "event_id", "redacts"]

rooms = st.builds(
    RandomRoom, st.integers(0), st.sampled_from(VERSIONS), st.integers(5, 15)
)


@given(rooms, st.randoms(use_true_random=False), st.data())
@settings(max_examples=40)
def test_changed_events(room: RandomRoom, random: Random, data: st.DataObject) -> None:
    """Events of a room of which members were changed, and the order."""
    pdus: list[Json] = [dict(event.pdu) for event in room.events.values()]
    for pdu in random.sample(pdus, 3):
        pdu[data.draw(st.sampled_from(_MEMBERS))] = data.draw(_VALUES)
    random.shuffle(pdus)
    try:
        file = read(json.dumps(pdus).encode(), room.version)
        # In versions 1 and 2, what is dropped may have no ID.
        result, nodes = explain(file, file.last or EventId(""))
    except (ProtocolError, NotExplained) as problem:
        assert str(problem)
        return
    assert result["outcome"] in {*MARKS, "dropped"}
    assert {node.mark for node in nodes} <= set(MARKS)
    assert draw(nodes)
    assert json.dumps(result)


@given(st.lists(_VALUES, max_size=3) | _VALUES, st.sampled_from([None, *VERSIONS]))
def test_any_json(value: object, version: str | None) -> None:
    """JSON of any kind, which is rarely a room."""
    named = None if version is None else RandomRoom(0, version, 5).version
    try:
        file = read(json.dumps(value).encode(), named)
    except ProtocolError as problem:
        assert str(problem)
    else:
        assert file.room_version == named
        assert len(file.events) + len(file.dropped) <= 3
