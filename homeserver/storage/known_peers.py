"""What one of our names knows of other servers, all of it together and by pages.

Rules: nothing is changed here. A known peer is a server that was verified once, whose
certificate an operator has pinned, or that has or had a queue. A page takes two
statements, however many peers are on it.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from msgspec import Struct

from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.storage.engine.interface import Cursor, Database
from homeserver.storage.outbox.progress import (
    SUMMARY_COLUMNS,
    QueueSummary,
    read_summary,
)
from homeserver.storage.peers import PEER_COLUMNS, Peer, read_peer
from homeserver.storage.server_keys import KEY_COLUMNS, StoredKey, read_key


class KnownPeer(Struct, frozen=True):
    """All that is known of another server."""

    name: ServerName
    verified: Peer | None
    """None if it was never verified."""

    pinned_certificate_sha256: str | None
    """Of the certificate that an operator trusts, in hexadecimal."""

    queue: QueueSummary | None
    """None if its queue is and was empty."""

    keys: Mapping[KeyId, StoredKey]
    """In the order of their IDs."""


_HAS_OR_HAD_QUEUE = "(queued > 0 OR rejected > 0 OR dropped > 0)"

LISTED_IN = (
    ("peers", "peer", ""),
    ("certificate_pins", "peer", ""),
    ("destinations", "destination", f" AND {_HAS_OR_HAD_QUEUE}"),
)
"""Where a known peer is: the tables, the columns with its name, a condition."""

# The first names after one, in order, of each table that has them.
_NAMES = " UNION ".join(
    f"SELECT name FROM (SELECT {column} AS name FROM {table}"  # noqa: S608 - ours
    f" WHERE server_name = ? AND {column} > ?{condition}"
    f" ORDER BY {column} LIMIT ?) AS {table}_names"
    for table, column, condition in LISTED_IN
)

_FACTS = (
    f"SELECT names.name, c.certificate_sha256, {PEER_COLUMNS}, {SUMMARY_COLUMNS}"  # noqa: S608 - ours
    " FROM ({names}) AS names"
    " LEFT JOIN peers p ON p.server_name = ? AND p.peer = names.name"
    " LEFT JOIN certificate_pins c ON c.server_name = ? AND c.peer = names.name"
    " LEFT JOIN destinations d ON d.server_name = ? AND d.destination = names.name"
    f" AND {_HAS_OR_HAD_QUEUE}"
    " ORDER BY names.name"
)
_PAGE = _FACTS.replace("{names}", f"{_NAMES} ORDER BY name LIMIT ?")
_ONE = _FACTS.replace("{names}", "SELECT CAST(? AS TEXT) AS name")


class KnownPeers:
    """Lists what one of our names knows."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def page(self, after: ServerName | None, limit: int) -> list[KnownPeer]:
        """Up to `limit` known peers after a name, in the order of their names."""
        own = self._server_name.name
        first = (own, "" if after is None else after.name, limit)

        def job(cursor: Cursor) -> list[KnownPeer]:
            parameters = (*first, *first, *first, limit, own, own, own)
            rows = cursor.execute(_PAGE, parameters).fetchall()
            return self._read(cursor, rows)

        return await self._database.read(job)

    async def find(self, name: ServerName) -> KnownPeer | None:
        """What is known of a server, or of its keys alone; None if nothing is."""
        own = self._server_name.name

        def job(cursor: Cursor) -> KnownPeer | None:
            rows = cursor.execute(_ONE, (name.name, own, own, own)).fetchall()
            [peer] = self._read(cursor, rows)
            facts = (
                peer.verified,
                peer.pinned_certificate_sha256,
                peer.queue,
                peer.keys or None,
            )
            return None if facts == (None,) * len(facts) else peer

        return await self._database.read(job)

    def _read(self, cursor: Cursor, rows: Sequence[Sequence[Any]]) -> list[KnownPeer]:
        if not rows:
            return []
        keys = self._load_keys(cursor, rows[0][0], rows[-1][0])
        return [
            KnownPeer(
                ServerName.parse(name),
                None if facts[0] is None else read_peer(facts[:6]),
                pin,
                None if facts[6] is None else read_summary(facts[6:]),
                keys.get(name, {}),
            )
            for name, pin, *facts in rows
        ]

    def _load_keys(
        self, cursor: Cursor, first: str, last: str
    ) -> dict[str, dict[KeyId, StoredKey]]:
        """The keys of all servers from one name to another, by name."""
        rows = cursor.execute(
            f"SELECT peer, {KEY_COLUMNS} FROM server_keys"  # noqa: S608 - ours
            " WHERE server_name = ? AND peer >= ? AND peer <= ? ORDER BY peer, key_id",
            (self._server_name.name, first, last),
        ).fetchall()
        return {
            peer: {key_id: read_key([key_id, *rest]) for _, key_id, *rest in group}
            for peer, group in groupby(rows, key=lambda row: row[0])
        }
