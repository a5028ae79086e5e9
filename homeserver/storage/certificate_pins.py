"""Certificates that an operator trusts for a server, whatever names are in them.

Rules: a server has one at most. The pin is the SHA-256 of the leaf itself: it is valid
for no other certificate of the same key or authority.
"""

from functools import partial

from twisted.internet.interfaces import IReactorTime

from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Cursor, Database, Short


class CertificatePins:
    """The pins of one of our names."""

    def __init__(
        self, database: Database, server_name: ServerName, clock: IReactorTime
    ) -> None:
        self._database = database
        self._server_name = server_name
        self._clock = clock

    async def find(self, peer: ServerName) -> str | None:
        """The SHA-256 of the certificate of a server, in hexadecimal; None if none."""
        key = (self._server_name.name, peer.name)
        return await self._database.read(Short(partial(_load, key=key)))

    async def pin(self, peer: ServerName, sha256: str) -> None:
        """Trust a certificate for a server, in place of one that was pinned before."""
        now_ts = wall_ts(self._clock)

        def job(cursor: Cursor) -> None:
            cursor.execute(
                "INSERT INTO certificate_pins"
                " (server_name, peer, certificate_sha256, pinned_ts)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (server_name, peer) DO UPDATE SET"
                " certificate_sha256 = excluded.certificate_sha256,"
                " pinned_ts = excluded.pinned_ts",
                (self._server_name.name, peer.name, sha256, now_ts),
            )

        await self._database.write(job)


def forget_pin(cursor: Cursor, server_name: ServerName, peer: ServerName) -> bool:
    """Forget the pin of a server for one of our names; whether there was one."""
    row = cursor.execute(
        "DELETE FROM certificate_pins WHERE server_name = ? AND peer = ?"
        " RETURNING peer",
        (server_name.name, peer.name),
    ).fetchone()
    return row is not None


def _load(cursor: Cursor, key: tuple[str, str]) -> str | None:
    row = cursor.execute(
        "SELECT certificate_sha256 FROM certificate_pins"
        " WHERE server_name = ? AND peer = ?",
        key,
    ).fetchone()
    return None if row is None else row[0]
