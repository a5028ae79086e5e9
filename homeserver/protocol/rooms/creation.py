"""Creating a room: its create event, its ID, and its first events.

Rules: the authorization rules of each room version allow these events in their order.
Power levels are integers in every version.

Specification: Client-server API, "Creation" and `m.room.create`; Room Versions, 11
and 12.
"""

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import EventId, RoomId, UserId
from homeserver.protocol.rooms.building import NewEvent, Place, build_pdu
from homeserver.protocol.rooms.versions import rules_of

# Events that need more than the default of 50: each could take control of the room.
_HIGH = (
    "m.room.encryption",
    "m.room.history_visibility",
    "m.room.power_levels",
    "m.room.server_acl",
)
_OWNERS_LEVEL = 100
_ABOVE_OWNERS = 150  # creators of version 12 alone: an upgrade ends the room


def build_create(
    creator: UserId,
    room_version: RoomVersion,
    origin_server_ts: int,
    content: Json | None = None,
    ids: tuple[RoomId, EventId | None] | None = None,
) -> Json:
    """Build a create event without hashes and signatures.

    `ids` has the room ID, which room version 12 derives from the event itself, and the
    event ID, which versions 1 and 2 need.
    """
    rules = rules_of(room_version)
    whole: Json = {**(content or {}), "room_version": room_version.version}
    if rules.has_creator_in_content:
        whole["creator"] = creator.user_id
    more = whole.get("additional_creators")
    if rules.has_privileged_creators and isinstance(more, list):
        others = dict.fromkeys(x for x in more if x != creator.user_id)
        whole["additional_creators"] = list(others)
    room_id, event_id = ids or (RoomId(""), None)
    pdu = build_pdu(
        NewEvent("m.room.create", creator, whole, ""),
        Place(room_version, room_id, [], {}),
        origin_server_ts,
        event_id,
    )
    if room_version.has_hash_room_id:
        del pdu["room_id"]
    return pdu


def opening_events(
    creator: UserId, room_version: RoomVersion, join_rule: str = "invite"
) -> list[NewEvent]:
    """The events that follow the create event, in their order."""

    def state(kind: str, content: Json, key: str = "") -> NewEvent:
        return NewEvent(kind, creator, content, key)

    return [
        state("m.room.member", {"membership": "join"}, creator.user_id),
        state("m.room.power_levels", default_levels(creator, room_version)),
        state("m.room.join_rules", {"join_rule": join_rule}),
        state("m.room.history_visibility", {"history_visibility": "shared"}),
        state("m.room.guest_access", {"guest_access": "forbidden"}),
    ]


def default_levels(creator: UserId, room_version: RoomVersion) -> Json:
    """The content of a room's first power levels."""
    events = dict.fromkeys(_HIGH, _OWNERS_LEVEL)
    has_creators = rules_of(room_version).has_privileged_creators
    events["m.room.tombstone"] = _ABOVE_OWNERS if has_creators else _OWNERS_LEVEL
    return {
        "ban": 50,
        "events": events,
        "events_default": 0,
        "invite": 0,
        "kick": 50,
        "redact": 50,
        "state_default": 50,
        "users": {} if has_creators else {creator.user_id: _OWNERS_LEVEL},
        "users_default": 0,
    }
