"""Making events of our own: their place in the room, hashes and signatures.

Rules: an event is what the rules of its room version demand, unless the caller gives
members of its own. The caller judges it before it is entered or sent.

Specification: Server-server API, "PDUs", "Auth events selection".
"""

import string
from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime

from homeserver.identity.identity import Identity
from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event, redact
from homeserver.protocol.events.room_versions import IdFormat, RoomVersion
from homeserver.protocol.identifiers import EventId, RoomId, ServerName
from homeserver.protocol.rooms.building import (
    NewEvent,
    Place,
    build_pdu,
    check_own,
    choose_prev_events,
    reference,
    sign_event,
)
from homeserver.protocol.rooms.templates import Template
from homeserver.protocol.signing import sign
from homeserver.rooms.room import Room

_OPAQUE = string.ascii_letters
_OPAQUE_CHARACTERS = 18


class Given(Struct, frozen=True, kw_only=True):
    """What the caller decides about an event of ours, where it does."""

    prev_events: Sequence[EventId] | None = None
    """In place of the forward extremities; the state before follows from them."""

    auth_events: Sequence[EventId] | None = None
    depth: int | None = None
    origin_server_ts: int | None = None
    destinations: Collection[ServerName] | None = None
    """In place of the servers in the room."""

    is_checked: bool = True
    """Whether an event that the rules do not allow is refused, and not made."""

    asks_policy: bool = True
    """Whether the policy server of the room, if any, is asked for its signature."""

    @property
    def is_at_end(self) -> bool:
        """Whether its place in the room is the usual one."""
        return self.prev_events is None and self.auth_events is None


USUAL = Given()


class Author:
    """Makes the events of one of our servers."""

    def __init__(
        self, identity: Callable[[], Identity], clock: IReactorTime, random: Random
    ) -> None:
        """`identity` is called for each event, because keys may change."""
        self._identity = identity
        self._clock = clock
        self._random = random
        self._created_ts = 0

    @property
    def server_name(self) -> ServerName:
        """Our name."""
        return self._identity().server_name

    def now_ts(self) -> int:
        """The time in milliseconds since 1970."""
        return wall_ts(self._clock)

    def create_ts(self) -> int:
        """The time for a create event.

        It differs each time: equal create events are one room in version 12.
        """
        self._created_ts = max(self._created_ts + 1, self.now_ts())
        return self._created_ts

    def new_room_id(self) -> RoomId:
        """A new room ID of versions 1 to 11."""
        return RoomId(f"!{self._opaque()}:{self.server_name}")

    def new_event_id(self, room_version: RoomVersion) -> EventId | None:
        """A new event ID, which room versions 1 and 2 need; None for others."""
        if room_version.id_format is not IdFormat.SENT:
            return None
        return EventId(f"${self._opaque()}:{self.server_name}")

    async def template(self, room: Room, new: NewEvent) -> Json:
        """An event at the end of a room, without hashes and signatures.

        Raises `NotAllowed`, or another `ProtocolError` for a wrong form.
        """
        place = await self._place(room, None)
        pdu = build_pdu(new, place, self.now_ts())
        check_own(pdu, place, room.switches)
        return pdu

    async def make(self, room: Room, new: NewEvent, given: Given = USUAL) -> Event:
        """An event of a room, hashed and signed; raises as `template`."""
        return self.sign(await self.draft(room, new, given), room.room_version)

    async def draft(self, room: Room, new: NewEvent, given: Given = USUAL) -> Json:
        """An event of a room, without hashes and signatures.

        One whose place is as usual is checked, unless `given` says otherwise. Raises as
        `template`.
        """
        place = await self._place(room, given.prev_events)
        now_ts = given.origin_server_ts
        pdu = build_pdu(
            new,
            place,
            self.now_ts() if now_ts is None else now_ts,
            self.new_event_id(room.room_version),
        )
        if given.is_checked and given.is_at_end:
            check_own(pdu, place, room.switches)
        if given.prev_events is not None:
            pdu["prev_events"] = await self._references(room, given.prev_events)
        if given.auth_events is not None:
            pdu["auth_events"] = await self._references(room, given.auth_events)
        if given.depth is not None:
            pdu["depth"] = given.depth
        return pdu

    def completed(self, template: Template, profile: Mapping[str, str]) -> Event:
        """The event of another server's template, hashed and signed by us.

        `profile` is as in `Template.complete`. Raises `ProtocolError` for a wrong form.
        """
        version = template.room_version
        event_id = self.new_event_id(version)
        pdu = template.complete(profile, self.now_ts(), event_id)
        return self.sign(pdu, version)

    def sign(self, pdu: Json, room_version: RoomVersion) -> Event:
        """Hash and sign an event; raises `ProtocolError` for a wrong form."""
        identity = self._identity()
        return sign_event(
            pdu, room_version, identity.server_name, identity.signing_keys
        )

    def countersigned(self, event: Event) -> Json:
        """An event of another server with our signatures beside those that it has."""
        identity = self._identity()
        signed = sign(
            redact(event.pdu, event.room_version),
            identity.server_name,
            identity.signing_keys,
        )
        return {**event.pdu, "signatures": signed["signatures"]}

    async def _place(self, room: Room, prev: Sequence[EventId] | None) -> Place:
        found = await room.read(list(room.extremities) if prev is None else prev)
        events = list(found.values())
        if prev is None:
            events = choose_prev_events(events)
        known = [
            x.event_id for x in events if room.number_after(x.event_id) is not None
        ]
        number = await room.number_before(known)
        if number is None or not known:
            number = room.current_number
        return Place(room.room_version, room.room_id, events, room.states.map(number))

    async def _references(
        self, room: Room, event_ids: Sequence[EventId]
    ) -> list[object]:
        found = await room.read(event_ids)
        is_pair = room.room_version.id_format is IdFormat.SENT
        return [
            reference(found[each]) if each in found else [each, {}] if is_pair else each
            for each in event_ids
        ]

    def _opaque(self) -> str:
        return "".join(self._random.choices(_OPAQUE, k=_OPAQUE_CHARACTERS))
