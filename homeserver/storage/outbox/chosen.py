"""Transactions that an operator chooses: of a given ID, or one that was sent before.

Rules: of each queue at most one transaction is pending, also of these. A transaction of
a given ID is built at once, for a queue that is empty, so that nothing else is in it. A
transaction that is sent again keeps its ID, its bytes and its entries.
"""

from collections.abc import Callable

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.outbox.batching import build_transaction, pending_transaction
from homeserver.storage.outbox.queue_id import QueueId

BodyOf = Callable[[QueueId, str], bytes | None]
"""The body of a delivered transaction, by its ID; None if it is not kept."""


class CannotChoose(Exception):
    """The transaction cannot be sent like this; `str()` says why."""


def build_chosen(cursor: Cursor, queue: QueueId, txn_id: str, now_ts: int) -> None:
    """Build a transaction of the only entry of a queue; its row has to be locked.

    Raises `CannotChoose`.
    """
    [entries] = cursor.execute(
        "SELECT queued FROM destinations WHERE server_name = ? AND destination = ?",
        queue.row,
    ).fetchone()
    if entries != 1:
        raise CannotChoose(
            f"`txn_id`: {_others(queue.destination)}; a transaction with an ID of your "
            "choice needs an empty queue"
        )
    if cursor.execute(
        "SELECT 1 FROM outbound_transactions"
        " WHERE server_name = ? AND destination = ? AND txn_id = ?",
        (*queue.row, txn_id),
    ).fetchall():
        raise CannotChoose(
            f"`txn_id`: a transaction to {queue.destination} had this ID; `again` "
            "sends it once more"
        )
    build_transaction(cursor, queue, now_ts, txn_id)


def repeat(
    cursor: Cursor, queue: QueueId, entry_id: int, now_ts: int, body_of: BodyOf
) -> bool:
    """Let the transaction of an entry be pending again; False if there is no entry.

    Raises `CannotChoose`.
    """
    queue.lock(cursor)
    row = cursor.execute(
        "SELECT t.txn_id, t.body, t.delivered_ts, t.rejected_ts"
        " FROM outbound_entries e LEFT JOIN outbound_transactions t"
        " ON t.server_name = e.server_name AND t.destination = e.destination"
        " AND t.txn_id = e.txn_id"
        " WHERE e.server_name = ? AND e.destination = ? AND e.id = ?",
        (*queue.row, entry_id),
    ).fetchone()
    if row is None:
        return False
    txn_id, stored, delivered_ts, rejected_ts = row
    if delivered_ts is None and rejected_ts is None:
        raise CannotChoose(
            f"`again`: entry {entry_id} was neither delivered nor rejected"
        )
    if pending_transaction(cursor, queue) is not None:
        raise CannotChoose(f"`again`: {_others(queue.destination)}")
    body = bytes(stored) if stored else body_of(queue, txn_id)
    if not body:
        raise CannotChoose(
            f"`again`: the bytes of entry {entry_id} are not kept any more"
        )
    key = (*queue.row, txn_id)
    cursor.execute(
        "UPDATE outbound_transactions SET body = ?, delivered_ts = NULL,"
        " rejected_ts = NULL, reply = NULL, connection = NULL, remarks = '[]',"
        " last_error = NULL WHERE server_name = ? AND destination = ? AND txn_id = ?",
        (body, *key),
    )
    cursor.execute(
        "UPDATE destinations SET rejected = rejected - ?, queued = queued + ("
        " SELECT COUNT(*) FROM outbound_entries e WHERE e.server_name = ?"
        " AND e.destination = ? AND e.txn_id = ?), due_ts = COALESCE(due_ts, ?)"
        " WHERE server_name = ? AND destination = ?",
        (int(rejected_ts is not None), *key, now_ts, *queue.row),
    )
    return True


def _others(destination: ServerName) -> str:
    return f"something else for {destination} is still queued"
