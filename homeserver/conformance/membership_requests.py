"""The requests by which users of ours join, leave and knock at rooms of the target.

Rules: a template is signed as it came, so that what the target makes of it is seen;
members of it are changed where a check says so. Who joined or knocked leaves at the end
of the run.

Specification: Server-server API, "Joining Rooms", "Leaving Rooms (Rejecting Invites)",
"Knocking upon a room".
"""

from collections.abc import Sequence
from typing import Literal, TypedDict, Unpack
from urllib.parse import quote

import nacl.signing
from msgspec import Struct
from msgspec.structs import replace

from homeserver.conformance.documents import as_json
from homeserver.conformance.ours import Ours
from homeserver.conformance.reply import Reply
from homeserver.conformance.target import Target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.events.event import event_id, hash_and_sign
from homeserver.protocol.events.room_versions import (
    ROOM_VERSIONS,
    IdFormat,
    RoomVersion,
)
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.signing import SigningKey

Membership = Literal["join", "leave", "knock"]

ALL_VERSIONS = "&".join(f"ver={each}" for each in ROOM_VERSIONS)


def quoted(text: str) -> str:
    """A text as one step of a path, or one value of a query."""
    return quote(text, safe="")


def path(route: str, *steps: str, version: int = 1) -> str:
    """The path of a federation request."""
    return "/".join([f"/_matrix/federation/v{version}/{route}", *map(quoted, steps)])


def user_of(ours: Ours) -> str:
    """The user of a server of ours that takes part in rooms."""
    return f"@user:{ours.name}"


async def make(
    t: Target,
    ours: Ours,
    membership: Membership,
    room_id: str,
    *,
    user_id: str | None = None,
    query: str | None = ALL_VERSIONS,
) -> Reply:
    """The reply to `make_join` and its like; raises `NoAnswer` and `NotTestable`."""
    user_id = user_id or user_of(ours)
    where = path(f"make_{membership}", room_id, user_id)
    query = None if membership == "leave" else query
    return await t.request(ours, "GET", where, query=query)


def version_of(reply: Reply) -> RoomVersion | None:
    """The room version of a template; None for an unknown one."""
    found = reply.json.get("room_version", "1")
    return ROOM_VERSIONS.get(found) if isinstance(found, str) else None


def signed(ours: Ours, pdu: Json, version: RoomVersion) -> Json:
    """An event with our hash and signature, and in versions 1 and 2 a fresh ID."""
    return hash_and_sign(pdu, version, ours.name, [ours.key])


class MemberEvent(Struct, frozen=True):
    """A membership event of a user of ours, signed."""

    ours: Ours
    pdu: Json
    version: RoomVersion

    @property
    def id(self) -> EventId:
        """Its ID."""
        return id_of(self.pdu, self.version)

    def changed(self, **members: object) -> "MemberEvent":
        """The same with other members, hashed and signed again; not those of None."""
        changed = {**bare(self.pdu), **members}
        pdu = {name: value for name, value in changed.items() if value is not None}
        return replace(self, pdu=signed(self.ours, pdu, self.version))

    def signed_with(self, signatures: object) -> "MemberEvent":
        """The same with other signatures."""
        return replace(self, pdu={**self.pdu, "signatures": signatures})


def sign(t: Target, ours: Ours, reply: Reply, **members: object) -> MemberEvent:
    """The event of a template with other members, signed.

    What is no template gives an event that no server takes.
    """
    version = version_of(reply) or ROOM_VERSIONS["1"]
    template = reply.json.get("event")
    pdu: Json = dict(template) if isinstance(template, dict) else {}
    # Left out since v1.3 of the specification.
    pdu.pop("origin", None)
    pdu["origin_server_ts"] = ours.now_ts
    if version.id_format is IdFormat.SENT:
        pdu["event_id"] = f"${t.fresh('event')}:{ours.name}"
    return MemberEvent(ours, signed(ours, {**pdu, **members}, version), version)


def bare(pdu: Json) -> Json:
    """An event without its hash and its signatures."""
    return {k: v for k, v in pdu.items() if k not in {"hashes", "signatures"}}


def id_of(pdu: Json, version: RoomVersion) -> EventId:
    """The ID of an event of ours; of one that has none, a text that names nothing."""
    try:
        return event_id(pdu, version)
    except ProtocolError:
        return EventId("$none")


class Differs(TypedDict, total=False):
    """What of a request is not as the event has it."""

    room_id: str
    """In the path."""

    event_id: str
    """In the path."""

    query: str
    api: int
    """The version of the route, where it has two."""


async def put(
    t: Target, membership: Membership, event: MemberEvent, **differs: Unpack[Differs]
) -> Reply:
    """The reply to `send_join` and its like; raises `NoAnswer` and `NotTestable`.

    Who joins or knocks is noted before, because the reply may be lost.
    """
    room_id = differs.get("room_id") or str(event.pdu.get("room_id"))
    members, ours = t.ground.members, event.ours
    is_new = membership != "leave" and members.note(ours, room_id)
    where = path(
        f"send_{membership}",
        room_id,
        differs.get("event_id") or event.id,
        version=1 if membership == "knock" else differs.get("api", 2),
    )
    query = differs.get("query")
    reply = await t.request(ours, "PUT", where, content=event.pdu, query=query)
    if reply.is_ok if membership == "leave" else is_new and not reply.is_ok:
        members.forget(ours, room_id)
    return reply


def other_signatures(event: MemberEvent) -> Json:
    """Signatures by another key under the ID of the right one."""
    key_id = event.ours.key.key_id
    other = SigningKey(key_id, nacl.signing.SigningKey.generate())
    unsigned = bare(event.pdu)
    made = hash_and_sign(unsigned, event.version, event.ours.name, [other])
    return as_json(made["signatures"])


def events_in(reply: Reply, *members: str) -> Sequence[object]:
    """What lists of a reply have; a member that is no list has nothing."""
    lists = [reply.json.get(each) for each in members]
    return [event for each in lists if isinstance(each, list) for event in each]
