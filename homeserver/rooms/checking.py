"""The first three checks on events that come in any other way than by a transaction.

Rules: form, signatures and content hash, by the version of the room. Keys may be
fetched, so this is done outside of a room's turn.

Specification: Server-server API, "Checks performed on receipt of a PDU".
"""

from collections.abc import Iterable, Sequence

from homeserver.inbound.pdu_checks import PduChecker
from homeserver.net.cause import Cause
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import Forbidden, quote
from homeserver.protocol.events.event import AUTHORISED_VIA, Event
from homeserver.protocol.events.room_versions import RoomVersion
from homeserver.protocol.identifiers import EventId, RoomId, ServerName
from homeserver.rooms.room import Room
from homeserver.storage.judged_pdus import REJECTED

_BATCH = 50  # PDUs that are checked at once, as in a transaction
_LARGE_BATCH = 5000  # of a state: there is one time limit for the keys of each batch

# Whose keys are fetched for one purpose: as many fetches of ours as may wait at a time.
MAX_SIGNERS = 1000


class EventChecks:
    """Checks events for one of our servers."""

    def __init__(self, checker: PduChecker) -> None:
        self._checker = checker

    async def one(
        self, pdu: Json, room_version: RoomVersion, origin: ServerName, cause: Cause
    ) -> Event:
        """An event as it is taken in: redacted, if its content hash is wrong.

        Raises `Forbidden` if a signature is missing or wrong, another `ProtocolError`
        for its form.
        """
        event = Event.parse(pdu, room_version)
        version = room_version.version
        versions = {event.room_id: version}
        [judged] = await self._checker.check([pdu], origin, cause, versions)
        if judged.outcome == REJECTED:
            raise Forbidden(judged.verdict.removeprefix(f"{REJECTED}: "))
        if judged.parsed is None or judged.parsed.room_version != room_version:
            raise Forbidden(f"it is no signed event of room version {version}")
        return judged.parsed

    async def countersigned(
        self, event: Event, server_name: ServerName, cause: Cause
    ) -> Event:
        """An event as `one` has it, which another server must have signed as well.

        Raises as `one`.
        """
        checked = await self.one(event.pdu, event.room_version, server_name, cause)
        await self._checker.check_signature(checked, server_name, cause)
        return checked

    async def of_room(
        self, pdus: Sequence[Json], room: Room, origin: ServerName, cause: Cause
    ) -> dict[EventId, Event]:
        """Those of a reply's events that pass, and are of the room."""
        found, _ = await self.all_of_room(
            pdus, (room.room_id, room.room_version), origin, cause, _BATCH
        )
        return found

    async def all_of_room(
        self,
        pdus: Sequence[Json],
        room: tuple[RoomId, RoomVersion],
        origin: ServerName,
        cause: Cause,
        batch_size: int = _LARGE_BATCH,
    ) -> tuple[dict[EventId, Event], dict[int, str]]:
        """Those that pass, and why the others do not, by their place in the list.

        In a batch, keys are fetched from all servers at once; the caller bounds their
        number (`signers`). Events of other rooms cost none.
        """
        room_id, room_version = room
        found: dict[EventId, Event] = {}
        problems: dict[int, str] = {}
        versions = {room_id: room_version.version}
        numbers: list[int] = []
        for number, pdu in enumerate(pdus):
            named = pdu.get("room_id", room_id)  # a create event of version 12 has none
            if named == room_id:
                numbers.append(number)
            else:
                problems[number] = f"of another room, {quote(named)}"
        for start in range(0, len(numbers), batch_size):
            batch = numbers[start : start + batch_size]
            verdicts = await self._checker.check(
                [pdus[each] for each in batch], origin, cause, versions
            )
            for number, judged in zip(batch, verdicts, strict=True):
                event = judged.parsed
                if event is None or judged.outcome == REJECTED:
                    problems[number] = judged.verdict.removeprefix(f"{REJECTED}: ")
                elif event.room_id != room_id:
                    problems[number] = f"of another room, {quote(event.room_id)}"
                elif event.room_version != room_version:
                    problems[number] = f"no event of version {room_version.version}"
                else:
                    found[event.event_id] = event
        return found, problems


def signers(pdus: Iterable[Json]) -> set[str]:
    """The servers whose keys the check of some events may ask for.

    They are as the events name them: junk among them counts as well.
    """
    found: set[str] = set()
    for pdu in pdus:
        content = pdu.get("content")
        via = content.get(AUTHORISED_VIA) if isinstance(content, dict) else None
        named = [pdu.get("sender"), pdu.get("event_id"), via]
        found.update(x.partition(":")[2] for x in named if isinstance(x, str))
    return found
