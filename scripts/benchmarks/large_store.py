"""A store that has received much: whether it takes longer to record one more.

Rules: the rows are made by SQL, from those of the transactions that were received to
introduce the origins; a million of them by HTTP would take an hour.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

TRANSACTIONS = 200_000
"""With one PDU each, of a kilobyte: a month of a server in a few hundred rooms."""

_NUMBERS = (
    "WITH RECURSIVE numbers (number) AS"
    " (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < :count)"
)


def fill(store: Path) -> None:
    """Add transactions to the SQLite store of an endpoint, which may be running."""
    with closing(sqlite3.connect(store, timeout=60.0)) as connection, connection:
        rows = connection.execute("PRAGMA table_info(received_transactions)")
        columns = [row[1] for row in rows]
        [known] = connection.execute(
            "SELECT MAX(id) FROM received_transactions"
        ).fetchone()
        values = {
            "id": ":known + number",
            "txn_id": "'filled' || number",
            "digest": "randomblob(32)",
        }
        chosen = ", ".join(values.get(name, f"model.{name}") for name in columns)
        options = {"count": TRANSACTIONS, "known": known}
        connection.execute(
            f"INSERT INTO received_transactions ({', '.join(columns)}) {_NUMBERS}"  # noqa: S608
            f" SELECT {chosen} FROM numbers JOIN received_transactions AS model"
            " ON model.id = 1 + number % :known",
            options,
        )
        connection.execute(
            "INSERT INTO received_pdus (server_name, transaction_id, position,"
            " event_id, room_version, verdict, event, signers, origin_server_ts)"
            " SELECT server_name, id, 0, '$' || lower(hex(digest)), '12', 'accepted',"
            ' \'{"content":{"body":"\' || hex(randomblob(450)) || \'"}}\','
            " '[\"' || origin || '\"]', received_ts FROM received_transactions"
            " WHERE id > :known",
            options,
        )
        connection.execute(
            "UPDATE last_received SET id = (SELECT MAX(id) FROM received_transactions)"
        )
