"""Other servers' signing keys, current and old ones.

Rules of the room: of one key ID, the key that was published last counts; of the same
key, a shorter validity never replaces a longer one: a document that is fetched later
may have been made earlier.
"""

from msgspec import Struct

from homeserver.protocol.keys import KeyDocument, valid_until
from homeserver.protocol.names import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.database import Cursor

_MAX_KEYS = 500  # of one server, of all times; a new one each day is enough for a year


class StoredKey(Struct, frozen=True):
    """A signing key of another server, and until when it is good."""

    verify_key: VerifyKey
    valid_until_ts: int | None
    """For requests, in milliseconds since 1970; None for an old key."""

    expired_ts: int | None
    """When an old key stopped being used; None for a current one."""


def load_keys(cursor: Cursor, server_name: ServerName) -> dict[KeyId, StoredKey]:
    """All keys that are known of a server."""
    rows = cursor.execute(
        "SELECT key_id, key, valid_until_ts, expired_ts FROM server_keys"
        " WHERE server_name = ?",
        (server_name.name,),
    ).fetchall()
    return {
        key_id: StoredKey(VerifyKey(key_id, bytes(key)), until, expired)
        for key_id, key, until, expired in rows
    }


def record_keys(cursor: Cursor, document: KeyDocument, now_ts: int) -> None:
    """Record the keys of a document that its server was proven to publish."""
    name = document.server_name.name
    until = valid_until(document, now_ts)
    rows = [
        (name, key_id, key.key, until, None)
        for key_id, key in document.verify_keys.items()
    ] + [
        (name, key_id, old.verify_key.key, None, old.expired_ts)
        for key_id, old in document.old_verify_keys.items()
    ]
    # In one order, so that nobody who does the same has what this waits for.
    for row in sorted(rows, key=lambda row: row[1]):
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


def expire_keys(cursor: Cursor, server_name: ServerName) -> None:
    """Let no stored key of a server verify requests any more; they are fetched anew.

    They may have been somebody else's, who was believed too early.
    """
    cursor.execute(
        "UPDATE server_keys SET valid_until_ts = 0"
        " WHERE server_name = ? AND expired_ts IS NULL",
        (server_name.name,),
    )
