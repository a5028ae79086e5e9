"""Faults of a server that others ask for the past and the state of a room.

Rules: those of `fault`.

Specification: Server-server API, "Backfilling and retrieving missing events",
"Retrieving events".
"""

from collections.abc import Callable, Mapping

from homeserver.http.reply import Reply, error_reply
from homeserver.lab.faults.fault import Act, Case, Continue, Fault, flag
from homeserver.lab.faults.forger import (
    OTHER_SERVER,
    Forger,
    changed_events,
    events_in,
    flipped,
)
from homeserver.protocol.canonical_json import Json, as_object, parse_object

_V1 = "/_matrix/federation/v1"
_MISSING = f"{_V1}/get_missing_events/"
_BACKFILL = f"{_V1}/backfill/"
_STATE, _STATE_IDS = f"{_V1}/state/", f"{_V1}/state_ids/"
_EVENT, _EVENT_AUTH = f"{_V1}/event/", f"{_V1}/event_auth/"

_BOUNDED = (
    "It takes none of these events, asks a bounded number of times, and then asks for "
    "the state before the event."
)
_DROPPED = "It takes none of these events."
_INCOMPLETE = "It takes no event by this state as if it were complete."

_Change = Callable[[Json, object, Case], Json]

_FEW = 3  # forged events of an answer


def _in_each(name: str, change: Callable[[Forger, Json], Json]) -> _Change:
    """Another event in place of each one of a list."""

    def act(answer: Json, _: object, case: Case) -> Json:
        events = events_in(answer, name)
        forger = Forger(case, events)
        return {**answer, name: [change(forger, each) for each in events]}

    return act


def _empty(*names: str) -> _Change:
    def act(answer: Json, _: object, __: Case) -> Json:
        return {**answer, **{name: [] for name in names if name in answer}}

    return act


