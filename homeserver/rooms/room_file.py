"""The events of a room in a file: read, parsed, and put in an order of arrival.

Rules: the file is a JSON list of PDUs, or has one PDU a line. They arrive in the order
of the file, but each after those that it cites. A PDU that no server would take in is
dropped, with the reason; signatures are not verified, as nothing is known of keys.

Specification: Server-server API, "Checks performed on receipt of a PDU", 1 and 3.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from homeserver.protocol.canonical_json import (
    MAX_VALUES,
    Json,
    as_list,
    as_object,
    check_size_of_json,
    parse,
)
from homeserver.protocol.errors import BadJson, ProtocolError, TooLarge, quote
from homeserver.protocol.events.event import Event, event_id, redact
from homeserver.protocol.events.room_versions import RoomVersion, parse_room_version
from homeserver.protocol.identifiers import EventId

MAX_EVENTS = 5_000
"""Of one file. Each state event has a state of its own while the room is judged: where
half of them are users who join, that is half a gigabyte of memory."""

MAX_BYTES = 64 * 2**20
"""Of one file: 13 kilobytes for each of so many events, of which most have one."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A PDU that breaks the form of its room version."""

    number: int
    """Its place in the file, from 1 on."""

    event_id: EventId | None
    """None where not even that can be said."""

    why: str


@dataclass(frozen=True, slots=True)
class RoomFile:
    """What a file has."""

    room_version: RoomVersion
    events: Sequence[Event]
    """In an order of arrival, each once."""

    dropped: Sequence[Dropped]
    redacted: frozenset[EventId]
    """Events of which the content hash does not match: the redacted ones are taken."""

    in_circles: frozenset[EventId]
    """Events that cite themselves through others, which never arrive."""

    last: EventId | None
    """The last event of the file; None where nothing can be said of its ID."""


def read(data: bytes, named: RoomVersion | None) -> RoomFile:
    """Read a file; `named` is the room version if the create event does not tell it.

    Raises `ProtocolError` for what is no JSON, no PDUs, too much of them, or of no
    known room version.
    """
    if len(data) > MAX_BYTES:
        raise TooLarge(f"the file has more than {MAX_BYTES} bytes")
    check_size_of_json(data, MAX_VALUES)  # of all lines, which are parsed one by one
    pdus = list(_pdus(data))
    if len(pdus) > MAX_EVENTS:
        raise BadJson(f"the file has {len(pdus)} events; {MAX_EVENTS} are allowed")
    room_version = named or _room_version(pdus)
    events: dict[EventId, Event] = {}
    dropped: list[Dropped] = []
    redacted: set[EventId] = set()
    last: EventId | None = None
    for number, pdu in enumerate(pdus, 1):
        try:
            event = _parse(pdu, room_version)
        except ProtocolError as problem:
            last = _id_of(pdu, room_version)
            dropped.append(Dropped(number, last, str(problem)))
            continue
        last = event.event_id
        if last not in events:  # of two that claim an ID, the first stays
            events[last] = event
            redacted.update([] if event.pdu is pdu else [last])
    ordered = list(_in_order(events))
    in_circles = events.keys() - {event.event_id for event in ordered}
    return RoomFile(
        room_version, ordered, dropped, frozenset(redacted), frozenset(in_circles), last
    )


def _parse(pdu: Json, room_version: RoomVersion) -> Event:
    """A PDU as a server takes it in: redacted where its content was changed."""
    event = Event.parse(pdu, room_version)
    if event.content_hash_matches:
        return event
    return Event.parse(redact(pdu, room_version), room_version)


def _pdus(data: bytes) -> Iterator[Json]:
    if data.lstrip()[:1] == b"[":
        for number, each in enumerate(as_list(parse(data), "the file"), 1):
            yield as_object(each, f"entry {number}")
        return
    for number, line in enumerate(data.splitlines(), 1):
        if line.strip():
            try:
                yield as_object(parse(line), "it")
            except ProtocolError as problem:
                raise BadJson(f"line {number}: {problem}") from None


def _room_version(pdus: Sequence[Json]) -> RoomVersion:
    """The version that the create event names, or each of several."""
    found: list[object] = []
    for pdu in pdus:
        content = pdu.get("content")
        is_create = pdu.get("type") == "m.room.create" and pdu.get("state_key") == ""
        if is_create and isinstance(content, dict) and not pdu.get("prev_events"):
            found.append(content.get("room_version", "1"))
    if not found:
        raise BadJson("no event of the file is the create event, which has the version")
    version, *others = found
    for other in others:
        if other != version:
            raise BadJson(
                f"create events of the file are of room versions {quote(version)} and "
                f"{quote(other)}: name the one to go by"
            )
    return parse_room_version(version)


def _id_of(pdu: Json, room_version: RoomVersion) -> EventId | None:
    try:
        return event_id(pdu, room_version)
    except ProtocolError:
        return None


def _in_order(events: Mapping[EventId, Event]) -> Iterator[Event]:
    """Each event after those that it cites, else in the order given."""
    numbers = {each: number for number, each in enumerate(events)}
    listed = list(events.values())
    waits_for: dict[EventId, int] = {}
    cited_by: dict[EventId, list[EventId]] = {}
    for event in listed:
        cited = {*event.prev_event_ids, *event.auth_event_ids} & events.keys()
        waits_for[event.event_id] = len(cited)
        for each in cited:
            cited_by.setdefault(each, []).append(event.event_id)
    ready = [numbers[each] for each, count in waits_for.items() if count == 0]
    heapify(ready)
    while ready:
        event = listed[heappop(ready)]
        yield event
        for each in cited_by.get(event.event_id, ()):
            waits_for[each] -= 1
            if waits_for[each] == 0:
                heappush(ready, numbers[each])
