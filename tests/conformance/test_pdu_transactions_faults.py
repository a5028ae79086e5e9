"""P: each check of transactions with events has a fault that turns it red."""

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import Forbidden
from homeserver.rooms.receiving import RoomReceiver
from homeserver.storage.judged_pdus import REJECTED, JudgedPdu
from tests.conformance.faulty import Row, changed_json, patched
from tests.conformance.pdu_target import of, pdu_fault_test, receives
from tests.support.conformance_stage import Fault

_check = RoomReceiver.check

_SEND = "/_matrix/federation/v1/send/"


def _changes(change: Callable[[list[JudgedPdu]], list[JudgedPdu]]) -> Fault:
    """Other verdicts on the PDUs of a transaction."""

    async def check(receiver: RoomReceiver, *given: Any) -> list[JudgedPdu]:
        return change(await _check(receiver, *given))

    return patched({"homeserver.rooms.receiving.RoomReceiver.check": check})


def _rejects_known() -> Fault:
    known: set[str] = set()

    def change(judged: list[JudgedPdu]) -> list[JudgedPdu]:
        found = [
            replace(each, verdict=f"{REJECTED}: it is known")
            if each.event_id in known
            else each
            for each in judged
        ]
        known.update(each.event_id for each in judged if each.event_id)
        return found

    return _changes(change)


def _all_or_nothing() -> Fault:
    """A transaction that is refused for each event without a signature."""

    def look(pdus: list[Json]) -> None:
        if len(pdus) > 1 and any(each["signatures"] == {} for each in pdus):
            raise Forbidden("an event is not signed")

    return receives(look)


def _ends_more(content: dict[str, Any]) -> dict[str, Any]:
    """A template whose event also comes after one that is no end."""
    event = content.get("event")
    if isinstance(event, dict):
        event["prev_events"].append(event["auth_events"][0])
    return content


def _refused(reply: dict[str, Any]) -> dict[str, Any]:
    return {"pdus": {key: {"error": "no"} for key in reply.get("pdus", {})}}


ROWS: list[Row] = [
    ("an error for each event", changed_json(_SEND, _refused), of("P01")),
    ("all or nothing", _all_or_nothing(), of("P32")),
    ("known events refused", _rejects_known(), of("P33")),
    (
        "more ends",
        changed_json("/_matrix/federation/v1/make_leave", _ends_more),
        of("P36"),
    ),
]


test_a_fault_turns_its_checks_red = pdu_fault_test(ROWS)
