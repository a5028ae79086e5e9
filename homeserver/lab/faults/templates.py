"""Faults of the event that a server proposes to whoever joins, knocks or leaves.

Rules: those of `fault`.

Specification: Server-server API, "Joining Rooms", "Knocking upon a room", "Leaving
Rooms (Rejecting Invites)".
"""

from collections.abc import Callable, Mapping
from typing import cast

from homeserver.lab.faults.fault import Act, Case, Fault, flag, text
from homeserver.lab.faults.forger import (
    MAX_DEPTH,
    OTHER_SERVER,
    Forger,
    changed_events,
)
from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.federation_paths import V1

_MAKE = (f"{V1}/make_join/", f"{V1}/make_knock/", f"{V1}/make_leave/")

_NEXT = "It signs and sends no such event, and tries the next server."

_Change = Callable[[Json, object, Case], Json]


def _template(**members: object) -> _Change:
    """Other members of the proposed event."""

    def change(answer: Json, _: object, __: Case) -> Json:
        event = as_object(answer.get("event", {}), "`event`")
        return {**answer, "event": {**event, **members}}

    return change


def _membership(answer: Json, _: object, __: Case) -> Json:
    event = as_object(answer.get("event", {}), "`event`")
    content = as_object(event.get("content", {}), "`content`")
    other = "leave" if content.get("membership") != "leave" else "join"
    content = {**content, "membership": other}
    return {**answer, "event": {**event, "content": content}}


def _room_version(answer: Json, value: object, _: Case) -> Json:
    return {**answer, "room_version": value}


def _no_event(answer: Json, _: object, __: Case) -> Json:
    return {k: v for k, v in answer.items() if k != "event"}


def _unknown(name: str) -> _Change:
    """Cited events that do not exist."""

    def change(answer: Json, _: object, case: Case) -> Json:
        event = as_object(answer.get("event", {}), "`event`")
        # Only the first two room versions cite by pairs.
        cited = cast("list[object]", event.get("prev_events", []))
        is_pair = bool(cited) and isinstance(cited[0], list)
        forger = Forger(case, [{"event_id": ""}] if is_pair else [])
        unknown = forger.reference(forger.unknown_id(name))
        return {**answer, "event": {**event, name: [unknown]}}

    return change


TEMPLATE_FAULTS: Mapping[str, Fault[Act]] = {
    "template.room-version": Fault(
        "The proposed event is of a room of this version.",
        "It refuses a version that it does not know, and tries the next server.",
        text("template.room-version"),
        changed_events(_room_version),
        "text",
        _MAKE,
    ),
    **{
        f"template.{name}": Fault(
            summary, right, flag(f"template.{name}"), changed_events(act), "true", _MAKE
        )
        for name, (summary, act, right) in {
            "no-event": ("There is no proposed event.", _no_event, _NEXT),
            "room-id": (
                "The proposed event is of another room.",
                _template(room_id=f"!spoiled:{OTHER_SERVER}"),
                _NEXT,
            ),
            "sender": (
                "The proposed event is of another user.",
                _template(sender=f"@spoiled:{OTHER_SERVER}"),
                _NEXT,
            ),
            "state-key": (
                "The proposed event is about another user.",
                _template(state_key=f"@spoiled:{OTHER_SERVER}"),
                _NEXT,
            ),
            "type": (
                "The proposed event has the type `m.room.power_levels`.",
                _template(type="m.room.power_levels"),
                _NEXT,
            ),
            "membership": (
                "The proposed event has another membership.",
                _membership,
                _NEXT,
            ),
            "depth": (
                "The proposed event has the depth 2^53-1.",
                _template(depth=MAX_DEPTH),
                "It may sign it: no later event is deeper.",
            ),
            "auth-events": (
                "The proposed event cites an auth event that does not exist.",
                _unknown("auth_events"),
                "The join fails: the rules do not allow it.",
            ),
            "prev-events": (
                "The proposed event comes after an event that does not exist.",
                _unknown("prev_events"),
                "The join fails, as no server takes it.",
            ),
        }.items()
    },
}
"""In the order in which they act."""
