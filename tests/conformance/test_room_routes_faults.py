"""G and E41: each check has a fault that turns it red."""

from typing import Any

from homeserver.conformance.checks.room_events import UNKNOWN
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import Forbidden, NotFound
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import StateMap
from homeserver.protocol.transactions import Transaction
from homeserver.rooms.past import _state_before
from homeserver.rooms.question import Question
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room
from tests.conformance.faulty import (
    RoomAnswer,
    Row,
    answers_where,
    changed_json,
    changed_reply,
    error,
    fault_test,
    in_rooms,
    patched,
    takes,
)
from tests.support.conformance_stage import Fault
from tests.support.logged_errors import PlantedError

_V1 = "/_matrix/federation/v1"
_EVENT = f"{_V1}/event/"
_STATES = f"{_V1}/state"  # and state_ids
_BACKFILL, _MISSING = f"{_V1}/backfill", f"{_V1}/get_missing_events"
_AUTH, _TIME = f"{_V1}/event_auth", f"{_V1}/timestamp_to_event"

_STRANGER = b"no user of"

_Object = dict[str, Any]

_parse = Transaction.parse


async def _tells_strangers(
    answer: RoomAnswer, resident: Resident, question: Question
) -> Json | bytes:
    try:
        return await answer(resident, question)
    except (Forbidden, NotFound):
        if question.event_id == UNKNOWN:
            raise
        return {}


async def _knows_all_states(
    answer: RoomAnswer, resident: Resident, question: Question
) -> Json | bytes:
    """The state at an event of any room."""
    try:
        return await answer(resident, question)
    except NotFound:
        room = await resident.rooms.room_with(EventId(question.one_of("event_id")))
        if room is None or room.room_id == question.room_id:
            raise
        return {}


async def _knows_all_events(
    answer: RoomAnswer, resident: Resident, question: Question
) -> Json | bytes:
    """Backfill from an event of any room."""
    for each in question.query.get("v", []):
        room = await resident.rooms.room_with(EventId(each))
        if room is not None and room.room_id != question.room_id:
            return {"pdus": [{"room_id": room.room_id}]}
    return await answer(resident, question)


def _state_after(room: Room, event_id: str) -> StateMap:
    before, entry = _state_before(room, event_id), room.entries[EventId(event_id)]
    return before if entry.after is None else room.states.map(entry.after)


def _twice(content: _Object) -> _Object:
    return {**content, "pdus": content.get("pdus", []) * 2}


def _fewer(name: str) -> Any:
    """A reply without the first of a list."""

    def change(content: _Object) -> _Object:
        if name not in content:
            return content
        return {**content, name: content[name][1:]}

    return change


def _without_time(content: _Object) -> _Object:
    return {k: v for k, v in content.items() if k != "origin_server_ts"}


def _breaks_on_a_million(reply: Reply, request: Request) -> Reply:
    return error(500, "M_UNKNOWN") if b"limit=1000000" in request.uri else reply


def _without_verdicts(content: _Object) -> _Object:
    return {**content, "pdus": {}}


def _breaks_on_two() -> Fault:
    def parse(content: _Object) -> Transaction:
        if len(content.get("edus", ())) == 2:
            raise PlantedError("broken")
        return _parse(content)

    return patched({"homeserver.protocol.transactions.Transaction.parse": parse})


def _in_past(**replaced: object) -> Fault:
    return patched(
        {f"homeserver.rooms.past.{name}": each for name, each in replaced.items()}
    )


ROWS: list[Row] = [
    (
        "another origin",
        changed_json(_EVENT, lambda content: {**content, "origin": "other"}),
        {"G01"},
    ),
    (
        "no object",
        answers_where(_EVENT, b"M_NOT_FOUND", Reply(b'""', 404)),
        {"G02"},
    ),
    ("events for strangers", in_rooms("event", _tells_strangers), {"G03"}),
    ("the state after", _in_past(_state_before=_state_after), {"G04"}),
    (
        "too few IDs",
        changed_json(f"{_V1}/state_ids", _fewer("auth_chain_ids")),
        {"G04", "G05"},
    ),
    ("too little state", changed_json(f"{_V1}/state/", _fewer("pdus")), {"G05"}),
    (
        "no state is not found",
        answers_where(_STATES, b"M_MISSING_PARAM", error(404, "M_NOT_FOUND")),
        {"G06"},
    ),
    (
        "another code",
        answers_where(_STATES, UNKNOWN.encode(), error(404, "M_UNKNOWN")),
        {"G07"},
    ),
    ("state for strangers", takes(_STATES, _STRANGER), {"G08"}),
    ("states of others", in_rooms("state_ids", _knows_all_states), {"G09"}),
    ("too much history", changed_json(_BACKFILL, _twice), {"G10"}),
    (
        "breaks on a large limit",
        changed_reply(_BACKFILL, _breaks_on_a_million),
        {"G11"},
    ),
    (
        "breaks without a limit",
        answers_where(_BACKFILL, b"M_MISSING_PARAM", error(500, "M_UNKNOWN")),
        {"G12"},
    ),
    ("history for strangers", takes(_BACKFILL, _STRANGER), {"G13"}),
    ("histories of others", in_rooms("backfill", _knows_all_events), {"G14"}),
    ("too few events", changed_json(_MISSING, _fewer("events")), {"G15"}),
    ("too many events", _in_past(_DEFAULT_MISSING=20), {"G16"}),
    ("missing events for strangers", takes(_MISSING, _STRANGER), {"G18"}),
    ("too short a chain", changed_json(_AUTH, _fewer("auth_chain")), {"G19"}),
    (
        "no chain is no mistake",
        answers_where(_AUTH, b"M_NOT_FOUND", Reply(b'{"auth_chain":[]}')),
        {"G20"},
    ),
    ("no time", changed_json(_TIME, _without_time), {"G21"}),
    ("times for strangers", takes(_TIME, _STRANGER), {"G22"}),
    *(
        (f"no ACL of {route}", takes(f"/_matrix/federation/{route}/", b"ACL"), {"G23"})
        for route in (
            *("v1/make_leave", "v1/make_knock", "v2/send_leave", "v1/send_knock"),
            *("v1/invite", "v2/invite", "v1/state", "v1/state_ids", "v1/backfill"),
            *("v1/event_auth", "v1/get_missing_events"),
        )
    ),
    ("no verdicts", changed_json(f"{_V1}/send/", _without_verdicts), {"G24"}),
    ("nothing is hidden", _in_past(may_read=lambda *_, **__: True), {"G25"}),
    ("what was rejected", _in_past(_SERVED=frozenset(Outcome)), {"G26"}),
    ("breaks on EDUs", _breaks_on_two(), {"E41"}),
]

test_a_fault_turns_its_checks_red = fault_test(ROWS, ["G", "E41"])
