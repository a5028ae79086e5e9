"""Other servers: how each was verified, the keys pinned to it, its signing keys.

Rules of the room: a peer that was verified by its certificate stays one. Of one key
ID, the key that was published last counts; of the same key, a shorter validity never
replaces a longer one: a document that is fetched later may have been made earlier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IReactorTime

from homeserver.cache import Cache
from homeserver.protocol.canonical import (
    as_object,
    as_text,
    encode,
    encode_base64,
    parse_object,
)
from homeserver.protocol.keys import KeyDocument, valid_until
from homeserver.protocol.names import KeyId, ServerName, parse_key_id
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.database import Cursor, Database
from homeserver.storage.documents import record_document


@dataclass(frozen=True, slots=True)
class Peer:
    """What is known of a peer that was verified at least once."""

    server_name: ServerName
    verified_by: str
    """`certificate` or `key-document`."""

    certificate_sha256: str
    """Of the leaf that was verified last, in hexadecimal."""

    pinned_keys: Mapping[KeyId, VerifyKey]
    first_verified_ts: int
    """In milliseconds since 1970, as the next."""

    last_verified_ts: int


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key of another server, and until when it is good."""

    verify_key: VerifyKey
    valid_until_ts: int | None
    """For requests, in milliseconds since 1970; None for an old key."""

    expired_ts: int | None
    """When an old key stopped being used; None for a current one."""


# For how long keys are remembered without asking the database: other processes may
# work on the same one.
_REMEMBERED_SECONDS = 60.0

_MAX_REMEMBERED = 2000  # servers, most of which have one key or two

_MAX_KEYS = 500  # of one server, of all times; a new one each day is enough for a year


class PeerStore:
    """What is known of other servers."""

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self._database = database
        self._keys: Cache[ServerName, Mapping[KeyId, StoredKey]] = Cache(
            clock, _MAX_REMEMBERED
        )

    async def peer(self, server_name: ServerName) -> Peer | None:
        """The peer of that name; None if it was never verified."""

        def job(cursor: Cursor) -> Peer | None:
            row = cursor.execute(
                "SELECT verified_by, certificate_sha256, pinned_keys,"
                " first_verified_ts, last_verified_ts FROM peers"
                " WHERE server_name = ?",
                (server_name.name,),
            ).fetchone()
            return None if row is None else _peer(server_name, row)

        return await self._database.read(job)

    async def peers(self) -> list[Peer]:
        """All peers that were ever verified, by name."""

        def job(cursor: Cursor) -> list[Peer]:
            rows = cursor.execute(
                "SELECT server_name, verified_by, certificate_sha256, pinned_keys,"
                " first_verified_ts, last_verified_ts FROM peers ORDER BY server_name"
            ).fetchall()
            return [_peer(ServerName.parse(row[0]), row[1:]) for row in rows]

        return await self._database.read(job)

    async def forget(self, server_name: ServerName) -> bool:
        """Forget how a peer was verified, and its pin; whether it was known.

        Its signing keys verify no more requests until they are fetched again.
        """

        def job(cursor: Cursor) -> bool:
            _expire_keys(cursor, server_name)
            row = cursor.execute(
                "DELETE FROM peers WHERE server_name = ? RETURNING server_name",
                (server_name.name,),
            ).fetchone()
            return row is not None

        try:
            return await self._database.write(job)
        finally:
            self._keys.forget(server_name)

    async def record_verified(
        self, verified: Peer, known: Peer | None, document: KeyDocument | None
    ) -> bool:
        """Record that a peer was verified; whether that still holds.

        `known` is what was known of it when it was judged, `document` is what it was
        judged by, None if it was by its certificate. It does not hold, and nothing is
        recorded, if another connection has made it a peer by certificate meanwhile,
        or pinned other keys to it. The keys of `document` are recorded with it.
        """
        name = verified.server_name

        def job(cursor: Cursor) -> bool:
            row = cursor.execute(
                "SELECT verified_by, pinned_keys FROM peers WHERE server_name = ?",
                (name.name,),
            ).fetchone()
            if document is not None and row is not None:
                pins = _pins(row[1])
                expected = {} if known is None else known.pinned_keys
                if row[0] == "certificate":
                    return False
                if pins not in (expected, verified.pinned_keys):
                    return False
            if document is None and row is not None and row[0] != "certificate":
                _expire_keys(cursor, name)
            _record_peer(cursor, verified)
            if document is not None:
                _record_keys(cursor, document, verified.last_verified_ts)
            return True

        try:
            return await self._database.write(job)
        finally:
            self._keys.forget(name)

    async def keys(self, server_name: ServerName) -> Mapping[KeyId, StoredKey]:
        """All keys that are known of that server."""

        async def look_up() -> tuple[Mapping[KeyId, StoredKey], float]:
            return await self._read_keys(server_name), _REMEMBERED_SECONDS

        return await self._keys.fetch(server_name, look_up)

    async def _read_keys(self, server_name: ServerName) -> dict[KeyId, StoredKey]:
        def job(cursor: Cursor) -> dict[KeyId, StoredKey]:
            rows = cursor.execute(
                "SELECT key_id, key, valid_until_ts, expired_ts FROM server_keys"
                " WHERE server_name = ?",
                (server_name.name,),
            ).fetchall()
            return {
                key_id: StoredKey(VerifyKey(key_id, bytes(key)), until, expired)
                for key_id, key, until, expired in rows
            }

        return await self._database.read(job)

    async def record_keys(self, document: KeyDocument, now_ts: int) -> None:
        """Record the keys of a document that its server was proven to publish.

        One of version 2 is recorded itself, too.
        """

        def job(cursor: Cursor) -> None:
            _record_keys(cursor, document, now_ts)
            if document.valid_until_ts is not None:
                record_document(cursor, document, now_ts)

        try:
            await self._database.write(job)
        finally:
            self._keys.forget(document.server_name)


