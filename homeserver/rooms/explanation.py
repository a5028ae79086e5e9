"""Why an event is let into a room, or is not: the room's history, judged.

Rules: the room is judged as a server would judge it that received its events in the
order of the file. Where a switch matters, the history is judged with the other reading
as well, so that what is said of it was seen and not concluded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.authorization import NotAllowed
from homeserver.protocol.rooms.history import History, Judged
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from homeserver.rooms.drawing import Node
from homeserver.rooms.room_file import RoomFile

ALLOWED = frozenset({Outcome.ACCEPTED.value, Outcome.OUTLIER.value})
"""What `outcome` is of an event that no rule refuses."""


class NotExplained(Exception):
    """Nothing can be said of the event; `str()` of it says why."""


@dataclass(frozen=True)
class Course:
    """What became of a file's events."""

    history: History
    not_judged: Mapping[EventId, str]
    """Why nothing became of the others."""


def judge_all(file: RoomFile, room_id: str, switches: Switches = SWITCHES) -> Course:
    """Judge the events of one room, of a file that may have others too."""
    history = History(file.room_version, switches)
    not_judged = dict.fromkeys(file.in_circles, "it cites itself through others")
    for event in file.events:
        if event.room_id != room_id:
            history.know(event)
            not_judged[event.event_id] = f"it is of another room: {event.room_id}"
            continue
        try:
            history.receive(event)
        except UnknownAuthEvent as problem:
            not_judged[event.event_id] = f"it cannot be judged: {problem}"
    return Course(history, not_judged)


def explain(file: RoomFile, chosen: EventId) -> tuple[Json, list[Node]]:
    """All that is to be said of an event, and the room's events for a drawing.

    Raises `NotExplained` where the event is not in the file, or cannot be judged.
    """
    event = next((each for each in file.events if each.event_id == chosen), None)
    if event is None:
        return _dropped(file, chosen), _drawn(file, chosen)
    course = judge_all(file, event.room_id)
    if chosen in course.not_judged:
        raise NotExplained(f"{chosen}: {course.not_judged[chosen]}")
    judged = course.history.judged[chosen]
    result = {
        **_named(event),
        "room_id": event.room_id,
        "room_version": file.room_version.version,
        **_verdict(judged),
        "content_hash_matches": chosen not in file.redacted,
        "switches": _switches(file, judged),
        "prev_events_without_state": _without_state(judged, course),
        "state_before": None if judged.before is None else _state(judged.before),
        "current_state": _state(course.history.current),
        "events": [
            {**_named(each.event), **_verdict(each)}
            for each in course.history.judged.values()
        ],
        "not_judged": course.not_judged,
        "dropped": [
            {"number": each.number, "event_id": each.event_id, "why": each.why}
            for each in file.dropped
        ],
    }
    return result, [_node(each, course, chosen) for each in file.events]


def _without_state(judged: Judged, course: Course) -> list[EventId]:
    """The events before an event after which no state is known."""
    others = course.history.judged
    return [
        each
        for each in judged.event.prev_event_ids
        if each not in others or others[each].before is None
    ]


def _drawn(file: RoomFile, chosen: EventId) -> list[Node]:
    """The room of the file without an event that was dropped."""
    if not file.events:
        return []
    course = judge_all(file, file.events[0].room_id)
    return [_node(each, course, chosen) for each in file.events]


def _dropped(file: RoomFile, chosen: EventId) -> Json:
    """What is said of an event that was dropped."""
    if chosen in file.in_circles:
        raise NotExplained(f"{chosen}: it cites itself through others")
    for each in file.dropped:
        if each.event_id == chosen:
            return {"event_id": chosen, "outcome": "dropped", "why": each.why}
    raise NotExplained(f"{chosen} is not in the file")


def _named(event: Event) -> Json:
    return {
        "event_id": event.event_id,
        "type": event.type,
        "state_key": event.state_key,
        "sender": event.sender.user_id,
    }


def _verdict(judged: Judged) -> Json:
    receipt = judged.receipt
    return {
        "outcome": receipt.outcome.value,
        "check": receipt.check,
        "rule": receipt.verdict.rule,
        "why": receipt.verdict.why,
    }


def _state(state: StateMap) -> list[Json]:
    return [_named(state[key]) for key in sorted(state)]


def _switches(file: RoomFile, judged: Judged) -> list[Json]:
    """The switches that decide something here, and what else it would be."""
    event = judged.event
    found: list[Json] = []
    for field in fields(SWITCHES):
        value = getattr(SWITCHES, field.name)
        switches = replace(SWITCHES, **{field.name: not value})
        other = judge_all(file, event.room_id, switches).history.judged[event.event_id]
        is_other_state = _ids(other) != _ids(judged)
        if is_other_state or other.receipt.outcome is not judged.receipt.outcome:
            otherwise = {**_verdict(other), "state_before_differs": is_other_state}
            found.append({"name": field.name, "value": value, "otherwise": otherwise})
    return found


def _ids(judged: Judged) -> object:
    if judged.before is None:
        return None
    return {key: event.event_id for key, event in judged.before.items()}


def _node(event: Event, course: Course, chosen: EventId) -> Node:
    judged = course.history.judged.get(event.event_id)
    mark = "not-judged" if judged is None else judged.receipt.outcome.value
    text = f"{event.event_id[:9]} {event.type}"
    if event.state_key is not None:
        text += f" {event.state_key!r}"
    text += f" by {event.sender}"
    if judged is not None and isinstance(judged.receipt.verdict, NotAllowed):
        text += f": {judged.receipt.verdict}"
    return Node(
        event.event_id, text, event.prev_event_ids, mark, event.event_id == chosen
    )
