"""Q: the hierarchy of a room of the target, which a space has below it.

Rules: a public room is shown to any server.
"""

from collections.abc import Mapping

from homeserver.conformance.check import TRUSTED_NAME, check, must, room
from homeserver.conformance.checks.joins import USUAL
from homeserver.conformance.checks.queries import get
from homeserver.conformance.documents import as_json
from homeserver.conformance.membership_requests import quoted
from homeserver.conformance.outcome import Outcome, expect
from homeserver.conformance.target import Target

_ROUTE = "Server-server API, GET /_matrix/federation/v1/hierarchy/{roomId}"

_MEMBERS: Mapping[str, type] = {
    "room": dict,
    "children": list,
    "inaccessible_children": list,
}


@check("Q25", must, _ROUTE, needs=[TRUSTED_NAME, room(USUAL)])
async def hierarchy(t: Target) -> Outcome:
    """The hierarchy of a public room has the room and what is below it."""
    room_id = t.facts.rooms[USUAL]
    reply = await get(t, f"/hierarchy/{quoted(room_id)}")
    lacks = [k for k, v in _MEMBERS.items() if not isinstance(reply.json.get(k), v)]
    named = as_json(reply.json.get("room")).get("room_id")
    return expect(
        reply.is_ok and not lacks and named == room_id,
        reply,
        f"room {named!r}, lacks {', '.join(lacks) or 'nothing'}",
        wanted=f"room {room_id!r}, children, inaccessible_children",
    )
