"""Faults of a server that others ask for the past of a room.

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
    emptied,
    events_in,
    flipped_event,
    halved,
    in_each,
)
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.federation_paths import V1

_MISSING = f"{V1}/get_missing_events/"
_BACKFILL = f"{V1}/backfill/"
_EVENT, _EVENT_AUTH = f"{V1}/event/", f"{V1}/event_auth/"

_BOUNDED = (
    "It takes none of these events, asks a bounded number of times, and then asks for "
    "the state before the event."
)
_DROPPED = "It takes none of these events."

_Change = Callable[[Json, object, Case], Json]

_FEW = 3  # forged events of an answer


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


def _other_event(forger: Forger, pdu: Json) -> Json:
    """Another event of the same room."""
    return forger.message(pdu.get("sender"), pdu.get("room_id"))


async def _no_event(_: object, __: Continue, ___: Case) -> Reply:
    return error_reply(404, "M_NOT_FOUND", "a rule of the lab says so")


_Row = tuple[str, str, Act, str]

_ROWS: Mapping[str, _Row] = {
    "missing.none": (
        _MISSING,
        "There are no missing events.",
        changed_events(emptied("events")),
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
        changed_events(in_each("events", _other_room)),
        _BOUNDED,
    ),
    "missing.bad-signature": (
        _MISSING,
        "The missing events have wrong signatures.",
        changed_events(in_each("events", flipped_event)),
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
        changed_events(in_each("pdus", _other_room)),
        _DROPPED,
    ),
    "backfill.bad-signature": (
        _BACKFILL,
        "The events have wrong signatures.",
        changed_events(in_each("pdus", flipped_event)),
        _DROPPED,
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
        changed_events(in_each("pdus", _other_event)),
        _DROPPED,
    ),
    "event.bad-signature": (
        _EVENT,
        "The event has wrong signatures.",
        changed_events(in_each("pdus", flipped_event)),
        _DROPPED,
    ),
    "event-auth.empty": (
        _EVENT_AUTH,
        "There is no auth chain.",
        changed_events(emptied("auth_chain")),
        "It rejects the event, or fetches what it cites elsewhere.",
    ),
    "event-auth.half": (
        _EVENT_AUTH,
        "Half of the auth chain is there.",
        changed_events(halved("auth_chain")),
        "It rejects the event, or fetches what it cites elsewhere.",
    ),
}

HISTORY_FAULTS: Mapping[str, Fault[Act]] = {
    name: Fault(summary, right, flag(name), act, "true", (route,))
    for name, (route, summary, act, right) in _ROWS.items()
}
"""In the order in which they act."""
