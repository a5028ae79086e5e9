"""The rows of a room in the store: values, and the parts of jobs that write them.

Rules: a change of a room names the revision that it was made from. If the room has
another one, nothing is written. Rows of events and states are only added. An event's
row that is written once more has the revision of that.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from homeserver.protocol.canonical_json import encode_integers
from homeserver.protocol.errors import Overloaded
from homeserver.protocol.identifiers import EventId, RoomId, ServerName, UserId
from homeserver.storage.engine.interface import Cursor

# Bytes of an event's row and of its entries in the indexes, beside its texts.
_EVENT_BYTES = 300

_CHANGE_BYTES = 150  # of an entry of a state: two texts and an event ID

_MEMBER_BYTES = 200  # of the row of a joined user, and its entry in the index

REVISIONS = 2**20
"""The revisions of a room begin after the time in milliseconds, multiplied by this.

So a room that was forgotten and joined again has none that it had before.
"""

_Key = tuple[str, str]


class RoomChanged(Overloaded):
    """Another process has changed the room since it was read.

    The store is well: a request that meets this for too long is the one to repeat.
    """

    def __init__(self, room_id: str) -> None:
        super().__init__(f"another worker has changed {room_id} meanwhile", 1)


class StateChange(Struct, frozen=True):
    """A state, as the difference from an earlier one of its room."""

    number: int
    base: int | None
    """The number of the earlier state; None for the empty one."""

    changes: Mapping[_Key, EventId | None]
    """What holds instead: {(type, state key): event ID}; None where nothing holds."""


class StoredEvent(Struct, frozen=True):
    """An event of a room with the outcome of its checks."""

    position: int
    event_id: EventId
    outcome: str
    check: int
    rule: str
    why: str
    before: int | None
    """The number of the state before it."""

    after: int | None
    event: bytes
    """In canonical JSON."""

    redacted_by: EventId | None = None


class RoomChange(Struct, frozen=True):
    """What is to be written of a room."""

    room_id: RoomId
    room_version: str
    revision: int
    """The one that the change was made from; 0 for a new room."""

    extremities: Sequence[EventId]
    current: int
    states: Sequence[StateChange] = ()
    events: Sequence[StoredEvent] = ()
    redactions: Sequence[tuple[EventId, EventId]] = ()
    """Pairs of an event and the redaction that applies to it."""

    outgoing: Sequence[tuple[ServerName, bytes]] = ()
    """The PDUs to send, in canonical JSON, each with its destination."""

    joined: Sequence[UserId] = ()
    """Those that the current state has joined, and the stored one had not."""

    left: Sequence[UserId] = ()

    @property
    def length(self) -> int:
        """The bytes that it adds to the store, about."""
        changes = sum(len(each.changes) for each in self.states)
        events = sum(len(each.event) for each in self.events)
        rows = _EVENT_BYTES * len(self.events) + _CHANGE_BYTES * changes
        return events + rows + _MEMBER_BYTES * len(self.joined)


def room_length(cursor: Cursor, own: ServerName, room_id: RoomId) -> int:
    """The bytes that a room takes in the store, about."""
    row = cursor.execute(
        "SELECT length FROM joined_rooms WHERE server_name = ? AND room_id = ?",
        (own.name, room_id),
    ).fetchone()
    return 0 if row is None else int(row[0])


def record_room(
    cursor: Cursor, own: ServerName, change: RoomChange, now_ts: int
) -> int:
    """Write what a room is after a change; returns its revision.

    Raises `RoomChanged`.
    """
    extremities = encode_integers(sorted(change.extremities)).decode("utf-8")
    key = (own.name, change.room_id)
    states = (change.current, change.current)
    if change.revision:
        row = cursor.execute(
            "UPDATE joined_rooms SET revision = revision + 1, extremities = ?,"
            " current_state = ?, members_state = ?, length = length + ?"
            " WHERE server_name = ? AND room_id = ? AND revision = ?"
            " RETURNING revision",
            (extremities, *states, change.length, *key, change.revision),
        ).fetchone()
    else:
        row = cursor.execute(
            "INSERT INTO joined_rooms (server_name, room_id, room_version,"
            " revision, extremities, current_state, members_state, length)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (server_name, room_id) DO NOTHING RETURNING revision",
            (
                *key,
                change.room_version,
                now_ts * REVISIONS + 1,
                extremities,
                *states,
                change.length,
            ),
        ).fetchone()
    if row is None:
        raise RoomChanged(change.room_id)
    return int(row[0])


def record_states(cursor: Cursor, own: ServerName, change: RoomChange) -> None:
    """Write the new states of a room."""
    cursor.executemany(
        "INSERT INTO room_states (server_name, room_id, number, base, changes)"
        " VALUES (?, ?, ?, ?, ?)",
        [
            (
                own.name,
                change.room_id,
                state.number,
                state.base,
                encode_integers(
                    [[*key, event_id] for key, event_id in state.changes.items()]
                ).decode("utf-8"),
            )
            for state in change.states
        ],
    )


def record_events(
    cursor: Cursor, own: ServerName, change: RoomChange, revision: int
) -> None:
    """Write new events of a room, outliers that were judged, and redactions.

    `revision` is that of the room after it.
    """
    key = (own.name, change.room_id)
    cursor.executemany(
        "INSERT INTO room_events (server_name, room_id, position, event_id,"
        " outcome, check_number, rule, why, state_before, state_after, event,"
        " redacted_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (server_name, room_id, position) DO UPDATE SET"
        " outcome = excluded.outcome, check_number = excluded.check_number,"
        " rule = excluded.rule, why = excluded.why,"
        " state_before = excluded.state_before,"
        " state_after = excluded.state_after, rewritten = ?",
        [
            (
                *key,
                each.position,
                each.event_id,
                each.outcome,
                each.check,
                each.rule,
                each.why,
                each.before,
                each.after,
                each.event.decode("utf-8"),
                each.redacted_by,
                revision,
            )
            for each in change.events
        ],
    )
    cursor.executemany(
        "UPDATE room_events SET redacted_by = ?, rewritten = ?"
        " WHERE server_name = ? AND room_id = ? AND event_id = ?",
        [(by, revision, *key, event_id) for event_id, by in change.redactions],
    )
