"""A room as it is read from the store: all of it, or what has changed since.

Rules: a process that has read a room reads the rows alone that were added or written
once more since. If the room was forgotten meanwhile, and joined again, it reads all.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct

from homeserver.protocol.identifiers import EventId, RoomId, ServerName
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.room_rows import REVISIONS, StateChange, StoredEvent

_SLICE = 1000  # events that are read at once

_T = TypeVar("_T")

_COLUMNS = (
    "position, event_id, outcome, check_number, rule, why, state_before, state_after,"
    " event, redacted_by"
)


class Had(Struct, frozen=True):
    """What a process has read of a room before."""

    revision: int = 0
    events: int = 0
    states: int = 0

    def leads_to(self, revision: int) -> bool:
        """Whether the room has that revision by further changes alone."""
        is_of_before = self.revision <= revision
        return is_of_before and self.revision // REVISIONS == revision // REVISIONS


NOTHING = Had()


class StoredRoom(Struct, Generic[_T], frozen=True):
    """A room as it is read; its events as the caller makes them of their rows."""

    had: Had
    """What is left out, as it was read before; `NOTHING` where all is there."""

    room_version: str
    revision: int
    extremities: Sequence[EventId]
    current: int
    members: int
    """The number of the state whose joined users are stored as such."""

    states: Sequence[StateChange]
    events: Sequence[_T]
    """Those written once more, then the new ones in the order of their positions."""


def load_states(
    cursor: Cursor, own: ServerName, room_id: RoomId, had: Had
) -> list[StateChange]:
    """The states of a room beside those of before, in the order of their numbers."""
    rows = cursor.execute(
        "SELECT number, base, changes FROM room_states"
        " WHERE server_name = ? AND room_id = ? AND number >= ? ORDER BY number",
        (own.name, room_id, had.states),
    ).fetchall()
    return [
        StateChange(
            number,
            base,
            {(kind, key): event_id for kind, key, event_id in json.loads(changes)},
        )
        for number, base, changes in rows
    ]


def load_events(
    cursor: Cursor, own: ServerName, room_id: RoomId, had: Had
) -> Iterator[StoredEvent]:
    """The events of a room, but for those that were read before and are as they were.

    They are in the order of `StoredRoom`, and read in slices: those of a long room take
    a hundred megabytes.
    """
    key = (own.name, room_id)
    rows = cursor.execute(
        f"SELECT {_COLUMNS} FROM room_events"  # noqa: S608 - ours
        " WHERE server_name = ? AND room_id = ? AND rewritten > ? AND position < ?",
        (*key, had.revision, had.events),
    ).fetchall()
    yield from map(_event, rows)
    first = had.events
    while True:
        rows = cursor.execute(
            f"SELECT {_COLUMNS} FROM room_events"  # noqa: S608 - ours
            " WHERE server_name = ? AND room_id = ? AND position >= ?"
            " ORDER BY position LIMIT ?",
            (*key, first, _SLICE),
        ).fetchall()
        yield from map(_event, rows)
        if len(rows) < _SLICE:
            return
        first = rows[-1][0] + 1


def _event(row: Sequence[Any]) -> StoredEvent:
    position, own_id, outcome, check, rule, why, *states, event, by = row
    verdict, (before, after) = (outcome, check, rule, why), states
    text = event.encode("utf-8")
    return StoredEvent(position, own_id, *verdict, before, after, text, by)