def _half(*names: str) -> _Change:
    """Of each list the first half is left."""

    def act(answer: Json, _: object, __: Case) -> Json:
        lists: Json = {}
        for name in names:
            found = answer.get(name)
            if isinstance(found, list):
                lists[name] = found[: len(found) // 2]
        return {**answer, **lists}

    return act


def _unrelated(name: str) -> _Change:
    """Messages that nothing cites, by a user of ours where one has sent something."""

    def act(answer: Json, _: object, case: Case) -> Json:
        events = events_in(answer, name)
        forger = Forger(case, events)
        own = f":{forger.server}"
        senders = [x["sender"] for x in events if str(x.get("sender")).endswith(own)]
        sender = senders[0] if senders else None
        return {**answer, name: [forger.message(sender) for _ in range(_FEW)]}

    return act


def _endless(answer: Json, _: object, case: Case) -> Json:
    """The wanted event of rooms of version 1 and 2, and one that it comes after."""
    forger = Forger(case, events_in(answer, "events"))
    content = case.request.content
    body: Json = {}
    if content is not None:
        content.seek(0)
        body = parse_object(content.read())
    latest = body.get("latest_events")
    wanted = latest[0] if isinstance(latest, list) and latest else None
    event = forger.message()
    if isinstance(wanted, str) and "event_id" in event:
        event = forger.signed({**event, "event_id": wanted})
    return {**answer, "events": [event]}


def _other_room(forger: Forger, _: Json) -> Json:
    return forger.message(room_id=f"!spoiled:{OTHER_SERVER}")


def _bad_signature(_: Forger, pdu: Json) -> Json:
    return flipped(pdu)


def _other_event(forger: Forger, pdu: Json) -> Json:
    """Another event of the same room."""
    return forger.message(pdu.get("sender"), pdu.get("room_id"))


async def _no_event(_: object, __: Continue, ___: Case) -> Reply:
    return error_reply(404, "M_NOT_FOUND", "a rule of the lab says so")


def _invented(answer: Json, _: object, case: Case) -> Json:
    forger = Forger(case, [])
    ids = answer.get("pdu_ids")
    known = ids if isinstance(ids, list) else []
    if any(":" in str(each) for each in known):  # versions 1 and 2
        forger = Forger(case, [{"event_id": ""}])
    return {**answer, "pdu_ids": [*known, forger.unknown_id("invented")]}


def _without_bans(answer: Json, _: object, __: Case) -> Json:
    def is_ban(pdu: Json) -> bool:
        content = as_object(pdu.get("content", {}), "`content`")
        return content.get("membership") == "ban"

    kept = [each for each in events_in(answer, "pdus") if not is_ban(each)]
    return {**answer, "pdus": kept}


_Row = tuple[str, str, Act, str]

_ROWS: Mapping[str, _Row] = {
    "missing.none": (
        _MISSING,
        "There are no missing events.",
        changed_events(_empty("events")),
        _BOUNDED,
    ),
    "missing.unrelated": (
        _MISSING,
        "The missing events are others, which nothing cites, others each time.",
        changed_events(_unrelated("events")),
        _BOUNDED,
    ),
    "missing.endless": (
        _MISSING,
        "Another event is missing before each one, of the wanted ID where it may be.",
        changed_events(_endless),
        _BOUNDED,
    ),
    "missing.other-room": (
        _MISSING,
        "The missing events are of another room.",
        changed_events(_in_each("events", _other_room)),
        _BOUNDED,
    ),
    "missing.bad-signature": (
        _MISSING,
        "The missing events have wrong signatures.",
        changed_events(_in_each("events", _bad_signature)),
        _BOUNDED,
    ),
    "backfill.unrelated": (
        _BACKFILL,
        "The events are others, which nothing cites.",
        changed_events(_unrelated("pdus")),
        _DROPPED,
    ),
    "backfill.other-room": (
        _BACKFILL,
        "The events are of another room.",
        changed_events(_in_each("pdus", _other_room)),
        _DROPPED,
    ),
    "backfill.bad-signature": (
        _BACKFILL,
        "The events have wrong signatures.",
        changed_events(_in_each("pdus", _bad_signature)),
        _DROPPED,
    ),
    "state.empty": (
        _STATE,
        "There is no state.",
        changed_events(_empty("pdus", "auth_chain")),
        _INCOMPLETE,
    ),
    "state.half": (
        _STATE,
        "Half of the state and half of the auth chain are there.",
        changed_events(_half("pdus", "auth_chain")),
        "It takes it as one branch, resolved with the state that it knows.",
    ),
    "state.without-bans": (
        _STATE,
        "The state has no ban.",
        changed_events(_without_bans),
        "It takes it as one branch: the ban that it knows is not undone by it.",
    ),
    "state.bad-signature": (
        _STATE,
        "The events of the state have wrong signatures.",
        changed_events(_in_each("pdus", _bad_signature)),
        _DROPPED,
    ),
    "state-ids.empty": (
        _STATE_IDS,
        "There is no state.",
        changed_events(_empty("pdu_ids", "auth_chain_ids")),
        _INCOMPLETE,
    ),
    "state-ids.half": (
        _STATE_IDS,
        "Half of the state and half of the auth chain are named.",
        changed_events(_half("pdu_ids", "auth_chain_ids")),
        "It takes it as one branch, resolved with the state that it knows.",
    ),
    "state-ids.invented": (
        _STATE_IDS,
        "The state has one more event, which does not exist.",
        changed_events(_invented),
        _INCOMPLETE,
    ),
    "event.missing": (
        _EVENT,
        "The answer is 404, and no work is done.",
        _no_event,
        "It asks another server, and takes nothing as known that it did not get.",
    ),
    "event.other": (
        _EVENT,
        "The event is another one.",
        changed_events(_in_each("pdus", _other_event)),
        _DROPPED,
    ),
    "event.bad-signature": (
        _EVENT,
        "The event has wrong signatures.",
        changed_events(_in_each("pdus", _bad_signature)),
        _DROPPED,
    ),
    "event-auth.empty": (
        _EVENT_AUTH,
        "There is no auth chain.",
        changed_events(_empty("auth_chain")),
        "It rejects the event, or fetches what it cites elsewhere.",
    ),
    "event-auth.half": (
        _EVENT_AUTH,
        "Half of the auth chain is there.",
        changed_events(_half("auth_chain")),
        "It rejects the event, or fetches what it cites elsewhere.",
    ),
}

HISTORY_FAULTS: Mapping[str, Fault[Act]] = {
    name: Fault(summary, right, flag(name), act, "true", (route,))
    for name, (route, summary, act, right) in _ROWS.items()
}
"""In the order in which they act."""
