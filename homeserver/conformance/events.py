"""Events of ours that stand in no room which the target knows.

Rules: each is well-formed, hashed and signed, for one room version.
"""

from homeserver.conformance.ours import Ours
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import event_id, hash_and_sign
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId

_VERSION = ROOM_VERSIONS["10"]


def unknown_room(ours: Ours, opaque: str) -> str:
    """The ID of a room of ours that nobody made."""
    return f"!{opaque}:{ours.name}"


def message(ours: Ours, room_id: str | None, body: str = "hello") -> Json:
    """A message of a user of ours; None for one without a room."""
    pdu: Json = {
        "type": "m.room.message",
        "sender": f"@user:{ours.name}",
        "content": {"msgtype": "m.text", "body": body},
        "origin_server_ts": ours.now_ts,
        "depth": 5,
        "prev_events": [],
        "auth_events": [],
    }
    if room_id is not None:
        pdu["room_id"] = room_id
    return hash_and_sign(pdu, _VERSION, ours.name, [ours.key])


def id_of(pdu: Json) -> EventId:
    """The ID of an event that `message` made."""
    return event_id(pdu, _VERSION)
