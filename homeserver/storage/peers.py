"""Other servers: how each was verified, the keys pinned to it, its signing keys.

Rules: what one of our names knows of a server is not known to the others. A peer that
was verified by its certificate stays one, also if another process verifies it at the
same moment. Keys are cached for a minute.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.canonical_json import (
    as_object,
    as_text,
    encode,
    encode_base64,
    parse_object,
)
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.key_documents import KeyDocument
from homeserver.protocol.signing import VerifyKey
from homeserver.storage import known_names
from homeserver.storage.certificate_pins import CertificatePins, forget_pin
from homeserver.storage.engine.interface import (
    Cursor,
    Database,
    Short,
    StoreUnavailable,
)
from homeserver.storage.key_documents import record_document
from homeserver.storage.known_names import Known
from homeserver.storage.peer_memory import PeerMemory
from homeserver.storage.server_keys import (
    KeyConflict,
    StoredKey,
    check_keys,
    forget_keys,
    load_keys,
    record_keys,
)


class Peer(Struct, frozen=True):
    """A peer that was verified at least once."""

    server_name: ServerName
    verified_by: str
    """`certificate` or `key-document`."""

    certificate_sha256: str
    """Of the last verified leaf, in hexadecimal."""

    pinned_keys: Mapping[KeyId, VerifyKey]
    first_verified_ts: int
    """In milliseconds since 1970, as the next."""

    last_verified_ts: int


PEER_COLUMNS = (
    "p.peer, p.verified_by, p.certificate_sha256, p.pinned_keys, p.first_verified_ts,"
    " p.last_verified_ts"
)
"""What `read_peer` reads, of `peers p`."""


class PeerStore:
    """The facts about other servers that are stored for one of our names."""

    def __init__(
        self,
        database: Database,
        server_name: ServerName,
        clock: IReactorTime,
        memory: PeerMemory | None = None,
    ) -> None:
        """`memory` is that of all names of the process; by default, one of its own."""
        self._database = database
        self._server_name = server_name
        self._clock = clock
        self.certificate_pins = CertificatePins(database, server_name, clock)
        self._memory = memory or PeerMemory(clock)
        self.bounds = self._memory.bounds

    async def peer(self, name: ServerName) -> Peer | None:
        """The peer of that name; None if it was never verified."""

        def job(cursor: Cursor) -> Peer | None:
            row = cursor.execute(
                f"SELECT {PEER_COLUMNS} FROM peers p"  # noqa: S608 - ours
                " WHERE server_name = ? AND peer = ?",
                (self._server_name.name, name.name),
            ).fetchone()
            return None if row is None else read_peer(row)

        return await self._database.read(Short(job))

    async def forget(self, name: ServerName) -> bool:
        """Forget how a peer was verified, its pin and its keys; whether any was known.

        Its keys no longer verify anything, unless they are fetched again.
        """

        def job(cursor: Cursor) -> bool:
            had_pin = forget_pin(cursor, self._server_name, name)
            return known_names.forget(cursor, self._server_name, name) or had_pin

        try:
            return await self._database.write(job)
        finally:
            self._memory.forget(self._server_name, name)

    def look_again(self, name: ServerName) -> None:
        """Read the keys of a server from the store again."""
        self._memory.forget(self._server_name, name)

    async def record_verified(
        self, verified: Peer, known: Peer | None, document: KeyDocument | None
    ) -> bool:
        """Record that a peer was verified; whether the verification is still valid.

        `known` is the peer as it was stored when it was verified. `document` verified
        it, or None for its certificate. The verification is not valid, and nothing is
        recorded, if meanwhile another connection has verified the peer by certificate
        or pinned other keys to it, or if the peer was forgotten. The keys of `document`
        are recorded with it. Raises `KeyConflict`.
        """
        own, name = self._server_name, verified.server_name

        def job(cursor: Cursor) -> Known | None:
            row = _lock_peer(cursor, own, verified)
            if row is None and known is not None:
                known_names.forget(cursor, own, name)
                return None
            if row is not None and document is not None:
                expected = {} if known is None else known.pinned_keys
                pins_hold = _pins(row[1]) in (expected, verified.pinned_keys)
                if row[0] == "certificate" or not pins_hold:
                    return None
            if document is None and row is not None and row[0] != "certificate":
                forget_keys(cursor, own, name)
            if row is not None:
                _update_peer(cursor, own, verified)
            if document is not None:
                record_keys(cursor, own, document, verified.last_verified_ts)
            return known_names.note(cursor, own, name, wall_ts(self._clock))

        return await self._record(name, job)

    async def keys(self, peer: ServerName) -> Mapping[KeyId, StoredKey]:
        """All stored keys of a server."""
        own = self._server_name

        def job(cursor: Cursor) -> tuple[Mapping[KeyId, StoredKey], int | None]:
            keys = load_keys(cursor, own, peer)
            return keys, known_names.last_use(cursor, own, peer)

        async def look_up() -> Mapping[KeyId, StoredKey]:
            keys, used_ts = await self._database.read(Short(job))
            self._note_use(peer, used_ts)
            return keys

        return await self._memory.keys(own, peer, look_up)

    async def conflict(self, document: KeyDocument) -> str | None:
        """How a document contradicts the stored keys of its server, if it does."""

        def job(cursor: Cursor) -> str | None:
            try:
                check_keys(cursor, self._server_name, document)
            except KeyConflict as conflict:
                return str(conflict)
            return None

        return await self._database.read(job)

    async def record_keys(self, document: KeyDocument, now_ts: int) -> None:
        """Record the keys of a document that its server was proven to publish.

        A document of version 2 is recorded as well. Raises `KeyConflict`.
        """
        own, name = self._server_name, document.server_name

        def job(cursor: Cursor) -> Known:
            record_keys(cursor, own, document, now_ts)
            if document.valid_until_ts is not None:
                record_document(cursor, own, document, now_ts)
            return known_names.note(cursor, own, name, wall_ts(self._clock))

        await self._record(name, job)

    async def _record(
        self, name: ServerName, job: Callable[[Cursor], Known | None]
    ) -> bool:
        """Store facts about a server, and forget others for it; whether it did."""
        try:
            known = await self._database.write(job)
        finally:
            self._memory.forget(self._server_name, name)
        if known is None:
            return False
        self._memory.take(known)
        return True

    def _note_use(self, peer: ServerName, used_ts: int | None) -> None:
        """Note that the keys of a server are used, if the last note is too old."""
        now_ts = wall_ts(self._clock)
        if used_ts is None or now_ts - used_ts < known_names.USE_SECONDS * 1000:
            return
        own = self._server_name
        job = Short(partial(known_names.use, server_name=own, peer=peer, now_ts=now_ts))
        # Not awaited: the keys are needed even if this write fails.
        Deferred.fromCoroutine(self._database.write(job)).addErrback(
            lambda failure: failure.trap(StoreUnavailable)
        )


def _lock_peer(
    cursor: Cursor, server_name: ServerName, peer: Peer
) -> tuple[str, str] | None:
    """How a peer is stored, and its pins; None if it was inserted now.

    In both cases the row is locked until the commit, so that no other process changes
    the peer meanwhile.
    """
    row = None
    while row is None:
        is_new = cursor.execute(
            "INSERT INTO peers (server_name, peer, verified_by, certificate_sha256,"
            " pinned_keys, first_verified_ts, last_verified_ts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (server_name, peer) DO NOTHING RETURNING peer",
            (
                server_name.name,
                peer.server_name.name,
                peer.verified_by,
                peer.certificate_sha256,
                _pins_as_text(peer),
                peer.first_verified_ts,
                peer.last_verified_ts,
            ),
        ).fetchone()
        if is_new is not None:
            return None
        # There is none if the peer was forgotten between the two statements.
        row = cursor.execute(
            "SELECT verified_by, pinned_keys FROM peers"
            " WHERE server_name = ? AND peer = ? FOR UPDATE",
            (server_name.name, peer.server_name.name),
        ).fetchone()
    return row[0], row[1]


def _update_peer(cursor: Cursor, server_name: ServerName, peer: Peer) -> None:
    cursor.execute(
        "UPDATE peers SET verified_by = ?, certificate_sha256 = ?, pinned_keys = ?,"
        " last_verified_ts = ? WHERE server_name = ? AND peer = ?",
        (
            peer.verified_by,
            peer.certificate_sha256,
            _pins_as_text(peer),
            peer.last_verified_ts,
            server_name.name,
            peer.server_name.name,
        ),
    )


def read_peer(row: Sequence[Any]) -> Peer:
    """A peer, of the columns in `PEER_COLUMNS`."""
    name, verified_by, sha256, pins, first_ts, last_ts = row
    peer = ServerName.parse(name)
    return Peer(peer, verified_by, sha256, _pins(pins), first_ts, last_ts)


def _pins_as_text(peer: Peer) -> str:
    pins = {key_id: encode_base64(key.key) for key_id, key in peer.pinned_keys.items()}
    return encode(pins).decode("utf-8")


def _pins(text: str) -> dict[KeyId, VerifyKey]:
    pins = as_object(parse_object(text.encode("utf-8")), "pinned keys")
    return {
        (key_id := parse_key_id(name)): VerifyKey.parse(key_id, as_text(key, name))
        for name, key in pins.items()
    }
