"""Faults of a server that others ask for the state before an event.

Rules: those of `fault`. A server that asks for the IDs of the state first, as most do,
meets the faults of `state-ids`; those of `state` are for the events themselves.

Specification: Server-server API, "Retrieving events".
"""

from collections.abc import Callable, Mapping

from homeserver.lab.faults.fault import Act, Case, Fault, Switch, switches
from homeserver.lab.faults.forger import (
    Forger,
    changed_events,
    emptied,
    events_in,
    flipped_event,
    halved,
    in_each,
)
from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.errors import BadJson
from homeserver.protocol.federation_paths import V1
from homeserver.protocol.identifiers import UserId
from homeserver.protocol.rooms.building import NewEvent

_STATE, _STATE_IDS = f"{V1}/state/", f"{V1}/state_ids/"

_LEVELS = "m.room.power_levels"

_INCOMPLETE = "It takes no event by this state as if it were complete."
_BRANCH = "It takes it as one branch, resolved with the state that it knows."
_NO_WINNER = "It takes it as one branch: what it knows is not undone by it."
_NOT_IN = "It has the event in no state: the rules reject it."

_MAX_NAMED = 100  # events of an argument


def _event_ids(name: str) -> Callable[[object], object]:
    """An argument that is a list of event IDs."""

    def check(value: object) -> object:
        if not isinstance(value, list) or not 0 < len(value) <= _MAX_NAMED:
            raise BadJson(f"`{name}` is a list of up to {_MAX_NAMED} event IDs")
        if not all(isinstance(x, str) and x.startswith("$") for x in value):
            raise BadJson(f"`{name}` has an entry that is no event ID")
        return value

    return check


def _with(answer: Json, value: object, _: Case) -> Json:
    return {**answer, "pdu_ids": [*_ids(answer), *_named(value)]}


def _without(answer: Json, value: object, _: Case) -> Json:
    named = _named(value)
    return {**answer, "pdu_ids": [each for each in _ids(answer) if each not in named]}


def _invented(answer: Json, _: object, case: Case) -> Json:
    known = _ids(answer)
    forger = Forger(case, [])
    if any(":" in str(each) for each in known):  # versions 1 and 2
        forger = Forger(case, [{"event_id": ""}])
    return {**answer, "pdu_ids": [*known, forger.unknown_id("invented")]}


def _ids(answer: Json) -> list[object]:
    ids = answer.get("pdu_ids")
    return ids if isinstance(ids, list) else []


def _named(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _without_bans(answer: Json, _: object, __: Case) -> Json:
    def is_ban(pdu: Json) -> bool:
        content = as_object(pdu.get("content", {}), "`content`")
        return content.get("membership") == "ban"

    kept = [each for each in events_in(answer, "pdus") if not is_ban(each)]
    return {**answer, "pdus": kept}


def _older_levels(answer: Json, _: object, __: Case) -> Json:
    """The first power levels of the auth chain, in place of those of the state."""
    older = [x for x in events_in(answer, "auth_chain") if x.get("type") == _LEVELS]
    others = [x for x in events_in(answer, "pdus") if x.get("type") != _LEVELS]
    return {**answer, "pdus": [*others, *older[:1]]} if older else answer


def _rejected(answer: Json, _: object, case: Case) -> Json:
    """A topic of a user who never joined, in place of that of the state."""
    pdus = events_in(answer, "pdus")
    forger = Forger(case, pdus)
    ghost = UserId.parse(f"@spoiled:{forger.server}")
    new = NewEvent("m.room.topic", ghost, {"topic": "spoiled"}, "")
    others = [x for x in pdus if x.get("type") != "m.room.topic"]
    return {**answer, "pdus": [*others, forger.event(new, forger.state(pdus))]}


_STATE_ROWS: Mapping[str, Switch] = {
    "empty": (
        "There is no state.",
        changed_events(emptied("pdus", "auth_chain")),
        _INCOMPLETE,
    ),
    "half": (
        "Half of the state and half of the auth chain are there.",
        changed_events(halved("pdus", "auth_chain")),
        _BRANCH,
    ),
    "without-bans": (
        "The state has no ban.",
        changed_events(_without_bans),
        _NO_WINNER,
    ),
    "older-levels": (
        "The power levels of the state are the first ones of the auth chain.",
        changed_events(_older_levels),
        _NO_WINNER,
    ),
    "rejected": (
        "The topic of the state is one of a user who never joined.",
        changed_events(_rejected),
        _NOT_IN,
    ),
    "bad-signature": (
        "The events of the state have wrong signatures.",
        changed_events(in_each("pdus", flipped_event)),
        "It takes none of these events.",
    ),
}

_ID_ROWS: Mapping[str, Switch] = {
    "empty": (
        "There is no state.",
        changed_events(emptied("pdu_ids", "auth_chain_ids")),
        _INCOMPLETE,
    ),
    "half": (
        "Half of the state and half of the auth chain are named.",
        changed_events(halved("pdu_ids", "auth_chain_ids")),
        _BRANCH,
    ),
    "invented": (
        "The state has one more event, which does not exist.",
        changed_events(_invented),
        _INCOMPLETE,
    ),
}

_LISTED = "a list of event IDs"

STATE_FAULTS: Mapping[str, Fault[Act]] = {
    **switches("state", _STATE_ROWS, (_STATE,)),
    **switches("state-ids", _ID_ROWS, (_STATE_IDS,)),
    "state-ids.without": Fault(
        "The state lacks these events, such as a ban.",
        _NO_WINNER,
        _event_ids("state-ids.without"),
        changed_events(_without),
        _LISTED,
        (_STATE_IDS,),
    ),
    "state-ids.with": Fault(
        "The state has these events as well, such as one that the rules reject.",
        "It has no rejected event in a state, and no older one in place of a newer.",
        _event_ids("state-ids.with"),
        changed_events(_with),
        _LISTED,
        (_STATE_IDS,),
    ),
}
"""In the order in which they act."""
