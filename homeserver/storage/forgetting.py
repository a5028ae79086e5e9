"""Forgetting what is stored, one kind at a time, for one of our names or for all.

| kind | what is forgotten | what stays |
|---|---|---|
| received | transactions with their replies, and the versions of rooms | later ones |
| refused | refused requests | later ones |
| queue | entries, transactions, outcomes and back-offs | what a process is sending |
| pins | how servers were verified, pinned keys and certificates | their keys |
| keys | signing keys and key documents of servers | how they were verified |

Rules: each step is one short write, after which others have their turn. The queue of a
destination that a process has leased keeps its pending transaction with its entries.
"""

from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from homeserver.protocol.identifiers import ServerName
from homeserver.storage import known_names
from homeserver.storage.certificate_pins import forget_pin
from homeserver.storage.engine.interface import Cursor, Database, Job, StoreClock
from homeserver.storage.outbox.queue_id import QueueId
from homeserver.storage.retention import STEP
from homeserver.storage.server_keys import forget_keys
from homeserver.storage.transaction_sizes import forget_received, forget_sent

_SMALL_STEP = 500  # rows that have no further ones, in about the same time

Forgotten = Callable[[ServerName, ServerName], object]
"""Takes one of our names and the server of which something was forgotten for it."""


class StoredState:
    """What may be forgotten; each method takes our name, or None for all names."""

    def __init__(
        self, database: Database, clock: StoreClock, reactor: IReactorTime
    ) -> None:
        self._database = database
        self._clock = clock
        self._reactor = reactor

    async def forget_received(self, own: ServerName | None) -> int:
        """Forget what was received until now; returns the number of transactions."""
        last_id = await self._database.read(
            lambda cursor: cursor.execute("SELECT id FROM last_received").fetchone()[0]
        )

        def transactions(cursor: Cursor) -> int:
            where, names = _where(own)
            rows = cursor.execute(
                f"SELECT id FROM received_transactions WHERE id <= ?{where}"  # noqa: S608 - ours
                " ORDER BY id LIMIT ?",
                (last_id, *names, STEP),
            ).fetchall()
            forget_received(cursor, [own_id for [own_id] in rows])
            return len(rows)

        count = await self._repeat(transactions)
        await self._repeat(partial(_delete, "rooms", "server_name, room_id", own))
        return count

    async def forget_refused(self, own: ServerName | None) -> int:
        """Forget the refused requests of until now; returns their number."""
        last_id = await self._database.read(
            lambda cursor: cursor.execute("SELECT id FROM last_refused").fetchone()[0]
        )
        return await self._repeat(
            partial(_delete, "refusals", "id", own, condition=f" AND id <= {last_id}")
        )

    async def forget_queue(self, own: ServerName | None) -> int:
        """Forget queues; returns the number of entries, with and without an outcome."""
        total, last = 0, ("", "")
        while queues := await self._database.read(partial(_next_queues, own, last)):
            for queue in queues:
                total += await self._repeat(partial(self._forget_entries, queue))
                last = queue.row
        return total

    async def transactions(
        self, own: ServerName | None
    ) -> set[tuple[ServerName, ServerName, str]]:
        """The transactions that are stored: our name, the destination and the ID."""

        def job(cursor: Cursor) -> list[tuple[str, str, str]]:
            where, names = _where(own)
            return cursor.execute(
                "SELECT server_name, destination, txn_id FROM outbound_transactions"  # noqa: S608 - ours
                f" WHERE 1 = 1{where}",
                names,
            ).fetchall()

        rows = await self._database.read(job)
        parse = ServerName.parse
        return {(parse(mine), parse(other), txn_id) for mine, other, txn_id in rows}

    async def forget_pins(
        self, own: ServerName | None, forgotten: Forgotten = lambda *_: None
    ) -> int:
        """Forget how servers were verified, and what is pinned to them.

        Returns the number of servers; `forgotten` is called for each.
        """

        def forget(cursor: Cursor, name: ServerName, peer: ServerName) -> bool:
            had_pin = forget_pin(cursor, name, peer)
            row = cursor.execute(
                "DELETE FROM peers WHERE server_name = ? AND peer = ? RETURNING peer",
                (name.name, peer.name),
            ).fetchone()
            return had_pin or row is not None

        return await self._forget_servers(own, forget, forgotten)

    async def forget_keys(
        self, own: ServerName | None, forgotten: Forgotten = lambda *_: None
    ) -> int:
        """Forget the keys and the documents of servers; returns as `forget_pins`."""
        return await self._forget_servers(own, forget_keys, forgotten)

    def _forget_entries(self, queue: QueueId, cursor: Cursor) -> int:
        """Forget some entries of a queue; with the last of them, the queue."""
        row = cursor.execute(
            "SELECT holder IS NOT NULL AND due_ts > ? FROM destinations"
            " WHERE server_name = ? AND destination = ? FOR UPDATE",
            (self._clock(cursor), *queue.row),
        ).fetchone()
        if row is None:
            return 0
        [is_leased] = row
        waiting = cursor.execute(
            "DELETE FROM outbound_entries WHERE id IN (SELECT id FROM outbound_entries"
            " WHERE server_name = ? AND destination = ? AND txn_id IS NULL LIMIT ?)"
            " RETURNING dropped_ts",
            (*queue.row, _SMALL_STEP),
        ).fetchall()
        count = len(waiting)
        pending = sum(dropped_ts is None for [dropped_ts] in waiting)
        finished = cursor.execute(
            "SELECT txn_id FROM outbound_transactions"
            " WHERE server_name = ? AND destination = ? AND NOT (? AND delivered_ts"
            " IS NULL AND rejected_ts IS NULL AND dropped_ts IS NULL) LIMIT ?",
            (*queue.row, bool(is_leased), STEP),
        ).fetchall()
        for [txn_id] in finished:
            count += forget_sent(cursor, (*queue.row, txn_id))
        if is_leased:
            cursor.execute(
                "UPDATE destinations SET queued = queued - ?, rejected = 0, dropped = 0"
                " WHERE server_name = ? AND destination = ?",
                (pending, *queue.row),
            )
        elif not waiting and not finished:
            cursor.execute(
                "DELETE FROM destinations WHERE server_name = ? AND destination = ?",
                queue.row,
            )
        return count or len(finished)  # old ones may have lost their entries

    async def _forget_servers(
        self,
        own: ServerName | None,
        forget: Callable[[Cursor, ServerName, ServerName], bool],
        forgotten: Forgotten,
    ) -> int:
        """Forget something of each server that is known."""
        total, last = 0, ("", "")
        while True:

            def job(
                cursor: Cursor, last: tuple[str, str] = last
            ) -> tuple[tuple[str, str] | None, list[tuple[ServerName, ServerName]]]:
                rows = _next_servers(own, last, cursor)
                pairs = [tuple(map(ServerName.parse, row)) for row in rows]
                gone = []
                for name, peer in pairs:
                    if forget(cursor, name, peer):
                        known_names.recount(cursor, name, peer)
                        gone.append((name, peer))
                return (rows[-1] if rows else None), gone

            following, gone = await self._database.write(job)
            for name, peer in gone:
                forgotten(name, peer)
            total += len(gone)
            if following is None:
                return total
            last = following
            await deferLater(self._reactor, 0)

    async def _repeat(self, step: Job[int]) -> int:
        """Take steps until one finds nothing; returns the sum of what they found."""
        total = 0
        while count := await self._database.write(step):
            total += count
            await deferLater(self._reactor, 0)
        return total


