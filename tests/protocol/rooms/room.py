"""A room of a few users, of whom each may do something else.

Its state is what a test makes it: nothing is checked when it is set.
"""

from collections.abc import Sequence
from typing import Self

from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.events.event import Event, content_hash
from homeserver.protocol.events.room_versions import ROOM_VERSIONS, IdFormat
from homeserver.protocol.identifiers import EventId, RoomId
from homeserver.protocol.rooms.auth_events import auth_keys, select_auth_events
from homeserver.protocol.rooms.authorization import Allowed, check_by_auth_events
from homeserver.protocol.rooms.rules import CitedEvents
from homeserver.protocol.rooms.state import StateKey
from homeserver.protocol.rooms.switches import SWITCHES, Switches
from tests.protocol.rooms.vectors import reference

ALICE = "@alice:a.example"  # the creator, with a power of 100 or more
BOB = "@bob:b.example"  # in the room, 50
CAROL = "@carol:c.example"  # in the room, 50
DAN = "@dan:d.example"  # in the room, 0
INA = "@ina:i.example"  # invited
OLIVE = "@olive:o.example"  # never there
BART = "@bart:x.example"  # banned


class Room:
    """A room of a version, and the state that holds in it."""

    def __init__(self, version: str = "12", **create: object) -> None:
        self.version = ROOM_VERSIONS[version]
        self.room_id = RoomId("!room:a.example")
        self.state: dict[StateKey, Event] = {}
        self.known: dict[EventId, Event] = {}
        self.rejected: set[EventId] = set()
        self.last: list[Event] = []
        self._made = 0
        content: Json = {"creator": ALICE, "room_version": version, **create}
        self.create = self.make("m.room.create", ALICE, content, "")
        self.room_id = self.create.room_id
        self.set("m.room.create", ALICE, content, "", event=self.create)
        self.member(ALICE, "join")
        self._levels: Json = {"users": {ALICE: 100, BOB: 50, CAROL: 50}}
        if version == "12":
            self._levels = {"users": {BOB: 50, CAROL: 50}}
        self.levels()
        self.join_rule("invite")
        for user in (BOB, CAROL, DAN):
            self.member(user, "join")
        self.member(INA, "invite", by=ALICE)
        self.member(BART, "ban", by=ALICE)

    def make(
        self,
        kind: str,
        sender: str,
        content: Json,
        key: str | None = None,
        *,
        auth: Sequence[Event] | None = None,
        **members: object,
    ) -> Event:
        """An event on the state that holds; it is not put into it."""
        if auth is None:
            keys = auth_keys(kind, sender, key, content, self.version)
            auth = select_auth_events(keys, self.state)
        self._made += 1
        pdu: Json = {
            "type": kind,
            "sender": sender,
            "room_id": self.room_id,
            "content": content,
            "origin_server_ts": self._made,
            "depth": self._made,
            "prev_events": [reference(x) for x in self.last],
            "auth_events": [reference(x) for x in auth],
            "signatures": {},
        }
        if key is not None:
            pdu["state_key"] = key
        if self.version.id_format is IdFormat.SENT:
            pdu["event_id"] = f"${self._made}:{sender.partition(':')[2]}"
        if kind == "m.room.create":
            pdu["prev_events"] = []
            if self.version.has_hash_room_id:
                del pdu["room_id"]
        pdu |= members
        pdu["hashes"] = {"sha256": encode_base64(content_hash(pdu))}
        event = Event.parse(pdu, self.version)
        self.known |= {event.event_id: event} | {x.event_id: x for x in auth}
        return event

    def set(
        self,
        kind: str,
        sender: str,
        content: Json,
        key: str = "",
        *,
        event: Event | None = None,
    ) -> Self:
        """Put an event into the state."""
        made = event or self.make(kind, sender, content, key)
        self.state[(kind, key)] = made
        self.last = [made]
        return self

    def without(self, kind: str, key: str = "") -> Self:
        """Take an event out of the state."""
        del self.state[(kind, key)]
        return self

    def levels(self, **changes: object) -> Self:
        """Set power levels, the users' as before unless others are given."""
        return self.set("m.room.power_levels", ALICE, {**self._levels, **changes})

    def new_levels(self, sender: str, **changes: object) -> Event:
        """Power levels that a user sends: those that hold, with some changes."""
        before = self.state.get(("m.room.power_levels", ""))
        old = {} if before is None else before.content
        content = {k: v for k, v in {**old, **changes}.items() if v is not None}
        return self.make("m.room.power_levels", sender, content, "")

    def join_rule(self, rule: object) -> Self:
        """Set the join rule."""
        return self.set("m.room.join_rules", ALICE, {"join_rule": rule})

    def member(self, user: str, membership: str, by: str | None = None) -> Self:
        """Set the membership of a user."""
        content: Json = {"membership": membership}
        return self.set("m.room.member", by or user, content, user)

    def membership(
        self, sender: str, target: str, membership: str, **content: object
    ) -> Event:
        """A member event."""
        return self.make(
            "m.room.member", sender, {"membership": membership, **content}, target
        )

    def cited(self, event: Event) -> CitedEvents:
        """The auth events of an event that this room knows."""
        auth = [self.known[x] for x in event.auth_event_ids]
        create = self.create if self.version.has_hash_room_id else None
        return CitedEvents(auth, create, self.rejected)

    def check(self, event: Event, switches: Switches = SWITCHES) -> Allowed:
        """Judge an event by its auth events."""
        return check_by_auth_events(event, self.cited(event), switches)
