"""The history of a room from before we came, fetched from servers that are in it.

Rules: it is fetched on request, a bounded number of events at once. Each event passes
the checks of form, hash and signatures, and is judged by its auth events and the state
before it, never by the current one. Where its past is not known, the state before it is
fetched. It is no end of the room, and changes no current state.

Specification: Server-server API, "Backfilling and retrieving missing events".
"""

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from homeserver.net.cause import OURSELVES
from homeserver.net.time_limit import within
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.errors import NoServerHelps, NotFound, ProtocolError, quote
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId, RoomId, ServerName
from homeserver.rooms.candidates import Candidates, Failure
from homeserver.rooms.entry import Entry
from homeserver.rooms.graph_order import oldest_first
from homeserver.rooms.intake import Intake
from homeserver.rooms.missing import Missing
from homeserver.rooms.resident import Resident
from homeserver.rooms.room import Room
from homeserver.rooms.source import MAX_BACKFILL, Source, TooMuch
from homeserver.rooms.walk import before

MAX_FETCHED = 1000  # events of one request

_SECONDS = 120.0  # for one server
_STATES = 10  # that are fetched for one request: branches whose past is not known
_MAX_STARTS = 20  # events that a request begins at: they are in its path


class Backfilled(Struct, frozen=True):
    """What was fetched."""

    room: Room
    server_name: ServerName | None
    """The first server that had some of it; None if nothing was missing."""

    entries: Sequence[Entry]
    """The oldest first."""

    is_complete: bool
    """Whether all is known that leads to the first event."""

    failures: Sequence[Failure]
    """The servers that had nothing, or not all, of what was missing."""


class Backfill:
    """Fetches the history of rooms for one of our servers."""

    def __init__(self, resident: Resident, clock: IReactorTime) -> None:
        """`resident` is the server where it is in rooms."""
        self._rooms = resident.rooms
        self._resident = resident
        self._clock = clock

    async def fetch(
        self,
        room_id: RoomId,
        limit: int,
        start: EventId | None = None,
        via: Iterable[ServerName] = (),
    ) -> Backfilled:
        """Fetch up to `limit` events that the room lacks, the newest first.

        With `start`, only what leads to that event. `via` are asked before the other
        servers of the room. Raises `NotFound` for a room or an event that is not known,
        `NoServerHelps`, `Overloaded` and `StoreUnavailable`.
        """
        room = await self._rooms.known(room_id)
        if start is not None and start not in room.entries:
            raise NotFound(f"the room has no event {quote(start)}")
        await self._rooms.check_space()
        if limit < 1 or not _missing(room, start):
            return Backfilled(room, None, [], not _missing(room, start), [])
        others = sorted(room.residents, key=str)
        asked = Candidates(self._rooms.server_name, [*via, *others])
        found: list[EventId] = []
        helped: ServerName | None = None
        for name in asked.names:
            source = Source(
                self._resident.calls, self._resident.checks, room, name, OURSELVES
            )
            intake = Intake(self._rooms, room, source)
            fetching = _Fetching(intake, start, limit - len(found))
            why = await self._fill(fetching)
            found[:0] = fetching.found
            if fetching.found and helped is None:
                helped = name
            room = await self._rooms.known(room_id)
            if len(found) >= limit or not _missing(room, start):
                break
            # One that came later than others has not all of it.
            asked.failures.append(Failure(name, why))
        if not found:
            why = asked.said or "no other server is in it"
            raise NoServerHelps(f"no history of {quote(room_id)}: {why}")
        entries = [room.entries[each] for each in found]
        is_complete = not _missing(room, start)
        return Backfilled(room, helped, entries, is_complete, asked.failures)

    async def _fill(self, fetching: "_Fetching") -> str:
        """Fetch from one server; returns why no more came."""
        try:
            await within(_SECONDS, self._clock, fetching.run())
        except defer.TimeoutError:
            return f"it takes more than {_SECONDS:g} s"
        except (TooMuch, Unreachable, Refused, ProtocolError) as problem:
            return str(problem)
        return "it has no more of what is missing"


class _Fetching:
    """What is fetched from one server."""

    def __init__(self, intake: Intake, start: EventId | None, limit: int) -> None:
        self.found: list[EventId] = []
        self._intake = intake
        self._start = start
        self._limit = limit
        self._states = _STATES

    async def run(self) -> None:
        """Fetch until it is enough, or the server has no more."""
        room = self._intake.room
        in_vain: set[EventId] = set()
        while len(self.found) < self._limit:
            wanted = [x for x in _missing(room, self._start) if x not in in_vain]
            starts = wanted[:_MAX_STARTS]
            if not starts:
                return
            most = min(self._limit - len(self.found), MAX_BACKFILL)
            came = before(starts, await self._intake.source.backfill(starts, most))
            ordered = oldest_first(came, lambda event: event.prev_event_ids)
            entered = [x.event_id for x in ordered if await self._enter(x)]
            if not entered:
                # An event may cite what is nowhere; the rest is asked for without that.
                in_vain.update(starts)
            self.found[:0] = entered

    async def _enter(self, event: Event) -> bool:
        """Enter an event; whether its state is known now, and was not before."""
        room = self._intake.room
        if room.number_after(event.event_id) is not None:
            return False
        await self._intake.fetch_auth(event)
        if not Missing.of(room, event):
            await self._intake.take(event, is_old=True)
        elif self._states:
            self._states -= 1
            await self._intake.enter_at_state(event, is_old=True)
        return room.number_after(event.event_id) is not None


def _missing(room: Room, start: EventId | None) -> list[EventId]:
    """The events before known ones that are missing, those before the newest first.

    An event is missing if no state is known after it.
    """
    known = [each for each in _before(room, start) if each.after is not None]
    known.sort(key=lambda each: each.depth, reverse=True)
    cited = dict.fromkeys(x for each in known for x in each.prev)
    return [each for each in cited if room.number_after(each) is None]


def _before(room: Room, start: EventId | None) -> Iterator[Entry]:
    """The events of a room, or an event of it and those that lead to it."""
    if start is None:
        yield from room.entries.values()
        return
    seen, waiting = {start}, [start]
    while waiting:
        entry = room.entries.get(waiting.pop())
        if entry is not None:
            yield entry
            waiting += (each for each in entry.prev if each not in seen)
            seen.update(entry.prev)
