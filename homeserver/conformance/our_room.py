"""A room of ours that no other server is in, for invites to it.

Rules: it has what a room has after its creation: each event is well-formed, hashed,
signed, and allowed by the rules of its version. Nobody can join it: the servers of the
lab answer nothing about rooms.

Specification: Client-server API, "Creation".
"""

from collections.abc import Callable, Sequence

from msgspec import Struct

from homeserver.conformance.ours import Ours
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import (
    ROOM_VERSIONS,
    IdFormat,
    RoomVersion,
)
from homeserver.protocol.identifiers import EventId, RoomId, UserId
from homeserver.protocol.rooms.building import NewEvent, Place, build_pdu, sign_event
from homeserver.protocol.rooms.creation import build_create, opening_events
from homeserver.protocol.rooms.state import state_of


class OurRoom(Struct, frozen=True):
    """A room of one user of a server of ours."""

    ours: Ours
    room_version: RoomVersion
    fresh: Callable[[], str]
    """Makes a text that no other event has."""

    events: Sequence[Event]
    """All of its events, each after the one that it cites."""

    @classmethod
    def create(cls, ours: Ours, version: str, fresh: Callable[[], str]) -> "OurRoom":
        """A new room of a version, to which users have to be invited."""
        room_version = ROOM_VERSIONS[version]
        empty = cls(ours, room_version, fresh, [])
        ids = (RoomId(f"!{fresh()}:{ours.name}"), empty.new_event_id())
        creator, now_ts = empty.creator, ours.now_ts
        pdu = build_create(creator, room_version, now_ts, ids=ids)
        events = [empty.sign(pdu)]
        for new in opening_events(creator, room_version):
            room = cls(ours, room_version, fresh, events)
            events.append(room.sign(room.build(new)))
        return cls(ours, room_version, fresh, events)

    @property
    def creator(self) -> UserId:
        """Its only user."""
        return UserId.parse(f"@user:{self.ours.name}")

    @property
    def room_id(self) -> RoomId:
        """Its ID."""
        return self.events[0].room_id

    def new_event_id(self) -> EventId | None:
        """An ID for the next event, in the versions that need one."""
        if self.room_version.id_format is not IdFormat.SENT:
            return None
        return EventId(f"${self.fresh()}:{self.ours.name}")

    def build(self, new: NewEvent) -> Json:
        """An event at the end of the room, without hashes and signatures."""
        place = Place(
            self.room_version, self.room_id, self.events[-1:], state_of(self.events)
        )
        return build_pdu(new, place, self.ours.now_ts, self.new_event_id())

    def sign(self, pdu: Json) -> Event:
        """An event of the room, hashed and signed; raises `ProtocolError`."""
        ours = self.ours
        return sign_event(pdu, self.room_version, ours.name, [ours.key])

    def invite(self, user_id: str) -> Json:
        """The invite of a user by the creator, without hashes and signatures."""
        content: Json = {"membership": "invite"}
        return self.build(NewEvent("m.room.member", self.creator, content, user_id))

    @property
    def shown_state(self) -> list[Json]:
        """What comes with an invite: the create event, the creator, the join rules."""
        shown = ("m.room.create", "m.room.member", "m.room.join_rules")
        return [event.pdu for event in self.events if event.type in shown]
