"""Other servers: how each was verified, the keys pinned to it, its signing keys.

Rules: a peer that was verified by its certificate stays one, also if another process
verifies it at the same moment. Keys are cached for a minute.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.net.cache import Cache
from homeserver.net.wall_clock import wall_seconds
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
from homeserver.storage.server_keys import (
    KeyConflict,
    StoredKey,
    check_keys,
    forget_keys,
    load_keys,
    load_since,
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


# How long keys are cached: other processes may change the same store.
_REMEMBERED_SECONDS = 60.0

_MAX_REMEMBERED = 2000  # servers, most of which have one key or two


class PeerStore:
    """The stored facts about other servers."""

    def __init__(self, database: Database, clock: IReactorTime) -> None:
        self._database = database
        self._clock = clock
        self.certificate_pins = CertificatePins(database, clock)
        self._known = Known()
        self.bounds = known_names.build_bounds(lambda: self._known)
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

        return await self._database.read(Short(job))

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
        """Forget how a peer was verified, its pin and its keys; whether any was known.

        Its keys no longer verify anything, unless they are fetched again.
        """

        def job(cursor: Cursor) -> bool:
            had_pin = forget_pin(cursor, server_name)
            return known_names.forget(cursor, server_name) or had_pin

        try:
            return await self._database.write(job)
        finally:
            self._keys.forget(server_name)

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
        name = verified.server_name

        def job(cursor: Cursor) -> Known | None:
            row = _lock_peer(cursor, verified)
            if row is None and known is not None:
                known_names.forget(cursor, name)
                return None
            if row is not None and document is not None:
                expected = {} if known is None else known.pinned_keys
                pins_hold = _pins(row[1]) in (expected, verified.pinned_keys)
                if row[0] == "certificate" or not pins_hold:
                    return None
            if document is None and row is not None and row[0] != "certificate":
                forget_keys(cursor, name)
            if row is not None:
                _update_peer(cursor, verified)
            if document is not None:
                record_keys(cursor, document, verified.last_verified_ts)
            return known_names.note(cursor, name, self._now_ts())

        return await self._record(name, job)

    async def keys(self, server_name: ServerName) -> Mapping[KeyId, StoredKey]:
        """All stored keys of a server."""

        def job(cursor: Cursor) -> tuple[Mapping[KeyId, StoredKey], int | None]:
            return (
                load_keys(cursor, server_name),
                known_names.last_use(cursor, server_name),
            )

        async def look_up() -> tuple[Mapping[KeyId, StoredKey], float]:
            keys, used_ts = await self._database.read(Short(job))
            self._note_use(server_name, used_ts)
            return keys, _REMEMBERED_SECONDS

        return await self._keys.fetch(server_name, look_up)

    async def keys_since(self, server_name: ServerName) -> Mapping[KeyId, int]:
        """When each key of a server was stored, in milliseconds; 0 if unknown."""
        return await self._database.read(partial(load_since, server_name=server_name))

    async def conflict(self, document: KeyDocument) -> str | None:
        """How a document contradicts the stored keys of its server, if it does."""

        def job(cursor: Cursor) -> str | None:
            try:
                check_keys(cursor, document)
            except KeyConflict as conflict:
                return str(conflict)
            return None

        return await self._database.read(job)

    async def record_keys(self, document: KeyDocument, now_ts: int) -> None:
        """Record the keys of a document that its server was proven to publish.

        A document of version 2 is recorded as well. Raises `KeyConflict`.
        """

        def job(cursor: Cursor) -> Known:
            record_keys(cursor, document, now_ts)
            if document.valid_until_ts is not None:
                record_document(cursor, document, now_ts)
            return known_names.note(cursor, document.server_name, self._now_ts())

        await self._record(document.server_name, job)

    async def _record(
        self, server_name: ServerName, job: Callable[[Cursor], Known | None]
    ) -> bool:
        """Store facts about a server, and forget others for it; whether it did."""
        try:
            known = await self._database.write(job)
        finally:
            self._keys.forget(server_name)
        if known is None:
            return False
        self._known = known
        for forgotten in known.forgotten:
            self._keys.forget(forgotten)
        for bound, count in zip(self.bounds, known.forgotten_by_bound, strict=True):
            bound.refuse(count)
        return True

    def _note_use(self, server_name: ServerName, used_ts: int | None) -> None:
        """Note that the keys of a server are used, if the last note is too old."""
        now_ts = self._now_ts()
        if used_ts is None or now_ts - used_ts < known_names.USE_SECONDS * 1000:
            return
        job = Short(partial(known_names.use, server_name=server_name, now_ts=now_ts))
        # Not awaited: the keys are needed even if this write fails.
        Deferred.fromCoroutine(self._database.write(job)).addErrback(
            lambda failure: failure.trap(StoreUnavailable)
        )

    def _now_ts(self) -> int:
        return int(wall_seconds(self._clock) * 1000)


def _lock_peer(cursor: Cursor, peer: Peer) -> tuple[str, str] | None:
    """How a peer is stored, and its pins; None if it was inserted now.

    In both cases the row is locked until the commit, so that no other process changes
    the peer meanwhile.
    """
    row = None
    while row is None:
        is_new = cursor.execute(
            "INSERT INTO peers (server_name, verified_by, certificate_sha256,"
            " pinned_keys, first_verified_ts, last_verified_ts)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (server_name) DO NOTHING"
            " RETURNING server_name",
            (
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
            "SELECT verified_by, pinned_keys FROM peers WHERE server_name = ?"
            " FOR UPDATE",
            (peer.server_name.name,),
        ).fetchone()
    return row[0], row[1]


def _update_peer(cursor: Cursor, peer: Peer) -> None:
    cursor.execute(
        "UPDATE peers SET verified_by = ?, certificate_sha256 = ?, pinned_keys = ?,"
        " last_verified_ts = ? WHERE server_name = ?",
        (
            peer.verified_by,
            peer.certificate_sha256,
            _pins_as_text(peer),
            peer.last_verified_ts,
            peer.server_name.name,
        ),
    )


def _peer(server_name: ServerName, row: Sequence[Any]) -> Peer:
    verified_by, certificate_sha256, pins, first_ts, last_ts = row
    return Peer(
        server_name, verified_by, certificate_sha256, _pins(pins), first_ts, last_ts
    )


def _pins_as_text(peer: Peer) -> str:
    pins = {key_id: encode_base64(key.key) for key_id, key in peer.pinned_keys.items()}
    return encode(pins).decode("utf-8")


def _pins(text: str) -> dict[KeyId, VerifyKey]:
    pins = as_object(parse_object(text.encode("utf-8")), "pinned keys")
    return {
        (key_id := parse_key_id(name)): VerifyKey.parse(key_id, as_text(key, name))
        for name, key in pins.items()
    }
