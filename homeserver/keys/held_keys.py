"""Fetched keys that have not verified anything yet, in memory.

Rules: the table is bounded in servers, in bytes and in time, because clients choose the
names. Evicted keys are fetched again when they are needed.
"""

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounded_map import BoundedMap
from homeserver.net.bounds import Bound
from homeserver.net.wall_clock import wall_seconds
from homeserver.outbound.transport.verification import VerifiedPeer
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import KeyDocument, valid_until
from homeserver.storage.server_keys import StoredKey

_MAX_SERVERS = 1000  # ten times as many as are fetched at once
_MAX_BYTES = 8 * 1024 * 1024  # 120 of the largest documents; honest ones have 1 KB

# For how long forged requests in the name of a server cause no other fetch.
_HELD_SECONDS = 3600.0


class Held(Struct, frozen=True):
    """A key document, and the peer that it came from."""

    document: KeyDocument
    peer: VerifiedPeer
    fetched_ts: int
    """In milliseconds since 1970."""

    size: int
    """In bytes."""

    def keys(self) -> dict[KeyId, StoredKey]:
        """The keys as they would be stored."""
        until = valid_until(self.document, self.fetched_ts)
        return {
            key_id: StoredKey(old.verify_key, None, old.expired_ts)
            for key_id, old in self.document.old_verify_keys.items()
        } | {
            key_id: StoredKey(key, until, None)
            for key_id, key in self.document.verify_keys.items()
        }


class HeldKeys:
    """Fetched keys by server; the oldest are evicted first."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._held: BoundedMap[ServerName, Held] = BoundedMap(_MAX_SERVERS, self._evict)
        self._size = 0
        self._by_servers = Bound(
            "held_keys",
            "servers whose keys have proven nothing yet",
            _MAX_SERVERS,
            lambda: len(self._held),
        )
        self._by_size = Bound(
            "held_keys_bytes",
            "bytes of keys that have proven nothing yet",
            _MAX_BYTES,
            lambda: self._size,
        )
        self.bounds = [self._by_servers, self._by_size]

    def hold(self, document: KeyDocument, peer: VerifiedPeer) -> None:
        """Hold a document, in place of an older one of the same server."""
        name = document.server_name
        self.take(name)
        size = len(encode(document.document)) + len(peer.certificate)
        self._size += size
        self._held[name] = Held(document, peer, self._now_ts(), size)
        while self._size > _MAX_BYTES:
            self._held.evict_oldest()

    def find(self, server_name: ServerName) -> Held | None:
        """The held keys of a server, if there are any."""
        held = self._held.get(server_name)
        if held is None:
            return None
        if held.fetched_ts + _HELD_SECONDS * 1000 <= self._now_ts():
            self.take(server_name)
            return None
        return held

    def take(self, server_name: ServerName) -> Held | None:
        """Remove and return the held keys of a server, if there are any."""
        held = self._held.pop(server_name, None)
        if held is not None:
            self._size -= held.size
        return held

    def drop(self, held: Held) -> None:
        """Remove held keys, unless others of their server were held since."""
        if self._held.get(held.document.server_name) is held:
            self.take(held.document.server_name)

    def _evict(self, held: Held) -> None:
        bound = self._by_size if self._size > _MAX_BYTES else self._by_servers
        bound.refuse()
        self._size -= held.size

    def _now_ts(self) -> int:
        return int(wall_seconds(self._clock) * 1000)
