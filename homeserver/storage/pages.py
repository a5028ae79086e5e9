"""A page of received transactions, read from the store.

Rules: a page ends before it becomes too long; one transaction always fits.
"""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from msgspec.json import decode

from homeserver.protocol.canonical_json import Encoded
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.remarks import Remark, read_remarks
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.judged_pdus import ListedPdu, load_pdus

# Characters of a page of transactions: a single one may have thirteen million, and a
# hundred of those would not fit into the memory of many machines.
MAX_PAGE_LENGTH = 8_000_000


class Proof(Struct, frozen=True):
    """What proved the origin of a transaction."""

    key_id: str
    client_certificate: str | None
    """SHA-256 of the client certificate that it came with, in hexadecimal."""


class ListedTransaction(Struct, frozen=True):
    """A received transaction, as it was recorded."""

    id: int
    origin: str
    txn_id: str
    received_ts: int
    verified_by: Proof
    pdus: list[ListedPdu]
    edus: list[Encoded]
    problems: list[str]
    remarks: list[Remark]


def load_page(
    cursor: Cursor,
    server_name: ServerName | None,
    after: int,
    origin: ServerName | None,
    limit: int,
) -> list[tuple[str, ListedTransaction]]:
    """Up to `limit` transactions with an ID above `after`, oldest first.

    Each has the name of ours that received it: `server_name`, or any if that is None.
    Of all origins, unless one is given.

    Fewer where they take more than `MAX_PAGE_LENGTH`.
    """
    # Not by a condition for all cases: then the indexes would not be used.
    chosen = {"server_name": server_name, "origin": origin}
    given = {column: name.name for column, name in chosen.items() if name is not None}
    where = "".join(f"{column} = ? AND " for column in given)
    names = list(given.values())
    sizes = cursor.execute(
        "SELECT id, length(edus) + (SELECT coalesce(sum(length(event)), 0)"  # noqa: S608 - ours
        " FROM received_pdus WHERE transaction_id = id)"
        f" FROM received_transactions WHERE {where}id > ? ORDER BY id LIMIT ?",
        (*names, after, limit),
    ).fetchall()
    rows = cursor.execute(
        "SELECT server_name, id, origin, txn_id, received_ts, key_id,"  # noqa: S608 - ours
        " client_certificate, edus, problems, remarks FROM received_transactions"
        f" WHERE {where}id > ? AND id <= ? ORDER BY id",
        (*names, after, _last_of_page(after, sizes)),
    ).fetchall()
    return [(owner, _transaction(cursor, row)) for owner, *row in rows]


def _last_of_page(after: int, sizes: Sequence[tuple[int, int]]) -> int:
    """The ID of the last transaction that fits into a page; one always does."""
    last, length = after, 0
    for own_id, size in sizes:
        length += size
        if last != after and length > MAX_PAGE_LENGTH:
            break
        last = own_id
    return last


def _transaction(cursor: Cursor, row: Sequence[Any]) -> ListedTransaction:
    own_id, origin, txn_id, received_ts, key_id, certificate, *texts = row
    edus, problems, remarks = texts
    return ListedTransaction(
        own_id,
        origin,
        txn_id,
        received_ts,
        Proof(key_id, certificate),
        load_pdus(cursor, own_id),
        decode(edus, type=list[Encoded]),
        decode(problems, type=list[str]),
        read_remarks(remarks),
    )
