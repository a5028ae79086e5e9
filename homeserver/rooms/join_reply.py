"""The reply to a join: the state before it, and the auth chain of that.

Rules: a reply is read in slices and without its whole tree, as it is as large as the
room. Each event has to pass the checks of form, signatures and content hash. One that
does not is left out, and the reply is refused if the rules of the room rest on it. A
reply is refused as a whole for another join, for a state without the right create
event, and for a state that was not asked for: one without its members.

Specification: Server-server API, "Joining Rooms"; Room Versions.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from homeserver.net.cause import Cause
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.errors import BadJson, ProtocolError, TooLarge, listed, quote
from homeserver.protocol.events.event import AUTHORISED_VIA, Event
from homeserver.protocol.identifiers import EventId, ServerName, UserId
from homeserver.protocol.rooms.state import (
    CREATE,
    JOIN_RULES,
    POWER_LEVELS,
    StateMap,
    key_of,
)
from homeserver.protocol.rooms.templates import add_countersignature
from homeserver.rooms.checking import MAX_SIGNERS, EventChecks, signers

MAX_EVENTS = 50_000  # of a state with its auth chain: some 400 MB of memory

# Commas and brackets, which bound the values in memory: events have about thirty.
_MAX_VALUES = 4_000_000

DECISIVE = frozenset({CREATE, POWER_LEVELS, JOIN_RULES})
"""The state by which other events are judged: a room is not joined without it."""


class LeftOut(Struct, frozen=True):
    """An event of a reply that is not part of the room here."""

    event_id: EventId | None
    """None if it has no form in which it could have an ID."""

    why: str


class _Head(Struct):
    """What any event has: it bounds the number of events in so many bytes."""

    type: str
    sender: str
    depth: int
    origin_server_ts: int | float


class _Counted(Struct):
    state: list[_Head]
    auth_chain: list[_Head]


class _Reply(Struct):
    state: list[Raw]
    auth_chain: list[Raw]
    event: Raw | UnsetType = UNSET
    members_omitted: bool = False


class JoinReply(Struct, frozen=True):
    """A reply that is checked, but for the rules of the room."""

    join: Event
    """With the signature of the server that authorised it, if one had to."""

    state: StateMap
    """That before the join."""

    auth_chain: Sequence[Event]
    left_out: Sequence[LeftOut]


class JoinReplyReader:
    """Reads replies for one of our servers."""

    def __init__(self, checks: EventChecks, pace: Pace) -> None:
        """`pace` is that of all long work."""
        self._checks = checks
        self._pace = pace

    async def read(
        self, text: bytes, join: Event, origin: ServerName, cause: Cause
    ) -> JoinReply:
        """The reply of `origin` to a join of ours.

        Raises `ProtocolError` if no room can be made of it.
        """
        reply = _decode(text)
        if reply.members_omitted:
            raise BadJson("`members_omitted` is true, which was not asked for")
        signed = await self._signed(reply, join, origin, cause)
        left_out: list[LeftOut] = []
        listed_state = await self._parsed(reply.state, left_out)
        listed_chain = await self._parsed(reply.auth_chain, left_out)
        _check_servers([*listed_state, *listed_chain])

        async def checked(pdus: Sequence[Json]) -> dict[EventId, Event]:
            room = join.room_id, join.room_version
            found, problems = await self._checks.all_of_room(pdus, room, origin, cause)
            for number, why in problems.items():
                _check_is_dispensable(pdus[number], why)
                left_out.append(LeftOut(_id_of(pdus[number], join), why))
            return found

        state = _state(await checked(listed_state))
        chain = await checked(listed_chain)
        _check_create(state, chain)
        return JoinReply(signed, state, list(chain.values()), left_out)

    async def _signed(
        self, reply: _Reply, join: Event, origin: ServerName, cause: Cause
    ) -> Event:
        """The join, with the signature that it needs of another server."""
        version = join.room_version
        via = join.content.get(AUTHORISED_VIA)
        if isinstance(reply.event, UnsetType):
            if via is not None:
                raise BadJson("there is no `event`, which needs another signature")
            return join
        answered = Event.parse(parse_object(bytes(reply.event)), version)
        if answered.signed != join.signed:
            raise BadJson(f"`event` is another one: {quote(answered.event_id)}")
        if not isinstance(via, str) or not version.has_restricted_joins:
            return join
        name = UserId.parse(via).server_name
        signed = add_countersignature(join, answered, name)
        return await self._checks.one(signed.pdu, version, origin, cause)

    async def _parsed(
        self, texts: Sequence[Raw], left_out: list[LeftOut]
    ) -> list[Json]:
        """The objects of a list; texts that are none are added to `left_out`."""
        pdus: list[Json] = []
        for each in texts:
            await self._pace.pause()
            try:
                pdus.append(parse_object(bytes(each)))
            except ProtocolError as problem:
                left_out.append(LeftOut(None, str(problem)))
        return pdus


def _check_is_dispensable(pdu: Json, why: str) -> None:
    kind, key = pdu.get("type"), pdu.get("state_key")
    if isinstance(kind, str) and isinstance(key, str) and (kind, key) in DECISIVE:
        raise BadJson(f"the {kind} event of the reply: {why}")


def _check_servers(pdus: Sequence[Json]) -> None:
    """Raise `TooLarge` if too many servers have to have signed events."""
    number = len(signers(pdus))
    if number > MAX_SIGNERS:
        raise TooLarge(
            f"{number} servers have signed events of the room; the keys of "
            f"{MAX_SIGNERS} are fetched here at most"
        )


def _decode(text: bytes) -> _Reply:
    values = sum(map(text.count, (b",", b"[", b"{")))
    if values > _MAX_VALUES:
        raise TooLarge(f"the reply has some {values} values; {_MAX_VALUES} are allowed")
    try:
        counted = msgspec.json.decode(text, type=_Counted)
        number = len(counted.state) + len(counted.auth_chain)
        if number > MAX_EVENTS:
            raise TooLarge(
                f"the room has {number} events in its state and the auth chain of "
                f"that; {MAX_EVENTS} are joined here at most"
            )
        return msgspec.json.decode(text, type=_Reply)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as problem:
        raise BadJson(f"not the reply to a join: {problem}") from None


def _state(events: Mapping[EventId, Event]) -> dict[tuple[str, str], Event]:
    state: dict[tuple[str, str], Event] = {}
    for event in events.values():
        key = key_of(event)
        if key is None:
            raise BadJson(f"`state` has a message in it: {quote(event.event_id)}")
        if key in state:
            raise BadJson(f"`state` has two events for {listed(key)}")
        state[key] = event
    return state


def _check_create(state: StateMap, chain: Mapping[EventId, Event]) -> None:
    """Check that the room begins with one create event.

    One of another version than the template named has not passed the checks.
    """
    create = state.get(CREATE)
    if create is None:
        raise BadJson("`state` has no create event of the room")
    others = [
        each.event_id
        for each in chain.values()
        if each.type == "m.room.create" and each.event_id != create.event_id
    ]
    if others:
        raise BadJson(f"there is another create event: {listed(others)}")


def _id_of(pdu: Json, join: Event) -> EventId | None:
    try:
        return Event.parse(pdu, join.room_version).event_id
    except ProtocolError:
        return None
