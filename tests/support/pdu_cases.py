"""PDUs of every kind, and the verdict on each of them."""

from homeserver.protocol import signing
from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.events.event import content_hash, redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from tests.support.pdus import ROOM, changed, create, message, sign
from tests.support.signed_requests import OTHERS, THEM, Peer

STRANGER = Peer(ServerName.parse("stranger.example"), THEM.key)

IMPOSTOR = Peer(THEM.server_name, OTHERS.key)

INVITE: Json = {"membership": "invite", "third_party_invite": {"signed": {}}}

JOIN: Json = {
    "membership": "join",
    "join_authorised_via_users_server": f"@b:{OTHERS.server_name}",
}


def member(content: Json, *peers: Peer, event_id: str | None = None) -> Json:
    """A membership of room version 10, or with an ID of 2, signed by servers."""
    version = "10" if event_id is None else "2"
    unsigned = changed(
        message(version, content=content, type="m.room.member", state_key="@a:x.org"),
        signatures=None,
        prev_state=[],
        event_id=event_id,
    )
    return sign(unsigned, version, *peers)


CONTENT_HASH = encode_base64(content_hash(message()))


def hashed(text: str) -> Json:
    """A message whose server signed `text` as its content hash."""
    pdu = changed(message(), signatures=None, hashes={"sha256": text})
    redacted = redact(pdu, ROOM_VERSIONS["12"])
    signed = signing.sign(redacted, THEM.server_name, [THEM.key])
    return pdu | {"signatures": signed["signatures"]}


# A PDU, what we make of it, and the version that it is judged by; None where it may be
# of several and fits none.
VERDICTS: list[tuple[str, Json, str, str | None]] = [
    *[
        (f"a message of version {version}", message(version), "accepted", "11")
        for version in ("11", "12")
    ],
    ("one with an `origin`", message("10", origin="them.example"), "accepted", "10"),
    ("one with an ID", message("2"), "accepted", "2"),
    *[
        (f"the create event of version {v}", create(v), "accepted", v)
        for v in ROOM_VERSIONS
    ],
    ("with a padded hash", hashed(CONTENT_HASH + "="), "accepted", "11"),
    ("with a hash of nothing", hashed(""), "redacted: content hash", "11"),
    ("with a hash of no base64", hashed("!"), "redacted: content hash", "11"),
    (
        "another body than was hashed",
        changed(message(), content={"body": "goodbye"}),
        "redacted: content hash",
        "11",
    ),
    (
        "a member that was not hashed",
        changed(message(), more="x"),
        "redacted: content hash",
        "11",
    ),
    (
        "a member that is kept, changed",
        changed(message(), depth=4),
        "rejected: signature does not verify: ed25519:t_1 over event $",
        None,
    ),
    (
        "not signed",
        changed(message(), signatures={}),
        "rejected: event $",
        None,
    ),
    (
        "signed by another server",
        sign(changed(message(), signatures=None), "12", OTHERS),
        "rejected: event $",
        None,
    ),
    (
        "signed by a server that nobody knows",
        message(peer=STRANGER),
        "rejected: event $",
        None,
    ),
    (
        "signed with another server's key",
        message(peer=IMPOSTOR),
        "rejected: event $",
        None,
    ),
    (
        "a signature of no base64",
        changed(message(), signatures={"them.example": {"ed25519:t_1": "!"}}),
        "rejected: not base64",
        None,
    ),
    (
        "signatures of another shape",
        changed(message(), signatures={"them.example": []}),
        "rejected: `signatures` of them.example is not a JSON object",
        None,
    ),
    ("an event of others, sent on", message(peer=OTHERS), "accepted", "11"),
    (
        "an event ID of others",
        message("2", event_id="$e:others.example:8449"),
        "rejected: event $e:others.example:8449 by others.example:8449 is not signed",
        "2",
    ),
    (
        "an event ID of others, signed by them",
        sign(message("2", event_id="$e:others.example:8449"), "2", OTHERS),
        "accepted",
        "2",
    ),
    (
        "a join that others have to allow",
        member(JOIN, THEM),
        "rejected: event $",
        None,
    ),
    ("a join that others have allowed", member(JOIN, THEM, OTHERS), "accepted", "10"),
    (
        "a join that others have allowed, not signed by its own server",
        member(JOIN, OTHERS),
        "rejected: signature does not verify: ed25519:o_1 over event $",
        None,
    ),
    ("an invitation by a third party", member(INVITE, THEM), "accepted", "10"),
    ("one that its sender did not sign", member(INVITE, OTHERS), "accepted", "11"),
    (
        "one that its sender signed with another key",
        member(INVITE, IMPOSTOR),
        "accepted: a third-party invite needs no signature; event $",
        "11",
    ),
    (
        "one that was changed where only its sender's signature tells",
        member(INVITE, THEM) | {"depth": 4},
        "redacted: content hash; a third-party invite needs no signature; signature ",
        "11",
    ),
    (
        "one that was changed",
        member(INVITE, THEM) | {"more": "x"},
        "redacted: content hash",
        "10",
    ),
    (
        "one of version 2 with an ID of others",
        member(INVITE, THEM, event_id="$e:others.example:8449"),
        "rejected: event $e:others.example:8449 by others.example:8449 is not signed",
        "2",
    ),
    (
        "one of version 2 with an ID of others, signed by them",
        member(INVITE, OTHERS, event_id="$e:others.example:8449"),
        "accepted",
        "2",
    ),
    (
        "one of version 2 with an ID of its sender's server, signed by others",
        member(INVITE, OTHERS, event_id="$e:them.example"),
        "rejected: event $e:them.example by them.example is not signed",
        "2",
    ),
    (
        "an unsigned invitation that is none by a third party",
        member({"membership": "invite"}, OTHERS),
        "rejected: event $",
        None,
    ),
    (
        "without a depth",
        message(depth=None),
        "rejected: `depth` is missing",
        None,
    ),
    (
        "a float",
        message(content={"x": 1.5}),
        "accepted",
        "5",
    ),
    (
        "too large",
        message(content={"x": "y" * 65536}),
        "rejected: the PDU has ",
        None,
    ),
    (
        "without a room",
        message(room_id=None),
        "rejected: `room_id` is missing",
        None,
    ),
    (
        "a room that is a number",
        message(room_id=5),
        "rejected: `room_id` is not a string",
        None,
    ),
    (
        "a create event that names its room",
        create(room_id=ROOM),
        "rejected: a create event of room version 12 must not have a `room_id`",
        "12",
    ),
]

NAMELESS: list[tuple[str, Json, str, str | None]] = [
    (
        "an unknown room version",
        create(content={"room_version": "99"}),
        "rejected: unknown room version '99'",
        None,
    ),
    (
        "a room version that is a number",
        create(content={"room_version": 12}),
        "rejected: unknown room version 12",
        None,
    ),
    (
        "an event ID that is none",
        message("2", event_id="nonsense"),
        "rejected: not an event ID",
        "2",
    ),
    (
        "an event ID that is a number",
        message("2", event_id=5),
        "rejected: `event_id` is not a string",
        "2",
    ),
]
