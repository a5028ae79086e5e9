"""Making an event of a room: references, depth, hashes, signatures.

Rules: the time, the event IDs of versions 1 and 2 and the keys are arguments. An event
passes the authorization rules before it is signed.

1. `choose_prev_events` selects the forward extremities that the event will cite.
2. The caller resolves the state before the event over them and makes a `Place`.
3. `build_pdu` makes the event; `check_own` applies the rules.
4. `sign_event` hashes and signs the event.

Specification: Server-server API, "PDUs", "Auth events selection", "Signing Events".
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.errors import BadJson
from homeserver.protocol.events.event import Event, hash_and_sign
from homeserver.protocol.events.event_form import MAX_PREV_EVENTS
from homeserver.protocol.events.room_versions import IdFormat, RoomVersion
from homeserver.protocol.identifiers import EventId, RoomId, ServerName, UserId
from homeserver.protocol.rooms.auth_events import auth_keys, select_auth_events
from homeserver.protocol.rooms.authorization import (
    Allowed,
    check_by_auth_events,
    check_state_dependent,
)
from homeserver.protocol.rooms.power_level_rules import check_integers
from homeserver.protocol.rooms.power_levels import UnreadableLevel
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.state import CREATE, StateMap
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from homeserver.protocol.rooms.versions import rules_of
from homeserver.protocol.signing import SigningKey


@dataclass(frozen=True, slots=True)
class NewEvent:
    """The members of an event that its author chooses."""

    type: str
    sender: UserId
    content: Json
    state_key: str | None = None
    redacts: EventId | None = None
    """The event that a redaction redacts."""


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a new event in its room."""

    room_version: RoomVersion
    room_id: RoomId
    prev_events: Sequence[Event]
    """The events that it will cite as previous ones, at most 20."""

    state: StateMap = field(repr=False)
    """The state before the event: the resolution of those after `prev_events`."""


def choose_prev_events(extremities: Iterable[Event]) -> list[Event]:
    """The forward extremities that a new event cites: the 20 deepest of them.

    Later events cite the others.
    """
    newest_first = sorted(
        extremities, key=lambda x: (x.depth, x.origin_server_ts), reverse=True
    )
    return newest_first[:MAX_PREV_EVENTS]


def build_pdu(
    new: NewEvent,
    place: Place,
    origin_server_ts: int,
    event_id: EventId | None = None,
) -> Json:
    """Build an event without hashes and signatures, as `make_join` returns it.

    `event_id` is for room versions 1 and 2, in which the sender chooses it.
    """
    version = place.room_version
    content = dict(new.content)
    if new.redacts is not None and version.redacts_in_content:
        content["redacts"] = new.redacts
    keys = auth_keys(new.type, new.sender.user_id, new.state_key, content, version)
    depth = 1 + max((event.depth for event in place.prev_events), default=0)
    pdu: Json = {
        "type": new.type,
        "room_id": place.room_id,
        "sender": new.sender.user_id,
        "content": content,
        "prev_events": [reference(event) for event in place.prev_events],
        "auth_events": [reference(x) for x in select_auth_events(keys, place.state)],
        "depth": min(depth, rules_of(version).max_depth),
        "origin_server_ts": origin_server_ts,
    }
    if new.state_key is not None:
        pdu["state_key"] = new.state_key
    if new.redacts is not None and not version.redacts_in_content:
        pdu["redacts"] = new.redacts
    if event_id is not None:
        pdu["event_id"] = event_id
    return pdu


def reference(event: Event) -> object:
    """The entry of an event in the `prev_events` and `auth_events` of other events.

    In room versions 1 and 2 it has the reference hash beside the ID.
    """
    if event.room_version.id_format is not IdFormat.SENT:
        return event.event_id
    digest = hashlib.sha256(event.signed).digest()
    return [event.event_id, {"sha256": encode_base64(digest)}]


def unsigned_event(pdu: Json, room_version: RoomVersion) -> Event:
    """Check the form of an event that is not hashed and signed yet.

    From room version 3 on the ID of the result is not the final one. Raises
    `ProtocolError` for a wrong form.
    """
    filled: Json = {**pdu, "hashes": {"sha256": ""}, "signatures": {}}
    if room_version.id_format is IdFormat.SENT:
        filled.setdefault(
            "event_id", "$unsigned:" + str(pdu["sender"]).split(":", 1)[1]
        )
    return Event.parse(filled, room_version)


def check_own(pdu: Json, place: Place, switches: Switches = SWITCHES) -> Allowed:
    """Apply the rules that other servers will apply to an event of `build_pdu`.

    Raises `NotAllowed`, or another `ProtocolError` for a wrong form.
    """
    event = unsigned_event(pdu, place.room_version)
    if event.type == "m.room.power_levels":
        try:
            check_integers(event.content)
        except UnreadableLevel as problem:
            raise BadJson(str(problem)) from None
    named = set(event.auth_event_ids)
    cited = CitedEvents(
        [each for each in place.state.values() if each.event_id in named],
        place.state.get(CREATE),
    )
    check_by_auth_events(event, cited, switches)
    return check_state_dependent(event, place.state, switches)


def sign_event(
    pdu: Json,
    room_version: RoomVersion,
    server_name: ServerName,
    keys: Iterable[SigningKey],
) -> Event:
    """Add the content hash and our signatures to an event of `build_pdu`.

    Raises `ProtocolError` for a wrong form, sizes included.
    """
    return Event.parse(
        hash_and_sign(pdu, room_version, server_name, keys), room_version
    )
