"""Joining a room: one of ours, or one that other servers are in.

Rules: one join of a room at a time. A room that no user of ours is in is joined through
another server: its template is compared with what was asked for, signed and sent, and
its reply checked; then the room is written in one commit. Nothing is written of a reply
from which the join is not allowed. A user whom our own events may let in needs no other
server.

Specification: Server-server API, "Joining Rooms", "Restricted rooms"; Room Versions.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct

from homeserver.net.cause import OURSELVES
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import BadJson, Forbidden, quote
from homeserver.protocol.events.event import AUTHORISED_VIA, Event
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import EventId, RoomId, ServerName, UserId
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.restricted_joins import (
    UnableToAuthoriseJoin,
    UnableToGrantJoin,
    needs_authorisation,
)
from homeserver.protocol.rooms.templates import Wanted
from homeserver.rooms.candidates import Candidates, Failure, domain_of_room
from homeserver.rooms.entry import Entry
from homeserver.rooms.join_reply import DECISIVE, JoinReply, JoinReplyReader, LeftOut
from homeserver.rooms.remote_server import RemoteServer
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room
from homeserver.rooms.turn import Turn


class Joined(Struct, frozen=True):
    """A join that is part of its room here."""

    room: Room
    event_id: EventId
    server_name: ServerName | None
    """The server that it was made through; None for a room of ours."""

    failures: Sequence[Failure] = ()
    """The servers that were asked before."""

    left_out: Sequence[LeftOut] = ()
    """What the server sent of the room that is not taken in."""


class Joiner:
    """Joins rooms as users of one of our servers."""

    def __init__(self, resident: Resident, reader: JoinReplyReader) -> None:
        """`resident` is the server where it is in rooms."""
        self._resident = resident
        self._rooms = resident.rooms
        self._reader = reader

    async def join(
        self,
        room_id: RoomId,
        user: UserId,
        via: Iterable[ServerName] = (),
        profile: Mapping[str, str] | None = None,
    ) -> Joined:
        """Let a user of ours join a room; `via` are servers that are in it.

        `profile` has members of the content. Raises `Forbidden`, `InvalidParam`,
        `NoServerHelps` and other `ProtocolError`s, and `StoreUnavailable`.
        """
        content = dict(profile or {})
        async with self._rooms.joins.turn(room_id):
            room = await self._rooms.find(room_id)
            own = self._rooms.server_name
            names = list(via)
            if room is not None:
                if room.has_member(own):
                    try:
                        return await self._join_here(room, user, content)
                    except (UnableToAuthoriseJoin, UnableToGrantJoin):
                        pass  # another server of the room may
                names += sorted(room.residents, key=str)
            joined = await self._join_there(room_id, user, names, content)
        await self._resident.pending.remove_joined(room_id, user)
        return joined

    async def _join_here(
        self, room: Room, user: UserId, profile: Mapping[str, str]
    ) -> Joined:
        content: Json = {**profile, "membership": "join"}
        if needs_authorisation(room.current, room.room_version, user):
            by = await self._resident.authorising_user(room, user)
            content[AUTHORISED_VIA] = by.user_id
        new = NewEvent("m.room.member", user, content, user.user_id)
        sent = await self._rooms.send(room.room_id, new)
        return Joined(room, sent.event.event_id, None)

    async def _join_there(
        self,
        room_id: RoomId,
        user: UserId,
        names: Sequence[ServerName],
        profile: Mapping[str, str],
    ) -> Joined:
        await self._rooms.check_space()
        invite = await self._resident.pending.find(room_id, user)
        inviting = [] if invite is None else [invite.origin]
        candidates = Candidates(
            self._rooms.server_name, [*names, *inviting, *domain_of_room(room_id)]
        )

        async def through(name: ServerName) -> Joined:
            return await self._through(name, Wanted("join", room_id, user), profile)

        joined = await candidates.ask(f"{user} cannot join {quote(room_id)}", through)
        return Joined(
            joined.room,
            joined.event_id,
            joined.server_name,
            list(candidates.failures),
            joined.left_out,
        )

    async def _through(
        self, name: ServerName, wanted: Wanted, profile: Mapping[str, str]
    ) -> Joined:
        server = RemoteServer(self._resident.calls, name)
        join = self._rooms.author.completed(await server.template(wanted), profile)
        text = await server.send("join", join)
        reply = await self._reader.read(text, join, name, OURSELVES)
        del text  # as large as the room
        return await self._enter(reply, name)

    async def _enter(self, reply: JoinReply, name: ServerName) -> Joined:
        """Write a room as a reply has it; raises `Forbidden` and `BadJson`."""
        join, left_out = await self._recommended(reply.join), list(reply.left_out)
        events = {each.event_id: each for each in reply.auth_chain}
        events |= {each.event_id: each for each in reply.state.values()}
        async with self._first_turn(join.room_id, join.room_version) as turn:
            unknown = await turn.know_all(list(events.values()))
            why = {each.event_id: "its `auth_events` are not there" for each in unknown}
            state = {}
            for key, event in reply.state.items():
                entry = turn.room.entries.get(event.event_id)
                if entry is not None and entry.outcome is Outcome.REJECTED:
                    why[event.event_id] = f"rule {entry.rule}: {entry.why}"
                if event.event_id not in why:
                    state[key] = event
                elif key in DECISIVE:
                    raise BadJson(f"the {key[0]} event: {why[event.event_id]}")
            left_out += [LeftOut(key, reason) for key, reason in why.items()]
            entry = await self._begin(turn, join, state)
            if entry.outcome is not Outcome.ACCEPTED:
                raise Forbidden(
                    "the state of the room does not allow the join: "
                    f"rule {entry.rule}: {entry.why}"
                )
        return Joined(turn.room, join.event_id, name, (), left_out)

    async def _recommended(self, join: Event) -> Event:
        """The join with the signature that a policy server of a known room has to give.

        Raises `Forbidden` if it does not.
        """
        room = await self._rooms.find(join.room_id)
        if room is None or not room.has_member(self._rooms.server_name):
            return join
        return await self._rooms.recommend(join, room.current, OURSELVES)

    async def _begin(
        self, turn: Turn, join: Event, state: Mapping[tuple[str, str], Event]
    ) -> Entry:
        try:
            if turn.room.has_member(self._rooms.server_name):
                return await turn.place(join, state, is_old=False)
            return await turn.begin(join, state)
        except UnknownAuthEvent as problem:
            raise BadJson(f"the join cannot be judged: {problem}") from None

    @asynccontextmanager
    async def _first_turn(
        self, room_id: RoomId, room_version: RoomVersion
    ) -> AsyncIterator[Turn]:
        """The turn of a room that is new, or that is known from before."""
        async with AsyncExitStack() as stack:
            if await self._rooms.find(room_id) is None:
                first = self._rooms.begin(room_id, room_version)
            else:
                first = self._rooms.turn(room_id)
            turn = await stack.enter_async_context(first)
            if turn.room.room_version != room_version:
                known = turn.room.room_version.version
                raise BadJson(f"the room is known here with version {known}")
            yield turn
