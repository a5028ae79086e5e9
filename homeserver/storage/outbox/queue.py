"""The queues of one of our names: adding entries, reading, retrying, dropping them.

Rules: the entries of a queue are in the order of their IDs, which is the order of their
commits. IDs count the entries of all names in the store.
"""

from collections.abc import Sequence

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor, Database, Short, StoreClock
from homeserver.storage.outbox.chosen import BodyOf, build_chosen, repeat
from homeserver.storage.outbox.drops import (
    ALL,
    MAX_AT_ONCE,
    Dropped,
    drop_entry,
    drop_transaction,
    drop_waiting,
    last_entry,
)
from homeserver.storage.outbox.progress import EntryState, load_state
from homeserver.storage.outbox.queue_id import QueueId


class OutboundQueue:
    """The queues of one of our names, for all destinations."""

    def __init__(
        self, database: Database, server_name: ServerName, clock: StoreClock
    ) -> None:
        self._database = database
        self.server_name = server_name
        self._clock = clock

    def of(self, destination: ServerName) -> QueueId:
        """The queue of a destination."""
        return QueueId(self.server_name, destination)

    async def add(
        self,
        destination: ServerName,
        pdus: Sequence[Json],
        edus: Sequence[Json],
        *,
        is_ephemeral: bool,
        txn_id: str | None = None,
    ) -> int:
        """Queue an entry that fits into one transaction; return its ID.

        An ephemeral entry, which has no PDUs, may be dropped when it is stale. With
        `txn_id`, it becomes a transaction of that ID; raises `CannotChoose`.
        """
        texts = _as_text(pdus), _as_text(edus)
        ephemeral = len(edus) if is_ephemeral else 0

        def job(cursor: Cursor) -> int:
            now_ts = self._clock(cursor)
            own_id = add_entry(cursor, self.of(destination), texts, now_ts, ephemeral)
            if txn_id is not None:
                build_chosen(cursor, self.of(destination), txn_id, now_ts)
            return own_id

        return await self._database.write(job)

    async def repeat(
        self, destination: ServerName, entry_id: int, body_of: BodyOf
    ) -> bool:
        """Let the transaction of an entry be sent once more, with the same bytes.

        Returns False if there is no entry of that ID; raises `CannotChoose`.
        """
        return await self._database.write(
            lambda cursor: repeat(
                cursor, self.of(destination), entry_id, self._clock(cursor), body_of
            )
        )

    async def state(self, destination: ServerName, entry_id: int) -> EntryState | None:
        """The state of an entry; None if there is none."""
        return await self._database.read(
            lambda cursor: load_state(cursor, self.of(destination), entry_id)
        )

    async def retry_immediately(self, destination: ServerName) -> None:
        """Make the next attempt due now, or as soon as the running one has failed."""

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "UPDATE destinations SET failures = 0, retry_immediately ="
                " CASE WHEN holder IS NULL THEN 0 ELSE 1 END, due_ts ="
                " CASE WHEN holder IS NULL THEN ? ELSE due_ts END"
                " WHERE server_name = ? AND destination = ? AND due_ts IS NOT NULL",
                (self._clock(cursor), *self.of(destination).row),
            )

        await self._database.write(job)

    async def forget_failures(self, destination: ServerName) -> int:
        """Forget how a destination failed and answered, and retry it immediately.

        Returns the number of its queued entries, which stay.
        """

        def job(cursor: Cursor) -> int:
            row = self.of(destination).row
            now_ts = self._clock(cursor)
            found = cursor.execute(
                "UPDATE destinations SET failures = 0, last_error = NULL, slash = 0,"
                " not_before_ts = 0, retry_immediately ="
                " CASE WHEN holder IS NULL OR due_ts IS NULL THEN 0 ELSE 1 END,"
                " due_ts = CASE WHEN holder IS NULL AND due_ts IS NOT NULL"
                " THEN ? ELSE due_ts END"
                " WHERE server_name = ? AND destination = ? RETURNING queued",
                (now_ts, *row),
            ).fetchone()
            return 0 if found is None else int(found[0])

        return await self._database.write(job)

    async def drop(self, destination: ServerName, entry_id: int) -> Dropped | None:
        """Drop an entry, with the transaction that it is part of.

        None if there is none of that ID; raises `AlreadyOver`.
        """
        return await self._database.write(
            lambda cursor: drop_entry(
                cursor, self.of(destination), entry_id, self._clock(cursor)
            )
        )

    async def drop_transaction(self, destination: ServerName) -> Dropped:
        """Drop the pending transaction of a destination, if there is one."""
        return await self._database.write(
            lambda cursor: drop_transaction(
                cursor, self.of(destination), ALL, self._clock(cursor)
            )
        )

    async def drop_waiting(self, destination: ServerName) -> int:
        """Drop all entries that are in no transaction yet; returns their number."""
        last_id = await self._database.read(
            lambda cursor: last_entry(cursor, self.of(destination))
        )
        total = 0
        while last_id is not None:
            count = await self._drop_some(destination, last_id)
            total += count
            if count < MAX_AT_ONCE:
                break
        return total

    async def _drop_some(self, destination: ServerName, last_id: int) -> int:
        return await self._database.write(
            lambda cursor: drop_waiting(
                cursor, self.of(destination), last_id, self._clock(cursor)
            )
        )

    async def reset_back_off(self, destination: ServerName) -> bool:
        """Reset the back-off of a destination that is alive; whether it had one.

        The next attempt is not due before `not_before_ts`: a server that is overloaded,
        or sends requests but cannot be reached, is not tried all the time.
        """

        def look(cursor: Cursor) -> bool:
            return bool(
                cursor.execute(
                    "SELECT 1 FROM destinations"
                    " WHERE server_name = ? AND destination = ? AND failures > 0",
                    self.of(destination).row,
                ).fetchall()
            )

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "UPDATE destinations SET failures = 0, due_ts ="
                " CASE WHEN holder IS NULL AND due_ts > not_before_ts"
                " THEN not_before_ts ELSE due_ts END"
                " WHERE server_name = ? AND destination = ? AND failures > 0",
                self.of(destination).row,
            )

        fails = await self._database.read(Short(look))
        if fails:
            await self._database.write(job)
        return fails


def add_entry(
    cursor: Cursor,
    queue: QueueId,
    texts: tuple[str, str],
    now_ts: int,
    ephemeral: int = 0,
) -> int:
    """Queue an entry as a part of a job; returns its ID.

    `texts` are the lists of its PDUs and EDUs in canonical JSON; `ephemeral` of the
    EDUs may be dropped when they are stale.
    """
    # First the row that is locked until the commit: of one queue, a smaller ID is never
    # committed after a larger one.
    cursor.execute(
        "INSERT INTO destinations (server_name, destination, queued, due_ts, fresh)"
        " VALUES (?, ?, 1, ?, 1)"
        " ON CONFLICT (server_name, destination) DO UPDATE SET"
        " queued = destinations.queued + 1,"
        " fresh = CASE WHEN destinations.due_ts IS NULL THEN 1"
        " ELSE destinations.fresh END,"
        " due_ts = COALESCE(destinations.due_ts, excluded.due_ts)",
        (*queue.row, now_ts),
    )
    length = sum(len(text.encode("utf-8")) for text in texts)
    [own_id] = cursor.execute(
        "INSERT INTO outbound_entries"
        " (server_name, destination, pdus, edus, length, queued_ts, ephemeral)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (*queue.row, *texts, length, now_ts, ephemeral),
    ).fetchone()
    return int(own_id)


def _as_text(items: Sequence[Json]) -> str:
    return encode(list(items)).decode("utf-8")
