"""L and Y: each check has a fault that turns it red."""

from functools import partial

from homeserver.http.reply import Reply
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.question import Question
from homeserver.rooms.resident import Resident
from tests.conformance.faulty import (
    RoomAnswer,
    Row,
    answers_where,
    changed_json,
    error,
    fault_test,
    in_rooms,
    takes,
)
from tests.support.conformance_stage import Fault

_V1, _V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"
_LEAVE, _SEND_LEAVE = f"{_V1}/make_leave", f"{_V2}/send_leave"
_KNOCK, _SEND_KNOCK = f"{_V1}/make_knock", f"{_V1}/send_knock"


async def _refuses(
    kind: str, answer: RoomAnswer, resident: Resident, question: Question
) -> Json | bytes:
    """Those who have a membership get no template."""
    room = await resident.rooms.known(question.room_id)
    if membership(room.current, question.user.user_id) == kind:
        raise Forbidden("you stay")
    return await answer(resident, question)


def _keeps(kind: str) -> Fault:
    return in_rooms("make_leave", partial(_refuses, kind))


ROWS: list[Row] = [
    ("members stay", _keeps("join"), {"L01"}),
    ("the invited stay", _keeps("invite"), {"L05"}),
    (
        "an odd answer",
        answers_where(_SEND_LEAVE, b"{}", Reply(b"[]")),
        {"L01", "L05"},
    ),
    ("others leave", takes(_LEAVE, b"cannot leave"), {"L02"}),
    ("joins", takes(_SEND_LEAVE, b"`membership` is"), {"L03"}),
    ("others' users", takes(_LEAVE, b"is not a user of"), {"L04"}),
    (
        "nothing is shown",
        changed_json(_SEND_KNOCK, lambda _: {"knock_room_state": []}),
        {"Y01"},
    ),
    ("knocks at open doors", takes(_KNOCK, b"join rule 'public'"), {"Y02"}),
    (
        "no code for a version",
        answers_where(_KNOCK, b"_ROOM_VERSION", error(400, "M_UNKNOWN")),
        {"Y03"},
    ),
    (
        "no code for no room",
        answers_where(_KNOCK, b"M_NOT_FOUND", error(403, "M_FORBIDDEN")),
        {"Y04"},
    ),
    ("joins by a knock", takes(_SEND_KNOCK, b"`membership` is"), {"Y05"}),
]

test_a_fault_turns_its_checks_red = fault_test(ROWS, ["L", "Y"])
