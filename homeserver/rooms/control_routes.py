"""The routes of the control API about the rooms of one of our servers.

Rules: as in `control.routes`. `rooms.control_changes` makes the changes.
"""

from collections.abc import Callable, Mapping
from itertools import islice, takewhile

from msgspec import UNSET, Raw, UnsetType

from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing
from homeserver.protocol.errors import (
    Forbidden,
    InvalidParam,
    NoServerHelps,
    NotFound,
    quote,
)
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.state import membership_of
from homeserver.rooms.control_bodies import (
    AtEvent,
    EventPage,
    GraphPage,
    RoomsPage,
    WithMembership,
)
from homeserver.rooms.control_changes import RoomChanges, room_in_path
from homeserver.rooms.control_memberships import RoomMemberships
from homeserver.rooms.control_views import (
    Graph,
    GraphEvent,
    ListedRoom,
    Members,
    MemberView,
    RoomEvents,
    RoomEventView,
    RoomList,
    RoomState,
    RoomView,
)
from homeserver.rooms.elsewhere import Elsewhere
from homeserver.rooms.entry import Entry, Sent
from homeserver.rooms.graph_rows import DRAWN, in_rows, node_of
from homeserver.rooms.room import Room
from homeserver.rooms.rooms import Rooms

_MEMBER = "m.room.member"
_ERRORS = (NotFound,)
_POST_ERRORS = (Forbidden, NotFound)
_ASKING_ERRORS = (*_POST_ERRORS, NoServerHelps)


class RoomsShown:
    """Answers what the control API is asked about the rooms of a server."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms

    async def list_rooms(self, call: Call[RoomsPage, Nothing]) -> RoomList:
        """The rooms that the server takes part in."""
        after, limit = call.query.after, call.query.limit
        rest = [each for each in await self._rooms.store.room_ids() if each > after]
        page = rest[:limit]
        is_last = len(rest) <= limit or limit == 0
        return RoomList([*map(ListedRoom, page)], None if is_last else page[-1])

    async def show(self, call: Call[Nothing, Nothing]) -> RoomView:
        """One room: its version, its servers and its ends."""
        return RoomView.of(await self._room(call.parameters))

    async def state(self, call: Call[AtEvent, Nothing]) -> RoomState:
        """The state of a room, now or at an event."""
        room = await self._room(call.parameters)
        at = call.query.at
        if at is None:
            if call.query.before:
                raise InvalidParam("`before` needs an event in `at`")
            found = room.current
        else:
            entry = _entry(room, at)
            number = entry.before if call.query.before else entry.after
            if number is None:
                raise NotFound(
                    f"the state at {quote(at)} is not known: it is an outlier"
                )
            found = room.states.map(number)
        # As it came, and as the rules go by it: redactions do not apply.
        state = [Raw(found[key].encoded) for key in sorted(found)]
        return RoomState(room.room_id, state)

    async def members(self, call: Call[WithMembership, Nothing]) -> Members:
        """The members of a room now, and those who were."""
        current = (await self._room(call.parameters)).current
        found = [
            MemberView(key, membership_of(event), event.event_id)
            for (kind, key), event in sorted(current.items())
            if kind == _MEMBER
        ]
        wanted = call.query.membership
        return Members([x for x in found if wanted in {None, x.membership}])

    async def graph(self, call: Call[GraphPage, Nothing]) -> Graph:
        """The events of a room, each with those that it comes after."""
        room = await self._room(call.parameters)
        after, limit = call.query.after, call.query.limit
        page = [
            GraphEvent.of(room, each)
            for each in islice(room.entries.values(), after, after + limit)
        ]
        end = after + len(page)
        is_last = not page or end >= len(room.entries)
        drawing: str | UnsetType = UNSET
        if call.query.format != "json":
            draw = DRAWN[call.query.format]
            drawing = draw([*map(node_of, in_rows(page))])
        rest = None if is_last else end
        return Graph(room.room_id, sorted(room.extremities), page, rest, drawing)

    async def events(self, call: Call[EventPage, Nothing]) -> RoomEvents:
        """The events of a room as they arrive; waits for a first one if asked to."""
        after, limit = call.query.after, call.query.limit

        async def look() -> RoomEvents:
            room = await self._room(call.parameters)
            page = list(islice(room.entries.values(), after, after + limit))
            found = await room.read([each.event_id for each in page])
            # Those that are not stored yet come later.
            stored = takewhile(lambda each: each.event_id in found, page)
            shown = [RoomEventView.of(Sent(found[x.event_id], x)) for x in stored]
            return RoomEvents(room.room_id, shown, after + len(shown))

        def has_one(found: RoomEvents) -> bool:
            return bool(found.events)

        changes = self._rooms.store.changes
        return await changes.until(look, has_one, call.query.wait)

    async def event(self, call: Call[Nothing, Nothing]) -> RoomEventView:
        """An event of a room as it came, with its verdict and the reason."""
        room = await self._room(call.parameters)
        entry = _entry(room, call.parameters["event_id"].decode("utf-8", "replace"))
        found = await room.read([entry.event_id])
        return RoomEventView.of(Sent(found[entry.event_id], entry))

    async def _room(self, parameters: Mapping[str, bytes]) -> Room:
        return await room_in_path(self._rooms, parameters)


def _entry(room: Room, event_id: str) -> Entry:
    entry = room.entries.get(EventId(event_id))
    if entry is None:
        raise NotFound(f"the room has no event {quote(event_id)}")
    return entry


def room_control_routes(
    rooms: Rooms, elsewhere: Callable[[], Elsewhere]
) -> list[ControlRoute]:
    """The rooms of a server; `elsewhere` takes its users into those of others."""
    changes, shown = RoomChanges(rooms, elsewhere), RoomsShown(rooms)
    memberships = RoomMemberships(elsewhere)
    every, one = "/v1/rooms", "/v1/rooms/{room_id}"
    return [
        route("POST", every, changes.create, errors=(Forbidden,)),
        route("GET", every, shown.list_rooms),
        route("GET", "/v1/invites", memberships.invites),
        route("GET", "/v1/knocks", memberships.knocks),
        route("GET", one, shown.show, errors=_ERRORS),
        route("POST", f"{one}/join", memberships.join, errors=_ASKING_ERRORS),
        route(
            "POST",
            f"{one}/backfill",
            changes.backfill,
            errors=(NoServerHelps, NotFound),
        ),
        route("POST", f"{one}/events", changes.send, errors=_POST_ERRORS),
        route("POST", f"{one}/knock", memberships.knock, errors=_ASKING_ERRORS),
        route("POST", f"{one}/invite", changes.invite, errors=_ASKING_ERRORS),
        route("POST", f"{one}/ban", changes.ban, errors=_POST_ERRORS),
        route("POST", f"{one}/leave", changes.leave, errors=_ASKING_ERRORS),
        route("POST", f"{one}/redact", changes.redact, errors=_POST_ERRORS),
        route("GET", f"{one}/state", shown.state, errors=_ERRORS),
        route("GET", f"{one}/members", shown.members, errors=_ERRORS),
        route("GET", f"{one}/graph", shown.graph, errors=_ERRORS),
        route("GET", f"{one}/events", shown.events, errors=_ERRORS),
        route("GET", f"{one}/events/{{event_id}}", shown.event, errors=_ERRORS),
    ]
