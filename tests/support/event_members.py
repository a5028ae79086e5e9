"""What PDUs and their contents may have, and what redaction keeps of contents."""

from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json

# A PDU with every member that some room version or other lets redaction keep.
ALWAYS_KEPT: Json = {
    "event_id": "$0:a.example",
    "type": "m.example",
    "room_id": "!r:a.example",
    "sender": "@u:a.example",
    "state_key": "",
    "content": {},
    "hashes": {"sha256": "a"},
    "signatures": {"a.example": {"ed25519:1": "b"}},
    "depth": 1,
    "prev_events": [],
    "auth_events": [],
    "origin_server_ts": 1,
}

# A content with every member that redaction keeps in some type of event or other.
CONTENT: Json = {
    "aliases": ["#a:a.example"],
    "allow": [],
    "ban": 50,
    "creator": "@u:a.example",
    "events": {"m.room.name": 50},
    "events_default": 0,
    "history_visibility": "shared",
    "invite": 0,
    "join_authorised_via_users_server": "@v:b.example",
    "join_rule": "restricted",
    "kick": 50,
    "membership": "invite",
    "notifications": {"room": 50},
    "other": 1,
    "redact": 50,
    "redacts": "$1:a.example",
    "room_version": "12",
    "state_default": 50,
    "third_party_invite": {"display_name": "U", "signed": {"token": "t"}},
    "users": {"@u:a.example": 100},
    "users_default": 0,
}
EVERYTHING = " ".join(CONTENT)
POWER_LEVELS = "ban events events_default kick redact state_default users users_default"

# Event type, first and last room version, the members of `content` that are kept.
KEPT_CONTENT: list[tuple[str, int, int, str]] = [
    ("m.room.member", 1, 8, "membership"),
    ("m.room.member", 9, 10, "membership join_authorised_via_users_server"),
    (
        "m.room.member",
        11,
        12,
        "membership join_authorised_via_users_server third_party_invite",
    ),
    ("m.room.create", 1, 10, "creator"),
    ("m.room.create", 11, 12, EVERYTHING),
    ("m.room.join_rules", 1, 7, "join_rule"),
    ("m.room.join_rules", 8, 12, "join_rule allow"),
    ("m.room.power_levels", 1, 10, POWER_LEVELS),
    ("m.room.power_levels", 11, 12, POWER_LEVELS + " invite"),
    ("m.room.aliases", 1, 5, "aliases"),
    ("m.room.aliases", 6, 12, ""),
    ("m.room.history_visibility", 1, 12, "history_visibility"),
    ("m.room.redaction", 1, 10, ""),
    ("m.room.redaction", 11, 12, "redacts"),
    ("m.room.message", 1, 12, ""),
    ("m.room.third_party_invite", 1, 12, ""),
    ("", 1, 12, ""),
]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(max_size=5)
    | st.sampled_from(["@u:a.example", "!r:a.example", "$0:a.example", "invite"]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.text(max_size=5), children, max_size=3)
    ),
    max_leaves=6,
)
json_objects = st.dictionaries(
    st.sampled_from([*CONTENT, "x"]), json_values, max_size=4
)
