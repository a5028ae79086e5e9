"""One walk back from an event to what the room knows, at one server.

Rules: nothing is taken from a reply that has nothing to do with the question. What a
server does not have is no error.

How a walk goes:

1. `get_missing_events`, a few times, for the events before it that the room lacks.
2. For some that still lack, `event` and `state_ids`, then `event` or `state` for what
   the room lacks of that state. Such an event is entered at the state that the server
   says, and is judged by it: as one branch, which state resolution weighs.
3. The auth events that are missing: `event_auth`, then `event` for each.

Specification: Server-server API, "Backfilling and retrieving missing events".
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from homeserver.outbound.remote_error import Refused
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.rooms.intake import Intake, reached
from homeserver.rooms.missing import Missing
from homeserver.rooms.room import Room
from homeserver.rooms.source import Events

_ROUNDS = 5  # of get_missing_events
_STATES = 3  # that are fetched in one walk


async def walk_back(intake: Intake, event: Event) -> None:
    """Take in what leads to an event, as far as the server gives it.

    Raises `Unreachable`, `TooMuch` and `Overloaded`.
    """
    chain: Events = {event.event_id: event}
    with suppress(Refused):  # a server without this route may have the others
        await _go_back(intake, chain)
    for event_id in lacked_before(intake.room, chain)[:_STATES]:
        with suppress(Refused):
            known = await intake.room.read([event_id])
            found = known or await intake.source.event(event_id)
            if event_id in found:
                await _enter(intake, found[event_id])
    for each in sorted(chain.values(), key=lambda x: (x.depth, x.event_id)):
        await intake.fetch_auth(each)
        if each is not event and not Missing.of(intake.room, each):
            await intake.take(each)


async def _enter(intake: Intake, event: Event) -> None:
    """Enter an event after what it cites, or else at the state before it."""
    await intake.fetch_auth(event)
    if Missing.of(intake.room, event):
        await intake.enter_at_state(event)
    else:  # it was rejected: servers tell such an event alone, and no state at it
        await intake.take(event)


async def _go_back(intake: Intake, chain: Events) -> None:
    """Add to a chain what leads from it to the events that are known."""
    for _ in range(_ROUNDS):
        wanted = lacked_before(intake.room, chain)
        if not wanted:
            return
        ends = intake.room.extremities
        came = await intake.source.missing_events(ends, list(chain))
        found = before(wanted, came)
        if not found:
            return
        chain |= found


def lacked_before(room: Room, chain: Mapping[EventId, Event]) -> list[EventId]:
    """The events before a chain after which no state is known."""
    cited = [x for event in chain.values() for x in event.prev_event_ids]
    return [
        each
        for each in dict.fromkeys(cited)
        if each not in chain and room.number_after(each) is None
    ]


def before(starts: Iterable[EventId], events: Mapping[EventId, Event]) -> Events:
    """The events to which `prev_events` lead from some, among those that came."""
    return reached(starts, events, lambda event: event.prev_event_ids)
