"""A page of received transactions, as the control API lists them.

Rules: a page ends before it becomes too long; one transaction always fits.
"""

from collections.abc import Sequence
from typing import Any

from homeserver.protocol.canonical_json import Json, parse
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.judged_pdus import load_pdus

# Characters of a page of transactions: a single one may have thirteen million, and a
# hundred of those would not fit into the memory of many machines.
MAX_PAGE_LENGTH = 8_000_000


def load_page(
    cursor: Cursor, after: int, origin: ServerName | None, limit: int
) -> list[Json]:
    """Up to `limit` transactions with an ID above `after`, oldest first.

    Fewer where they take more than `MAX_PAGE_LENGTH`.
    """
    chosen = (origin and origin.name, origin is None)
    sizes = cursor.execute(
        "SELECT id, length(edus) + (SELECT coalesce(sum(length(event)), 0)"
        " FROM received_pdus WHERE transaction_id = id)"
        " FROM received_transactions"
        " WHERE id > ? AND (origin = ? OR ?) ORDER BY id LIMIT ?",
        (after, *chosen, limit),
    ).fetchall()
    rows = cursor.execute(
        "SELECT id, origin, txn_id, received_ts, key_id, client_certificate,"
        " edus, problems, remarks FROM received_transactions"
        " WHERE id > ? AND id <= ? AND (origin = ? OR ?) ORDER BY id",
        (after, _last_of_page(after, sizes), *chosen),
    ).fetchall()
    return [_as_json(cursor, row) for row in rows]


def _last_of_page(after: int, sizes: Sequence[tuple[int, int]]) -> int:
    """The ID of the last transaction that fits into a page; one always does."""
    last, length = after, 0
    for own_id, size in sizes:
        length += size
        if last != after and length > MAX_PAGE_LENGTH:
            break
        last = own_id
    return last


def _as_json(cursor: Cursor, row: Sequence[Any]) -> Json:
    (
        own_id,
        origin,
        txn_id,
        received_ts,
        key_id,
        certificate,
        edus,
        problems,
        remarks,
    ) = row
    return {
        "id": own_id,
        "origin": origin,
        "txn_id": txn_id,
        "received_ts": received_ts,
        "verified_by": {"key_id": key_id, "client_certificate": certificate},
        "pdus": load_pdus(cursor, own_id),
        "edus": parse(str(edus).encode("utf-8")),
        "problems": parse(str(problems).encode("utf-8")),
        "remarks": parse(str(remarks).encode("utf-8")),
    }
