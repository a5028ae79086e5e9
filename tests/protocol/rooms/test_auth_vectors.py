"""Each case of the vectors of the authorization rules has its verdict."""

from functools import cache
from typing import Any

import pytest

from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event import Event, event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.authorization import (
    check_by_auth_events,
    check_state_dependent,
    cited_state,
)
from homeserver.protocol.rooms.rules import CitedEvents
from tests.protocol.rooms.vectors import Vectors

Entry = dict[str, Any]


@cache
def vectors(version: str) -> Vectors:
    """The cases of one room version."""
    return Vectors(f"auth-{version}.json")


CASES = [
    pytest.param(version, case, id=f"{version}-{case['name']}")
    for version in ROOM_VERSIONS
    for case in vectors(version).cases
]


def test_all_are_there() -> None:
    """There are the 515 cases that three implementations were asked about."""
    assert len(CASES) == 515


@pytest.mark.parametrize(("version", "case"), CASES)
def test_verdict(version: str, case: Entry) -> None:
    """An event is allowed by its auth events and by the state, or it is not."""
    label = case["event"] if isinstance(case["event"], str) else case["name"]
    if isinstance(case["event"], dict):
        pdu = vectors(version).pdus[label]
        assert event_id(pdu, ROOM_VERSIONS[version]) == case["event"]["id"]
    assert _is_allowed(vectors(version), label, case) is case["allowed"], case["why"]


def _is_allowed(room: Vectors, label: str, case: Entry) -> bool:
    try:
        event = Event.parse(room.pdus[label], room.room_version)
        cited = _cited(room, event, case)
        check_by_auth_events(event, cited)
        state = cited_state(cited)
        if "state" in case:
            in_state = [room.events[x] for x in case["state"]]
            state = cited_state(CitedEvents(in_state, cited.create))
        check_state_dependent(event, state)
    except ProtocolError:
        return False
    return True


def _cited(room: Vectors, event: Event, case: Entry) -> CitedEvents:
    entry = case["event"]
    labels = (entry if isinstance(entry, dict) else room._entries[entry])["auth"]
    return CitedEvents(
        [room.events[x] for x in labels],
        _create(room, event),
        {EventId(room.events[x].event_id) for x in case.get("rejected", [])},
    )


def _create(room: Vectors, event: Event) -> Event | None:
    """In version 12 the create event that the event's room ID names."""
    if room.room_version.has_hash_room_id:
        for each in room.events.values():
            if each.event_id[1:] == event.room_id[1:]:
                return each
    return None
