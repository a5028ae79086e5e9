"""A server that is asked for the events of a room.

Rules: every event of a reply passes the checks of form, signatures and content hash,
and those of other rooms are left out. What a server does not have is no error. The
number of events that are read of a reply is bounded, and that of the requests and of
the servers whose keys are fetched: each method raises `TooMuch` beyond it. An ID is
asked for if it has the length of one.

Specification: Server-server API, "Backfilling and retrieving missing events",
"Retrieving events".
"""

from collections.abc import Collection, Sequence

from msgspec import Struct

from homeserver.net.cause import Cause
from homeserver.outbound.calls import USUAL, WHOLE_STATE, Call, FederationCalls
from homeserver.outbound.client import Limits
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.targets import federation_target
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.federation_paths import V1
from homeserver.protocol.identifiers import MAX_ID_BYTES, EventId, ServerName
from homeserver.rooms.checking import MAX_SIGNERS, EventChecks, signers
from homeserver.rooms.room import Room

Events = dict[EventId, Event]

MAX_MISSING = 20  # events of get_missing_events: as Synapse has it
MAX_BACKFILL = 100  # the same
MAX_STATE = 20_000  # events of a state, and of its auth chain

MAX_REQUESTS = 200  # to one server, for one purpose


class TooMuch(Exception):
    """A server is asked no more, and something still lacks; `str()` says why."""


class StateIds(Struct, frozen=True):
    """A state and its auth chain, by the IDs of their events."""

    state: Sequence[EventId]
    auth_chain: Sequence[EventId]


class Source:
    """One server, asked about one room."""

    def __init__(
        self,
        calls: FederationCalls,
        checks: EventChecks,
        room: Room,
        server_name: ServerName,
        cause: Cause,
    ) -> None:
        """Requests are charged to `cause`."""
        self._calls = calls
        self._checks = checks
        self._room = room
        self._server_name = server_name
        self._cause = cause
        self._left = MAX_REQUESTS
        self._signers: set[str] = set()

    async def missing_events(
        self, earliest: Collection[EventId], latest: Sequence[EventId]
    ) -> Events:
        """Events before `latest`; raises `Unreachable` and `Refused`."""
        call = Call(
            method="POST",
            path=federation_target("get_missing_events", self._room.room_id),
            route=f"{V1}/get_missing_events/{{roomId}}",
            content={
                "earliest_events": sorted(earliest)[:MAX_MISSING],
                "latest_events": list(latest)[-MAX_MISSING:],
                "limit": MAX_MISSING,
                "min_depth": 0,
            },
        )
        return await self._events(call, "events", MAX_MISSING)

    async def backfill(self, starts: Sequence[EventId], limit: int) -> Events:
        """Events and those before them; raises `Unreachable` and `Refused`."""
        limit = min(limit, MAX_BACKFILL)
        usable = [("v", each) for each in starts if _is_short(each)]
        if not usable:
            return {}
        call = Call(
            method="GET",
            path=federation_target("backfill", self._room.room_id),
            route=f"{V1}/backfill/{{roomId}}",
            query=[*usable, ("limit", str(limit))],
            limits=Limits(limit * 70_000 + 10_000, USUAL.seconds),
        )
        return await self._events(call, "pdus", limit)

    async def event(self, event_id: EventId) -> Events:
        """One event, if the server has it; raises `Unreachable`."""
        if not _is_short(event_id):
            return {}
        call = Call(
            method="GET",
            path=federation_target("event", event_id),
            route=f"{V1}/event/{{eventId}}",
        )
        try:
            found = await self._events(call, "pdus", 1)
        except Refused:
            return {}
        return {key: event for key, event in found.items() if key == event_id}

    async def auth_chain(self, event_id: EventId) -> Events:
        """The auth chain of an event, if the server has it; raises `Unreachable`."""
        call = Call(
            method="GET",
            path=federation_target("event_auth", self._room.room_id, event_id),
            route=f"{V1}/event_auth/{{roomId}}/{{eventId}}",
            limits=WHOLE_STATE,
        )
        try:
            return await self._events(call, "auth_chain", MAX_STATE)
        except Refused:
            return {}

    async def state_ids(self, event_id: EventId) -> StateIds:
        """The state before an event, whole; raises `Unreachable` and `Refused`."""
        reply = await self._ask(self._state_call("state_ids", event_id))
        return StateIds(self._ids(reply, "pdu_ids"), self._ids(reply, "auth_chain_ids"))

    async def state(self, event_id: EventId) -> Events:
        """The same with all events; raises `Unreachable` and `Refused`."""
        reply = await self._ask(self._state_call("state", event_id))
        chain = await self._checked(reply.get("auth_chain"), MAX_STATE)
        return chain | await self._checked(reply.get("pdus"), MAX_STATE)

    def _ids(self, reply: Json, member: str) -> list[EventId]:
        found = reply.get(member)
        items = found if isinstance(found, list) else []
        if len(items) > MAX_STATE:
            raise TooMuch(f"`{member}` has more than {MAX_STATE} IDs")
        ids = [EventId(each) for each in items if isinstance(each, str)]
        if len(ids) < len(items):
            why = f"`{member}` has what is no ID"
            raise Refused(self._server_name, 200, None, why)
        return ids

    def _state_call(self, route: str, event_id: EventId) -> Call:
        return Call(
            method="GET",
            path=federation_target(route, self._room.room_id),
            route=f"{V1}/{route}/{{roomId}}",
            query=[("event_id", event_id)],
            limits=WHOLE_STATE,
        )

    async def _events(self, call: Call, member: str, most: int) -> Events:
        reply = await self._ask(call)
        return await self._checked(reply.get(member), most)

    async def _ask(self, call: Call) -> Json:
        if not self._left:
            raise TooMuch("it was asked too often")
        self._left -= 1
        return await self._calls.ask(self._server_name, call, self._cause)

    async def _checked(self, pdus: object, most: int) -> Events:
        items = pdus if isinstance(pdus, list) else []
        objects = [each for each in items[:most] if isinstance(each, dict)]
        self._signers |= signers(objects)
        if len(self._signers) > MAX_SIGNERS:
            raise TooMuch(f"its events name more than {MAX_SIGNERS} servers")
        return await self._checks.of_room(
            objects, self._room, self._server_name, self._cause
        )


def _is_short(event_id: str) -> bool:
    """Whether an ID has the length of one; an event may cite a longer text."""
    return len(event_id.encode("utf-8")) <= MAX_ID_BYTES
