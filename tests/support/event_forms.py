"""PDUs in the form of each room version."""

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import ROOM_VERSIONS

VERSIONS = list(ROOM_VERSIONS)
LENIENT = VERSIONS[: VERSIONS.index("6")]


def versions(first: int, last: int) -> list[str]:
    """The names of the room versions from the first to the last one."""
    return [str(number) for number in range(first, last + 1)]


ABSENT = object()


def pdu_of(version: str, changes: Json | None = None) -> Json:
    """A PDU in the form of a room version, with some members changed or left out."""
    pdu: Json = {
        "type": "m.room.member",
        "sender": "@u:a.example",
        "room_id": "!r:a.example",
        "state_key": "@u:a.example",
        "content": {"membership": "join"},
        "origin_server_ts": 1000000,
        "depth": 3,
        "hashes": {"sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"},
        "signatures": {},
        "prev_events": ["$prev"],
        "auth_events": ["$auth"],
    }
    if version in {"1", "2"}:
        pdu["event_id"] = "$0:a.example"
        pdu["prev_events"] = [["$prev:a.example", {"sha256": "a"}]]
        pdu["auth_events"] = [["$auth:a.example", {}]]
    pdu |= changes or {}
    return {member: value for member, value in pdu.items() if value is not ABSENT}
