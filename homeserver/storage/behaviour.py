"""What a server has sent to one of ours and rejected of it: for a report on it.

Rules: the last transactions alone are read, as many as `MAX_TRANSACTIONS`, and none of
their events.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.json import decode

from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.remarks import Remark, read_remarks
from homeserver.storage.engine.interface import Cursor, Database

MAX_TRANSACTIONS = 1000


class Arrival(Struct, frozen=True):
    """A transaction that was accepted."""

    txn_id: str
    received_ts: int
    """In milliseconds since 1970."""

    content: str
    """The digest of its PDUs and EDUs, in hexadecimal."""

    problems: Sequence[str]
    remarks: Sequence[Remark]


class Behaviour(Struct, frozen=True):
    """The last transactions of a server, oldest first, and its PDUs."""

    arrivals: Sequence[Arrival]
    outcomes: Mapping[str, int]
    """How many PDUs of these transactions have each outcome."""

    first_verdicts: Mapping[str, str]
    """For each outcome, the first verdict."""

    rejected: int = 0
    """How many of the chosen transactions to the server it has rejected."""


async def load_behaviour(
    database: Database,
    own: ServerName,
    origin: ServerName,
    chosen: Collection[str] = (),
) -> Behaviour:
    """What `origin` has sent to `own`; `chosen` are IDs of transactions to `origin`."""
    key = (own.name, origin.name)

    def job(cursor: Cursor) -> Behaviour:
        rows = cursor.execute(
            "SELECT id, txn_id, received_ts, digest, problems, remarks FROM"
            " received_transactions WHERE server_name = ? AND origin = ?"
            " ORDER BY id DESC LIMIT ?",
            (*key, MAX_TRANSACTIONS),
        ).fetchall()
        arrivals = [
            Arrival(
                txn_id,
                received_ts,
                bytes(digest).hex(),
                decode(problems, type=list[str]),
                read_remarks(remarks),
            )
            for _, txn_id, received_ts, digest, problems, remarks in reversed(rows)
        ]
        outcomes: Counter[str] = Counter()
        first: dict[str, str] = {}
        for own_id, *_ in reversed(rows):
            for (verdict,) in cursor.execute(
                "SELECT verdict FROM received_pdus WHERE transaction_id = ?"
                " ORDER BY position",
                (own_id,),
            ).fetchall():
                outcome = verdict.partition(":")[0]
                outcomes[outcome] += 1
                first.setdefault(outcome, verdict)
        return Behaviour(arrivals, outcomes, first, _rejected(cursor, key, chosen))

    return await database.read(job)


def _rejected(cursor: Cursor, key: tuple[str, str], chosen: Collection[str]) -> int:
    """How many of these transactions from us to a server it has rejected."""
    return sum(
        cursor.execute(
            "SELECT 1 FROM outbound_transactions WHERE server_name = ?"
            " AND destination = ? AND txn_id = ? AND rejected_ts IS NOT NULL",
            (*key, txn_id),
        ).fetchone()
        is not None
        for txn_id in chosen
    )
