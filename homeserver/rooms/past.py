"""The past of a room, as other servers of the room ask for it.

Rules: the origin is in the room now. Events that it may not read are redacted, and the
rest of the graph stays. Rejected events are served by their ID alone, soft-failed ones
also where an event that is served cites them. A request reaches a bounded number of
events.

Specification: Server-server API, "Retrieving events", "Backfilling and retrieving
missing events"; Client-server API, "Room History Visibility".
"""

import heapq
from collections.abc import Iterable, Sequence

from homeserver.protocol.canonical_json import as_integer, as_list, as_text
from homeserver.protocol.errors import Forbidden, InvalidParam, NotFound, quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId, ServerName
from homeserver.protocol.rooms.auth_graph import UnknownAuthEvent
from homeserver.protocol.rooms.history_visibility import may_read
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.redactions import redacted
from homeserver.protocol.rooms.state import StateMap
from homeserver.rooms.entry import Entry
from homeserver.rooms.question import Question
from homeserver.rooms.replies import events_json, state_reply
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room

MAX_BACKFILL = 100  # events: as Synapse has it
MAX_MISSING = 20  # the same
_DEFAULT_MISSING = 10  # Server-server API, get_missing_events
_MAX_VISITED = 1000  # events that are passed over on the way

_SERVED = frozenset({Outcome.ACCEPTED, Outcome.SOFT_FAILED})


async def state(resident: Resident, question: Question) -> bytes:
    """GET state: the state before an event, and its auth chain."""
    room = await resident.shared_room(question)
    before = _state_before(room, question.one_of("event_id"))
    return await state_reply(room, before)


async def state_ids(resident: Resident, question: Question) -> bytes:
    """GET state_ids: the same by the IDs of the events."""
    room = await resident.shared_room(question)
    before = _state_before(room, question.one_of("event_id"))
    chain = room.auth_chain(before.values())
    return events_json(
        {
            "pdu_ids": [each.event_id for each in before.values()],
            "auth_chain_ids": [each.event_id for each in chain],
        }
    )


def _state_before(room: Room, event_id: str) -> StateMap:
    entry = room.entries.get(EventId(event_id))
    before = room.state_before(EventId(event_id))
    if entry is None or before is None or entry.outcome not in _SERVED:
        raise NotFound(f"the state before {quote(event_id)} is not known here")
    return before


async def event(resident: Resident, question: Question) -> bytes:
    """GET event: one event, of whatever room it is."""
    event_id = question.event_id
    room = await resident.rooms.room_with(event_id)
    if room is None:
        raise NotFound(f"the event {quote(event_id)} is not known here")
    try:
        await resident.room_for(room.room_id, question.origin)
        resident.check_member(room, question.origin)
    except Forbidden:
        # A server that is not in the room does not learn which events it has.
        resident.check_acl(room, question.origin)
        raise NotFound(f"the event {quote(event_id)} is not known here") from None
    found = await _shown(room, [event_id], question.origin)
    return _transaction(resident, found)


async def event_auth(resident: Resident, question: Question) -> bytes:
    """GET event_auth: the auth chain of an event."""
    room = await resident.shared_room(question)
    found = await room.read([question.event_id])
    if not found:
        raise NotFound(f"the event {quote(question.event_id)} is not known here")
    try:
        chain = room.auth_chain(found.values())
    except UnknownAuthEvent as problem:
        raise NotFound(str(problem)) from None
    return events_json({"auth_chain": [room.as_served(each) for each in chain]})


async def backfill(resident: Resident, question: Question) -> bytes:
    """GET backfill: events and those before them, newest first."""
    room = await resident.shared_room(question)
    starts = [EventId(each) for each in question.all_of("v")]
    limit = min(question.number("limit"), MAX_BACKFILL)
    chosen: list[EventId] = []
    entries = (room.entries[each] for each in starts if each in room.entries)
    known = [each for each in entries if each.outcome is Outcome.ACCEPTED]
    for entry in _newest_first(room, known):
        if len(chosen) >= limit:
            break
        if entry.outcome in _SERVED:
            chosen.append(entry.event_id)
    return _transaction(resident, await _shown(room, chosen, question.origin))