def _record_peer(cursor: Cursor, peer: Peer) -> None:
    pins = encode({k: encode_base64(v.key) for k, v in peer.pinned_keys.items()})
    cursor.execute(
        "INSERT INTO peers (server_name, verified_by, certificate_sha256,"
        " pinned_keys, first_verified_ts, last_verified_ts)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (server_name) DO UPDATE SET"
        " verified_by = excluded.verified_by,"
        " certificate_sha256 = excluded.certificate_sha256,"
        " pinned_keys = excluded.pinned_keys,"
        " last_verified_ts = excluded.last_verified_ts",
        (
            peer.server_name.name,
            peer.verified_by,
            peer.certificate_sha256,
            pins.decode("utf-8"),
            peer.first_verified_ts,
            peer.last_verified_ts,
        ),
    )


def _record_keys(cursor: Cursor, document: KeyDocument, now_ts: int) -> None:
    name = document.server_name.name
    until = valid_until(document, now_ts)
    rows = [
        (name, key_id, key.key, until, None)
        for key_id, key in document.verify_keys.items()
    ] + [
        (name, key_id, old.verify_key.key, None, old.expired_ts)
        for key_id, old in document.old_verify_keys.items()
    ]
    for row in rows:
        cursor.execute(
            "INSERT INTO server_keys (server_name, key_id, key,"
            " valid_until_ts, expired_ts) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (server_name, key_id) DO UPDATE SET"
            " key = excluded.key, expired_ts = excluded.expired_ts,"
            " valid_until_ts = CASE"
            " WHEN excluded.valid_until_ts IS NULL THEN NULL"
            " WHEN server_keys.valid_until_ts > excluded.valid_until_ts"
            " AND server_keys.key = excluded.key"
            " THEN server_keys.valid_until_ts"
            " ELSE excluded.valid_until_ts END",
            row,
        )
    _prune_keys(cursor, document.server_name)


def _prune_keys(cursor: Cursor, server_name: ServerName) -> None:
    """Forget the keys that were good the longest time ago, beyond the limit."""
    cursor.execute(
        "DELETE FROM server_keys WHERE server_name = ? AND key_id NOT IN"
        " (SELECT key_id FROM server_keys WHERE server_name = ?"
        " ORDER BY COALESCE(valid_until_ts, expired_ts) DESC LIMIT ?)",
        (server_name.name, server_name.name, _MAX_KEYS),
    )


def _expire_keys(cursor: Cursor, server_name: ServerName) -> None:
    """Let no stored key of a server verify requests any more; they are fetched anew.

    They may have been somebody else's, who was believed too early.
    """
    cursor.execute(
        "UPDATE server_keys SET valid_until_ts = 0"
        " WHERE server_name = ? AND expired_ts IS NULL",
        (server_name.name,),
    )


def _peer(server_name: ServerName, row: Sequence[Any]) -> Peer:
    verified_by, certificate_sha256, pins, first_ts, last_ts = row
    return Peer(
        server_name, verified_by, certificate_sha256, _pins(pins), first_ts, last_ts
    )


def _pins(text: str) -> dict[KeyId, VerifyKey]:
    pins = as_object(parse_object(text.encode("utf-8")), "pinned keys")
    return {
        (key_id := parse_key_id(name)): VerifyKey.parse(key_id, as_text(key, name))
        for name, key in pins.items()
    }
