"""A PDU as an event: format, hashes, redaction, event ID, required signers.

Rules: an `Event` has the members and sizes that its room version demands; its content
hash and signatures are checked separately. All differences between room versions come
from `room_versions`.

Specification: Room Versions; Server-server API, "PDUs" and "Signing Events".
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import Self

from msgspec import Struct

from homeserver.protocol.canonical_json import (
    Json,
    as_object,
    as_text,
    check_numbers,
    decode_base64,
    encode,
    encode_base64,
    encode_integers,
    encode_urlsafe_base64,
)
from homeserver.protocol.errors import MISSING, BadJson, TooLarge
from homeserver.protocol.events.event_form import read_form
from homeserver.protocol.events.room_versions import IdFormat, RoomVersion
from homeserver.protocol.identifiers import (
    EventId,
    RoomId,
    ServerName,
    UserId,
    parse_event_domain,
    parse_named_room_id,
    parse_room_id,
)
from homeserver.protocol.signing import SigningKey, sign

MAX_EVENT_BYTES = 65536  # Client-server API, "Size limits"; with signatures

AUTHORISED_VIA = "join_authorised_via_users_server"
"""In the content of a restricted join: the user whose server lets it happen."""

# Each event compares these, and Python looks up a member of an Enum slowly.
_SENT, _BASE64 = IdFormat.SENT, IdFormat.BASE64

_Encode = Callable[[object], bytes]
"""An encoder of canonical JSON: `encode`, or the faster `encode_integers`."""


def content_hash(pdu: Json, encode_json: _Encode = encode) -> bytes:
    """SHA-256 of the PDU without `unsigned`, `signatures` and `hashes`."""
    hashed = pdu.copy()
    for left_out in ("unsigned", "signatures", "hashes"):
        hashed.pop(left_out, None)
    return hashlib.sha256(encode_json(hashed)).digest()


def redact(pdu: Json, room_version: RoomVersion) -> Json:
    """The part of a PDU that its signatures and its reference hash cover."""
    members = room_version.kept_members
    redacted = {k: v for k, v in pdu.items() if k in members}
    kind, content = pdu.get("type"), pdu.get("content")
    if not isinstance(kind, str) or not isinstance(content, dict):
        return redacted
    kept = room_version.kept_content.get(kind, ())
    remains = {
        k: content[k] for k in (content if kept is None else kept) if k in content
    }
    if kind == "m.room.member" and room_version.keeps_signed_invite:
        invite = content.get("third_party_invite")
        if isinstance(invite, dict):
            # Empty without `signed`, as other servers do: the event ID depends on it.
            signed = {k: v for k, v in invite.items() if k == "signed"}
            remains["third_party_invite"] = signed
    redacted["content"] = remains
    return redacted


def event_id(pdu: Json, room_version: RoomVersion) -> EventId:
    """The event ID: the reference hash, or `event_id` in room versions 1 and 2.

    Raises `BadJson` or `InvalidParam` if `event_id` is required and invalid.
    """
    return _event_id(pdu, room_version, _signed(pdu, room_version, encode))


def _signed(pdu: Json, room_version: RoomVersion, encode_json: _Encode) -> bytes:
    """The signed bytes: the redacted event without signatures."""
    redacted = redact(pdu, room_version)
    redacted.pop("signatures", None)
    return encode_json(redacted)


def _event_id(pdu: Json, room_version: RoomVersion, signed: bytes) -> EventId:
    if room_version.id_format is _SENT:
        text = as_text(pdu.get("event_id", MISSING), "`event_id`")
        parse_event_domain(text)
        return EventId(text)
    # The reference hash.
    digest = hashlib.sha256(signed).digest()
    if room_version.id_format is _BASE64:
        return EventId("$" + encode_base64(digest))
    return EventId("$" + encode_urlsafe_base64(digest))


def hash_and_sign(
    pdu: Json,
    room_version: RoomVersion,
    server_name: ServerName,
    keys: Iterable[SigningKey],
) -> Json:
    """A copy of a PDU with its content hash and our signatures."""
    hashed = {**pdu, "hashes": {"sha256": encode_base64(content_hash(pdu))}}
    signed = sign(redact(hashed, room_version), server_name, keys)
    return {**hashed, "signatures": signed["signatures"]}


class Event(Struct, frozen=True):
    """A PDU in the format that its room version demands."""

    pdu: Json
    room_version: RoomVersion
    event_id: EventId
    type: str
    sender: UserId
    room_id: RoomId
    """For a create event of room version 12, the ID of the room that it creates."""

    origin_server_ts: int
    """The time at which it was sent, by its sender, in milliseconds since 1970."""

    encoded: bytes
    """The PDU in canonical JSON."""

    signed: bytes
    """The bytes that its servers sign."""

    content: Json
    state_key: str | None
    """None if it is not a state event."""

    depth: int
    prev_event_ids: tuple[EventId, ...]
    auth_event_ids: tuple[EventId, ...]

    @classmethod
    def parse(cls, pdu: Json, room_version: RoomVersion) -> Self:
        """Parse a PDU by the format of its room version.

        Raises `BadJson` or `InvalidParam` for its members, `TooLarge` for its size.
        """
        encode_json = _encoder(room_version)
        encoded = encode_json(pdu)
        if len(encoded) > MAX_EVENT_BYTES:
            raise TooLarge(
                f"the PDU has {len(encoded)} bytes; the limit is {MAX_EVENT_BYTES}"
            )
        if room_version.is_strict:
            check_numbers(pdu)
        form = read_form(pdu, room_version)
        signed = _signed(pdu, room_version, encode_json)
        own_id = _event_id(pdu, room_version, signed)
        return cls(
            pdu,
            room_version,
            own_id,
            form.type,
            UserId.parse(form.sender),
            _parse_room_id(pdu, room_version, own_id),
            form.origin_server_ts,
            encoded,
            signed,
            as_object(pdu["content"], "`content`"),
            form.state_key,
            form.depth,
            tuple(form.prev_events),
            tuple(form.auth_events),
        )

    @property
    def redacts(self) -> object:
        """The `redacts` member, where its room version has it; None if missing."""
        where = self.content if self.room_version.redacts_in_content else self.pdu
        return where.get("redacts")

    @property
    def id_is_hash(self) -> bool:
        """Whether the event ID is a hash of everything that the servers sign."""
        return self.room_version.id_format is not _SENT

    @property
    def is_third_party_invite(self) -> bool:
        """Whether it is an invite by a third-party identifier."""
        return (
            self.type == "m.room.member"
            and self.content.get("membership") == "invite"
            and "third_party_invite" in self.content
        )

    @property
    def required_signers(self) -> frozenset[ServerName]:
        """The servers that must all have signed the event.

        A third-party invite, which another server may create, needs no signature of the
        sender's. Raises `InvalidParam` if a restricted join names an invalid user ID.
        """
        signers: set[ServerName] = set()
        if not self.is_third_party_invite:
            signers.add(self.sender.server_name)
        if self.room_version.id_format is _SENT:
            signers.add(parse_event_domain(self.event_id))
        via = self.content.get(AUTHORISED_VIA)
        if (
            self.type == "m.room.member"
            and self.content.get("membership") == "join"
            and self.room_version.has_restricted_joins
            and isinstance(via, str)
        ):
            signers.add(UserId.parse(via).server_name)
        return frozenset(signers)

    @property
    def created_room_id(self) -> RoomId | None:
        """The ID of the room that this event creates; None if it creates none.

        Room Versions, "Authorization rules", 1: the room ID of a create event must
        have the sender's server as its domain.
        """
        is_create = self.type == "m.room.create" and self.state_key == ""
        if not is_create or self.prev_event_ids:
            return None
        _, _, domain = self.room_id.partition(":")
        if self.room_version.has_hash_room_id or domain == self.sender.server_name.name:
            return self.room_id
        return None

    @property
    def content_hash_matches(self) -> bool:
        """Whether the event has the content that `hashes` was computed over."""
        hashes = as_object(self.pdu["hashes"], "`hashes`")
        try:
            # Decoded bytes are compared, as some peers add padding.
            claimed = decode_base64(as_text(hashes["sha256"], "its sha256"))
        except BadJson:
            return False
        return claimed == content_hash(self.pdu, _encoder(self.room_version))


def _encoder(room_version: RoomVersion) -> _Encode:
    """The encoder for events of a room version whose numbers were checked."""
    return encode_integers if room_version.is_strict else encode


def _parse_room_id(pdu: Json, room_version: RoomVersion, own_id: EventId) -> RoomId:
    if room_version.has_hash_room_id and pdu["type"] == "m.room.create":
        if "room_id" in pdu:
            raise BadJson(
                "a create event of room version 12 must not have a `room_id`: its own "
                "hash is the room's ID"
            )
        return RoomId("!" + own_id[1:])
    parse = parse_room_id if room_version.has_hash_room_id else parse_named_room_id
    return parse(as_text(pdu.get("room_id", MISSING), "`room_id`"))
