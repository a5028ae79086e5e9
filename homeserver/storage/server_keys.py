"""Other servers' signing keys, current and old ones.

Rules: a key is never replaced by another one of the same ID. A server that was rebuilt
with a new key under the old ID cannot be distinguished from another server, until an
operator forgets the stored key. A shorter validity never replaces a longer one: a
document that is fetched later may be older.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import KeyDocument, valid_until
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.engine.interface import Cursor

_MAX_KEYS = 500  # of one server, with old ones; enough for a new key each day of a year


class StoredKey(Struct, frozen=True):
    """A signing key of another server, and its validity."""

    verify_key: VerifyKey
    valid_until_ts: int | None
    """For requests, in milliseconds since 1970; None for an old key."""

    expired_ts: int | None
    """When an old key was last used; None for a current one."""

    since_ts: int | None = None
    """When it was stored; None if not recorded, or not stored yet."""


class KeyConflict(Exception):
    """A document lists another key under the ID of a stored one.

    `str()` names both, and the command that forgets the stored one.
    """

    def __init__(
        self,
        server_name: ServerName,
        stored: VerifyKey,
        since_ts: int,
        served: VerifyKey,
    ) -> None:
        """`since_ts` is when the key was stored, in milliseconds; 0 if not known."""
        since = ""
        if since_ts:
            since = f" since {datetime.fromtimestamp(since_ts / 1000, UTC):%F %T} UTC"
        super().__init__(
            f"{stored.key_id} of {server_name} is {encode_base64(served.key)} now, and "
            f"was stored as {encode_base64(stored.key)}{since}: the server was rebuilt "
            "with a new key under the old ID, or it is another server; `homeserver "
            f"peers --forget {server_name}` forgets the stored key"
        )
        self.key_id = stored.key_id


def load_keys(
    cursor: Cursor, server_name: ServerName, peer: ServerName
) -> dict[KeyId, StoredKey]:
    """All keys of a server that are stored for one of our names."""
    rows = cursor.execute(
        f"SELECT {KEY_COLUMNS} FROM server_keys WHERE server_name = ? AND peer = ?",  # noqa: S608 - ours
        (server_name.name, peer.name),
    ).fetchall()
    return {row[0]: read_key(row) for row in rows}


KEY_COLUMNS = "key_id, key, valid_until_ts, expired_ts, since_ts"
"""What `read_key` reads, of `server_keys`."""


def read_key(row: Sequence[Any]) -> StoredKey:
    """A key, of the columns in `KEY_COLUMNS`."""
    key_id, key, until, expired, since = row
    return StoredKey(VerifyKey(key_id, bytes(key)), until, expired, since or None)


def record_keys(
    cursor: Cursor, server_name: ServerName, document: KeyDocument, now_ts: int
) -> None:
    """Record the keys of a document that its server was proven to publish.

    Raises `KeyConflict`; then nothing may be recorded. An old key that conflicts is
    ignored: the stored one stays.
    """
    check_keys(cursor, server_name, document)
    own, name = server_name.name, document.server_name.name
    until = valid_until(document, now_ts)
    rows = [
        (own, name, key_id, key.key, until, None, now_ts)
        for key_id, key in document.verify_keys.items()
    ] + [
        (own, name, key_id, old.verify_key.key, None, old.expired_ts, now_ts)
        for key_id, old in document.old_verify_keys.items()
    ]
    # In one order, so that two processes that do the same do not deadlock.
    for row in sorted(rows, key=lambda row: row[2]):
        cursor.execute(
            "INSERT INTO server_keys (server_name, peer, key_id, key,"
            " valid_until_ts, expired_ts, since_ts) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (server_name, peer, key_id) DO UPDATE SET"
            " expired_ts = excluded.expired_ts,"
            " valid_until_ts = CASE"
            " WHEN excluded.valid_until_ts IS NULL THEN NULL"
            " WHEN server_keys.valid_until_ts > excluded.valid_until_ts"
            " THEN server_keys.valid_until_ts"
            " ELSE excluded.valid_until_ts END"
            " WHERE server_keys.key = excluded.key",
            row,
        )
    _prune_keys(cursor, server_name, document.server_name)


def check_keys(cursor: Cursor, server_name: ServerName, document: KeyDocument) -> None:
    """Raise `KeyConflict` if a document contradicts the stored keys of its server."""
    stored = load_keys(cursor, server_name, document.server_name)
    for key_id, served in document.verify_keys.items():
        key = stored.get(key_id)
        if key is not None and key.verify_key != served:
            since_ts = key.since_ts or 0
            raise KeyConflict(document.server_name, key.verify_key, since_ts, served)


def _prune_keys(cursor: Cursor, server_name: ServerName, peer: ServerName) -> None:
    """Forget the keys whose validity ended first, beyond the limit."""
    key = (server_name.name, peer.name)
    cursor.execute(
        "DELETE FROM server_keys WHERE server_name = ? AND peer = ? AND key_id NOT IN"
        " (SELECT key_id FROM server_keys WHERE server_name = ? AND peer = ?"
        " ORDER BY COALESCE(valid_until_ts, expired_ts) DESC LIMIT ?)",
        (*key, *key, _MAX_KEYS),
    )


def forget_keys(cursor: Cursor, server_name: ServerName, peer: ServerName) -> bool:
    """Forget the keys of a server, and its key documents; whether there were any.

    They may be another server's, which was trusted too early.
    """
    has_documents = (
        cursor.execute(
            "DELETE FROM key_documents WHERE server_name = ? AND peer = ? RETURNING id",
            (server_name.name, peer.name),
        ).fetchall()
        != []
    )
    keys = cursor.execute(
        "DELETE FROM server_keys WHERE server_name = ? AND peer = ? RETURNING key_id",
        (server_name.name, peer.name),
    ).fetchall()
    return has_documents or keys != []
