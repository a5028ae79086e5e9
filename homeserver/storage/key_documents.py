"""Other servers' key documents, as received.

Rules: a document does not replace an earlier one with keys that it lacks: old events
need keys that their servers no longer list. A document was checked before it was
recorded, and is not checked again. The wanted document is found without reading any.

Specification: Server-server API, "Querying keys through another server".
"""

from collections.abc import Mapping

from msgspec import Struct

from homeserver.protocol.canonical_json import Json, encode, encode_base64, parse_object
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import KeyDocument
from homeserver.storage.engine.interface import Cursor, Database

# Of one server. An honest one has one, and two after it has lost a key.
_MAX_DOCUMENTS = 10


class FetchedDocument(Struct, frozen=True):
    """A fetched version 2 key document without its text."""

    id: int
    keys: Mapping[str, object]
    """All keys in it, with the old ones: {key ID: base64}."""

    valid_until_ts: int
    """From the document; in milliseconds since 1970, as the next."""

    fetched_ts: int
    length: int
    """Of its text, in bytes."""


class DocumentStore:
    """The key documents that one of our names fetched."""

    def __init__(self, database: Database, server_name: ServerName) -> None:
        self._database = database
        self._server_name = server_name

    async def documents(self, peer: ServerName) -> list[FetchedDocument]:
        """The documents of a server, newest first."""
        return await self._database.read(
            lambda cursor: _documents(cursor, self._server_name, peer)
        )

    async def read(self, document: FetchedDocument) -> Json | None:
        """The text of a document; None if another one has replaced it meanwhile."""

        def job(cursor: Cursor) -> str | None:
            row = cursor.execute(
                "SELECT document FROM key_documents WHERE id = ? AND server_name = ?",
                (document.id, self._server_name.name),
            ).fetchone()
            return None if row is None else row[0]

        text = await self._database.read(job)
        return None if text is None else parse_object(text.encode("utf-8"))


def record_document(
    cursor: Cursor, server_name: ServerName, document: KeyDocument, now_ts: int
) -> None:
    """Record a document that one of our names received now.

    The documents that it supersedes are deleted.
    """
    keys = {
        key_id: encode_base64(old.verify_key.key)
        for key_id, old in document.old_verify_keys.items()
    } | {key_id: encode_base64(key.key) for key_id, key in document.verify_keys.items()}
    until = document.valid_until_ts or 0
    kept = 1
    for earlier in _documents(cursor, server_name, document.server_name):
        is_told = earlier.keys.items() <= keys.items()
        if kept == _MAX_DOCUMENTS or (is_told and earlier.valid_until_ts <= until):
            cursor.execute("DELETE FROM key_documents WHERE id = ?", (earlier.id,))
        else:
            kept += 1
    text = encode(document.document)
    cursor.execute(
        "INSERT INTO key_documents"
        " (server_name, peer, keys, valid_until_ts, fetched_ts, length, document)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            server_name.name,
            document.server_name.name,
            encode(keys).decode("utf-8"),
            until,
            now_ts,
            len(text),
            text.decode("utf-8"),
        ),
    )


def _documents(
    cursor: Cursor, server_name: ServerName, peer: ServerName
) -> list[FetchedDocument]:
    rows = cursor.execute(
        "SELECT id, keys, valid_until_ts, fetched_ts, length"
        " FROM key_documents WHERE server_name = ? AND peer = ? ORDER BY id DESC",
        (server_name.name, peer.name),
    ).fetchall()
    return [
        FetchedDocument(own_id, parse_object(keys.encode("utf-8")), *others)
        for own_id, keys, *others in rows
    ]
