"""Replies that contain events, in JSON.

Rules: an event is copied as it is stored, byte for byte. Events of a state and of an
auth chain are never withheld; a redaction that applies to one is shown. A state is
answered in slices: that of a large room takes some hundredths of a second.

Specification: Server-server API, "Joining Rooms", "Retrieving events".
"""

from collections.abc import Iterable, Mapping
from itertools import islice

from homeserver.protocol.canonical_json import Encoded, encode_integers
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.state import CREATE, StateKey, StateMap, membership_of
from homeserver.rooms.entry import Entry
from homeserver.rooms.room import Room

_HEROES = 5  # Client-server API, "Room summary"


def events_json(reply: Mapping[str, object]) -> bytes:
    """A reply in JSON, in which events, and lists of them, are as they are stored."""
    return encode_integers({key: _encoded(value) for key, value in reply.items()})


def _encoded(value: object) -> object:
    if isinstance(value, Event):
        return Encoded(value.encoded)
    if isinstance(value, list):
        return [_encoded(each) for each in value]
    return value


async def state_reply(room: Room, before: StateMap) -> bytes:
    """A state and its auth chain, as `GET state` has them."""
    await room.pace.pause()
    chain = room.auth_chain(before.values())
    await room.pace.pause()
    pdus = [room.as_served(each) for each in before.values()]
    auth_chain = [room.as_served(each) for each in chain]
    await room.pace.pause()
    return events_json({"pdus": pdus, "auth_chain": auth_chain})


async def joined_reply(
    room: Room, event: Event, entry: Entry, own: ServerName, *, is_small: bool
) -> bytes:
    """The reply to a join that was accepted; a small one leaves members out."""
    assert entry.before is not None  # noqa: S101 - for the type checker: it is accepted
    before = room.states.map(entry.before)
    state = _without_members(before, event) if is_small else list(before.values())
    await room.pace.pause()
    chain = room.auth_chain([event, *state])
    if is_small:
        sent = {each.event_id for each in state}
        chain = [each for each in chain if each.event_id not in sent]
    elif (create := before.get(CREATE)) is not None and create not in chain:
        chain.insert(0, create)  # version 12 cites none, and Dendrite looks for it here
    residents = room.residents_at(entry.before)
    await room.pace.pause()
    auth_chain = [room.as_served(each) for each in chain]
    served = [room.as_served(each) for each in state]
    await room.pace.pause()
    return events_json(
        {
            "auth_chain": auth_chain,
            "event": event,
            "members_omitted": is_small,
            "origin": own.name,
            "servers_in_room": sorted(each.name for each in residents),
            "state": served,
        }
    )


def _without_members(state: StateMap, join: Event) -> list[Event]:
    """A state without its members, but for those that the joining server needs now."""
    kept: list[Event] = []
    needed: set[StateKey] = {("m.room.member", join.sender.user_id)}
    if ("m.room.name", "") not in state and ("m.room.canonical_alias", "") not in state:
        needed |= set(islice(_members(state, join.sender.user_id), _HEROES))
    for key, event in state.items():
        if key[0] != "m.room.member" or key in needed:
            kept.append(event)
    return kept


def _members(state: StateMap, left_out: str) -> Iterable[StateKey]:
    """The members by whom a room without a name is called, in a fixed order."""
    shown = [
        key
        for key, event in state.items()
        if key[0] == "m.room.member" and membership_of(event) in {"join", "invite"}
    ]
    return sorted(key for key in shown if key[1] != left_out)