def _where(own: ServerName | None) -> tuple[str, tuple[str, ...]]:
    """A further condition for rows of one of our names, or of all."""
    return ("", ()) if own is None else (" AND server_name = ?", (own.name,))


def _delete(
    table: str, key: str, own: ServerName | None, cursor: Cursor, *, condition: str = ""
) -> int:
    """Delete some rows, by the columns of their key."""
    where, names = _where(own)
    rows = cursor.execute(
        f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table}"  # noqa: S608 - ours
        f" WHERE 1 = 1{condition}{where} LIMIT ?) RETURNING 1",
        (*names, _SMALL_STEP),
    ).fetchall()
    return len(rows)


def _next_queues(
    own: ServerName | None, last: tuple[str, str], cursor: Cursor
) -> list[QueueId]:
    where, names = _where(own)
    rows = cursor.execute(
        "SELECT server_name, destination FROM destinations"  # noqa: S608 - ours
        f" WHERE (server_name, destination) > (?, ?){where}"
        " ORDER BY server_name, destination LIMIT ?",
        (*last, *names, STEP),
    ).fetchall()
    return [QueueId.of_row(*row) for row in rows]


def _next_servers(
    own: ServerName | None, last: tuple[str, str], cursor: Cursor
) -> list[tuple[str, str]]:
    """The next servers of which anything is stored but a queue."""
    where, names = _where(own)
    parameters = (*last, *names, STEP)
    tables = " UNION ".join(
        f"SELECT server_name, peer FROM (SELECT server_name, peer FROM {table}"  # noqa: S608 - ours
        f" WHERE (server_name, peer) > (?, ?){where}"
        f" ORDER BY server_name, peer LIMIT ?) AS {table}_names"
        for table in ("known_names", "certificate_pins")
    )
    rows: list[tuple[str, str]] = cursor.execute(
        f"{tables} ORDER BY server_name, peer LIMIT ?",
        (*parameters, *parameters, STEP),
    ).fetchall()
    return [(name, peer) for name, peer in rows]
