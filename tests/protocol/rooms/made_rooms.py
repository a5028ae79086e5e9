"""Rooms that a test makes event by event, each citing what the test says."""

from collections.abc import Sequence

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.events.event import Event, content_hash
from homeserver.protocol.events.room_versions import ROOM_VERSIONS, IdFormat
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.auth_graph import AuthGraph
from tests.protocol.rooms.vectors import reference

ALICE = "@alice:a.example"
BOB = "@bob:b.example"


class MadeRoom:
    """A room of a version, and the events that were made in it."""

    def __init__(
        self,
        version: str,
        creator: str = ALICE,
        more: Json | None = None,
        cites: Sequence[object] = (),
    ) -> None:
        """The content of the create event has `more`; its `auth_events` are `cites`."""
        self.version = ROOM_VERSIONS[version]
        self.events: dict[EventId, Event] = {}
        self._room_id = "!room:" + creator.partition(":")[2]
        content: Json = {"room_version": version, **(more or {})}
        if int(version) < 11:
            content["creator"] = creator
        self.create = self.send(
            "m.room.create", creator, content, cites=[], auth_events=list(cites)
        )
        self._room_id = self.create.room_id
        self.join = self.member(creator, "join", cites=[])

    @property
    def graph(self) -> AuthGraph:
        """The room, none of its events rejected."""
        return AuthGraph(self.version, self.events)

    def send(
        self,
        kind: str,
        sender: str,
        content: Json,
        state_key: str | None = "",
        *,
        cites: Sequence[Event],
        after: Sequence[Event] = (),
        ts: int = 1000,
        depth: int = 1,
        **more: object,
    ) -> Event:
        """Make an event that cites these auth events, and the create event."""
        prev = after or list(self.events.values())[-1:]
        pdu: Json = {
            "type": kind,
            "sender": sender,
            "content": content,
            "origin_server_ts": ts,
            "depth": depth,
            "prev_events": [reference(each) for each in prev],
            "auth_events": [reference(each) for each in self._cited(kind, cites)],
            "signatures": {},
        }
        if state_key is not None:
            pdu["state_key"] = state_key
        if kind != "m.room.create" or not self.version.has_hash_room_id:
            pdu["room_id"] = self._room_id
        if self.version.id_format is IdFormat.SENT:
            pdu["event_id"] = f"${len(self.events)}:{sender.partition(':')[2]}"
        pdu |= more
        pdu["hashes"] = {"sha256": encode_base64(content_hash(pdu))}
        event = Event.parse(pdu, self.version)
        self.events[event.event_id] = event
        return event

    def member(
        self, user: str, membership: str, *, sender: str = "", cites: Sequence[Event]
    ) -> Event:
        """Make a member event of a user, sent by that user unless said otherwise."""
        content: Json = {"membership": membership}
        return self.send("m.room.member", sender or user, content, user, cites=cites)

    def _cited(self, kind: str, cites: Sequence[Event]) -> list[Event]:
        if kind == "m.room.create" or self.version.has_hash_room_id:
            return list(cites)
        return [self.create, *cites]
