"""PDUs as other servers send them."""

from typing import Any

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import hash_and_sign
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.signed_requests import THEM, Peer

ROOM = "!r:them.example"


def sign(pdu: Json, version: str, *peers: Peer) -> Json:
    """A copy of a PDU with its content hash and the signatures of servers."""
    for peer in peers:
        pdu = hash_and_sign(pdu, ROOM_VERSIONS[version], peer.server_name, [peer.key])
    return pdu


def message(version: str = "11", peer: Peer = THEM, **changes: object) -> Json:
    """A message that was hashed and signed; None leaves a member out."""
    pdu: Json = {
        "type": "m.room.message",
        "room_id": ROOM,
        "sender": f"@a:{peer.server_name}",
        "content": {"body": "hello"},
        "origin_server_ts": 1_700_000_000_000,
        "depth": 3,
        "prev_events": [],
        "auth_events": [],
    }
    if version in {"1", "2"}:
        pdu["event_id"] = f"$e:{peer.server_name}"
    given = {k: v for k, v in (pdu | changes).items() if v is not None}
    return sign(given, version, peer)


def create(version: str = "12", peer: Peer = THEM, **changes: object) -> Json:
    """The create event of a room."""
    hashed_id = ROOM_VERSIONS[version].has_hash_room_id
    return message(
        version,
        peer,
        **{
            "type": "m.room.create",
            "state_key": "",
            "content": {"room_version": version},
            "room_id": None if hashed_id else ROOM,
        }
        | changes,
    )


def changed(pdu: Json, **changes: object) -> Json:
    """The PDU, changed after it was signed; None takes a member away."""
    return {k: v for k, v in (pdu | changes).items() if v is not None}


def unsigned_message(server_name: str) -> dict[str, Any]:
    """A message without hash and signature, as a lab is given it."""
    return {
        "type": "m.room.message",
        "room_id": f"!r:{server_name}",
        "sender": f"@a:{server_name}",
        "content": {},
        "origin_server_ts": 1,
        "depth": 1,
        "prev_events": ["$" + "p" * 43],
        "auth_events": ["$" + "a" * 43],
    }
