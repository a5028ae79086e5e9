"""The rooms that one of our names takes part in: events, states, extremities.

Rules: a change of a room, and the events that it queues for other servers, are one
commit. Each change names the revision of the room that it was made from. If another
process that shares the store has changed the room since, nothing is written.
"""

import json
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from homeserver.protocol.identifiers import EventId, RoomId, ServerName, UserId
from homeserver.storage.engine.interface import (
    Cursor,
    Database,
    Short,
    StoreClock,
    snapshot,
)
from homeserver.storage.notifier import Changes
from homeserver.storage.outbox.queue import add_entry
from homeserver.storage.outbox.queue_id import QueueId
from homeserver.storage.room_members import (
    forget_members,
    is_sharing,
    record_members,
)
from homeserver.storage.room_rows import (
    RoomChange,
    StoredEvent,
    record_events,
    record_room,
    record_states,
    room_length,
)
from homeserver.storage.stored_rooms import (
    NOTHING,
    Had,
    StoredRoom,
    load_events,
    load_states,
)
from homeserver.storage.transaction_sizes import add_length, lock_counts, subtract

_MAX_SHORT_BYTES = 65536

_T = TypeVar("_T")


class RoomStore:
    """The rooms of one of our names."""

    def __init__(
        self,
        database: Database,
        server_name: ServerName,
        clock: StoreClock,
        changes: Changes,
        *,
        is_shared: bool = False,
    ) -> None:
        """`is_shared` is whether other processes may change the rooms."""
        self.changes = changes
        """Those of all rooms, once they are stored."""

        self.is_shared = is_shared
        self._database = database
        self.server_name = server_name
        self._clock = clock

    async def room_ids(self) -> list[RoomId]:
        """The IDs of all rooms, in their order."""

        def job(cursor: Cursor) -> list[RoomId]:
            rows = cursor.execute(
                "SELECT room_id FROM joined_rooms WHERE server_name = ?"
                " ORDER BY room_id",
                (self.server_name.name,),
            ).fetchall()
            return [RoomId(room_id) for [room_id] in rows]

        return await self._database.read(job)

    async def length(self) -> int:
        """The bytes that the rooms of all our names take, about."""

        def job(cursor: Cursor) -> int:
            [length] = cursor.execute(
                "SELECT COALESCE(SUM(length), 0) FROM joined_rooms"
            ).fetchone()
            return int(length)

        return await self._database.read(Short(job))

    async def revision(self, room_id: RoomId) -> int | None:
        """The revision of a room; None if there is no such room."""

        def job(cursor: Cursor) -> int | None:
            row = cursor.execute(
                "SELECT revision FROM joined_rooms"
                " WHERE server_name = ? AND room_id = ?",
                self._key(room_id),
            ).fetchone()
            return None if row is None else int(row[0])

        return await self._database.read(Short(job))

    async def room(
        self, room_id: RoomId, read: Callable[[StoredEvent], _T], had: Had = NOTHING
    ) -> StoredRoom[_T] | None:
        """A room, without what was read before; None if there is no such room.

        `read` is called in the store's thread, and makes of each event what is kept.
        """

        def job(cursor: Cursor) -> StoredRoom[_T] | None:
            with snapshot(cursor):
                return load(cursor)

        def load(cursor: Cursor) -> StoredRoom[_T] | None:
            row = cursor.execute(
                "SELECT room_version, revision, extremities, current_state,"
                " members_state FROM joined_rooms"
                " WHERE server_name = ? AND room_id = ?",
                self._key(room_id),
            ).fetchone()
            if row is None:
                return None
            version, revision, extremities, current, members = row
            left_out = had if had.leads_to(revision) else NOTHING
            return StoredRoom(
                left_out,
                version,
                revision,
                json.loads(extremities),
                current,
                members,
                load_states(cursor, self.server_name, room_id, left_out),
                list(
                    map(read, load_events(cursor, self.server_name, room_id, left_out))
                ),
            )

        return await self._database.read(job)

    async def texts(
        self, room_id: RoomId, event_ids: Sequence[EventId]
    ) -> dict[EventId, bytes]:
        """The JSON of events of a room, as far as it has them."""

        def job(cursor: Cursor) -> dict[EventId, bytes]:
            found = {}
            for event_id in event_ids:
                row = cursor.execute(
                    "SELECT event FROM room_events"
                    " WHERE server_name = ? AND event_id = ? AND room_id = ?",
                    (self.server_name.name, event_id, room_id),
                ).fetchone()
                if row is not None:
                    found[event_id] = row[0].encode("utf-8")
            return found

        return await self._database.read(Short(job) if len(event_ids) < 8 else job)

    async def rooms_with(self, event_id: EventId) -> list[RoomId]:
        """The rooms that have an event of that ID: one, from room version 3 on."""

        def job(cursor: Cursor) -> list[RoomId]:
            rows = cursor.execute(
                "SELECT room_id FROM room_events"
                " WHERE server_name = ? AND event_id = ? ORDER BY room_id",
                (self.server_name.name, event_id),
            ).fetchall()
            return [RoomId(room_id) for [room_id] in rows]

        return await self._database.read(Short(job))

    async def sharing(self, users: Collection[UserId]) -> set[UserId]:
        """Those of some users that are in a room with a user of ours.

        No room is read for it. A room that was last written before joined users were
        stored counts from its next change on.
        """

        def job(cursor: Cursor) -> set[UserId]:
            return {x for x in users if is_sharing(cursor, self.server_name, x)}

        if not users:
            return set()
        return await self._database.read(Short(job) if len(users) < 8 else job)

    async def record(self, change: RoomChange) -> int:
        """Write a change of a room; returns its revision after that.

        Raises `RoomChanged`.
        """

        def job(cursor: Cursor) -> int:
            now_ts = self._clock(cursor)
            revision = record_room(cursor, self.server_name, change, now_ts)
            record_states(cursor, self.server_name, change)
            record_events(cursor, self.server_name, change, revision)
            record_members(cursor, self.server_name, change)
            for destination, pdu in change.outgoing:
                queue = QueueId(self.server_name, destination)
                texts = f"[{pdu.decode('utf-8')}]", "[]"
                add_entry(cursor, queue, texts, now_ts)
            # Retention counts it, as it counts transactions.
            add_length(cursor, change.length)
            return revision

        is_short = change.length <= _MAX_SHORT_BYTES and len(change.outgoing) < 8
        is_short = is_short and not change.left  # all device lists may be looked at
        revision = await self._database.write(Short(job) if is_short else job)
        self.changes.announce()
        return revision

    async def forget(self, room_id: RoomId) -> None:
        """Forget a room with everything in it."""

        def job(cursor: Cursor) -> None:
            lock_counts(cursor)
            subtract(cursor, room_length(cursor, self.server_name, room_id))
            for table in ("joined_rooms", "room_states", "room_events", "room_aliases"):
                cursor.execute(
                    f"DELETE FROM {table} WHERE server_name = ? AND room_id = ?",  # noqa: S608 - ours
                    self._key(room_id),
                )
            forget_members(cursor, self.server_name, room_id)

        await self._database.write(job)

    def _key(self, room_id: RoomId) -> tuple[str, str]:
        return self.server_name.name, room_id
