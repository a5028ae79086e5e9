"""What an event says of itself beyond its name: its place in a room."""

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.event_forms import ABSENT, VERSIONS, pdu_of, versions


@pytest.mark.parametrize(
    ("version", "prev", "auth"),
    [
        *((x, ("$prev:a.example",), ("$auth:a.example",)) for x in versions(1, 2)),
        *((x, ("$prev",), ("$auth",)) for x in versions(3, 12)),
    ],
)
def test_cited_events(version: str, prev: tuple[str], auth: tuple[str]) -> None:
    """An event has the IDs of the events that it cites, however they are written."""
    event = Event.parse(pdu_of(version), ROOM_VERSIONS[version])
    assert (event.prev_event_ids, event.auth_event_ids) == (prev, auth)
    assert (event.depth, event.content) == (3, {"membership": "join"})


@pytest.mark.parametrize(
    ("changes", "state_key"),
    [({}, "@u:a.example"), ({"state_key": ""}, ""), ({"state_key": ABSENT}, None)],
)
def test_state_key(changes: Json, state_key: str | None) -> None:
    """A state key may be empty; an event that has none is not a state event."""
    event = Event.parse(pdu_of("12", changes), ROOM_VERSIONS["12"])
    assert event.state_key == state_key


@pytest.mark.parametrize("version", VERSIONS)
def test_redacts(version: str) -> None:
    """Versions 11 and 12 name in `content` what is redacted, those before beside it."""
    of_pdu: Json = {"redacts": "$old", "content": {"redacts": "$new"}}
    event = Event.parse(pdu_of(version, of_pdu), ROOM_VERSIONS[version])
    assert event.redacts == ("$new" if version in {"11", "12"} else "$old")
    nothing = Event.parse(pdu_of(version), ROOM_VERSIONS[version])
    assert nothing.redacts is None
