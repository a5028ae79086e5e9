"""What a server has sent to one of ours, without the events: for a report on it.

Rules: the last transactions alone are read, as many as `MAX_TRANSACTIONS`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

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


async def load_behaviour(
    database: Database, own: ServerName, origin: ServerName
) -> Behaviour:
    """What `origin` has sent to `own`."""

    def job(cursor: Cursor) -> Behaviour:
        rows = cursor.execute(
            "SELECT id, txn_id, received_ts, digest, problems, remarks FROM"
            " received_transactions WHERE server_name = ? AND origin = ?"
            " ORDER BY id DESC LIMIT ?",
            (own.name, origin.name, MAX_TRANSACTIONS),
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
        return Behaviour(arrivals, outcomes, first)

    return await database.read(job)