async def missing_events(resident: Resident, question: Question) -> bytes:
    """POST get_missing_events: the events between some and others, oldest first."""
    room = await resident.shared_room(question)
    content = question.content
    earliest = _ids(content.get("earliest_events", []), "earliest_events")
    latest = _ids(content.get("latest_events", []), "latest_events")
    limit = min(question.count("limit", _DEFAULT_MISSING), MAX_MISSING)
    least = as_integer(content.get("min_depth", 0), "`min_depth`")
    chosen: list[Entry] = []
    seen = {*earliest, *latest}
    waiting = [room.entries[each] for each in latest if each in room.entries]
    for entry in waiting:  # it grows: breadth first
        if len(chosen) >= limit or len(seen) > _MAX_VISITED:
            break
        for prev_id in entry.prev:
            prev = room.entries.get(prev_id)
            if prev is None or prev_id in seen:
                continue
            seen.add(prev_id)
            waiting.append(prev)
            is_wanted = prev.outcome in _SERVED and prev.depth >= least
            if is_wanted and len(chosen) < limit:
                chosen.append(prev)
    ordered = [each.event_id for each in reversed(chosen)]
    found = await _shown(room, ordered, question.origin)
    return events_json({"events": found})


async def at_timestamp(resident: Resident, question: Question) -> bytes:
    """GET timestamp_to_event: the event that is nearest to a time, on one side."""
    room = await resident.shared_room(question)
    wanted_ts = question.number("ts")
    direction = question.one_of("dir")
    if direction not in {"f", "b"}:
        raise InvalidParam(f"`dir` is {quote(direction)}, not f or b")
    is_forward = direction == "f"
    found: Entry | None = None
    for entry in room.entries.values():
        ts = entry.origin_server_ts
        if entry.outcome is not Outcome.ACCEPTED or (
            ts < wanted_ts if is_forward else ts > wanted_ts
        ):
            continue
        if found is None or _is_nearer(entry, found, is_forward=is_forward):
            found = entry
    if found is None:
        side = "after" if is_forward else "before"
        raise NotFound(f"no event is known {side} {wanted_ts}")
    return events_json(
        {"event_id": found.event_id, "origin_server_ts": found.origin_server_ts}
    )


def _is_nearer(entry: Entry, than: Entry, *, is_forward: bool) -> bool:
    one = entry.origin_server_ts, entry.depth
    other = than.origin_server_ts, than.depth
    return one < other if is_forward else one > other


def _newest_first(room: Room, starts: Sequence[Entry]) -> Iterable[Entry]:
    """Events and those before them, by depth; a bounded number of them."""
    seen = {each.event_id for each in starts}
    heap = [(-each.depth, -each.position, each.event_id) for each in starts]
    heapq.heapify(heap)
    for _ in range(_MAX_VISITED):
        if not heap:
            return
        *_, event_id = heapq.heappop(heap)
        entry = room.entries[event_id]
        yield entry
        for prev_id in entry.prev:
            prev = room.entries.get(prev_id)
            if prev is not None and prev_id not in seen:
                seen.add(prev_id)
                heapq.heappush(heap, (-prev.depth, -prev.position, prev_id))


async def _shown(
    room: Room, event_ids: Sequence[EventId], origin: ServerName
) -> list[Event]:
    """Events as a server of the room may read them."""
    verdicts: dict[tuple[int | None, int | None], bool] = {}
    shown: list[Event] = []
    for found in await room.shown(event_ids):
        entry = room.entries[found.event_id]
        # What a server may read depends on the states at an event alone.
        states = entry.before, entry.after
        if states not in verdicts:
            verdicts[states] = _may_read(room, found, entry, origin)
        shown.append(found if verdicts[states] else redacted(found))
    return shown


def _may_read(room: Room, found: Event, entry: Entry, origin: ServerName) -> bool:
    if entry.before is None:
        return found.state_key is not None  # as a part of an auth chain
    before = room.states.map(entry.before)
    return may_read(found, before, origin, is_resident=origin in room.residents)


def _ids(value: object, name: str) -> list[EventId]:
    items = as_list(value, f"`{name}`")[:MAX_BACKFILL]
    return [EventId(as_text(each, f"an entry of `{name}`")) for each in items]


def _transaction(resident: Resident, pdus: list[Event]) -> bytes:
    return events_json(
        {
            "origin": resident.server_name.name,
            "origin_server_ts": resident.rooms.author.now_ts(),
            "pdus": pdus,
        }
    )
