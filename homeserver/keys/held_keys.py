"""Fetched keys that have not verified anything yet, in memory.

Rules: the table is bounded in servers, in bytes and in time, because clients choose the
names. Evicted keys are fetched again when they are needed.
"""

from collections import Counter

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounded_map import BoundedMap, SharedLimit
from homeserver.net.bounds import Bound
from homeserver.net.wall_clock import wall_ts
from homeserver.outbound.transport.verified_peer import VerifiedPeer
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


class HeldLimits:
    """The limits that the held keys of all our servers share."""

    def __init__(self) -> None:
        self.servers = SharedLimit(_MAX_SERVERS)
        self._sizes: Counter[HeldKeys] = Counter()
        self.size = 0
        """In bytes."""

        self.by_servers = Bound(
            "held_keys",
            "servers whose keys have proven nothing yet",
            _MAX_SERVERS,
            lambda: self.servers.use,
        )
        self.by_size = Bound(
            "held_keys_bytes",
            "bytes of keys that have proven nothing yet",
            _MAX_BYTES,
            lambda: self.size,
        )
        self.bounds = [self.by_servers, self.by_size]

    def add(self, held: "HeldKeys", size: int) -> None:
        """Count bytes that one of our servers holds; fewer if `size` is negative."""
        self.size += size
        self._sizes[held] += size
        if not self._sizes[held]:
            del self._sizes[held]

    def make_room(self) -> None:
        """Evict the oldest keys of the server with the most bytes, as needed."""
        while self.size > _MAX_BYTES:
            max(self._sizes, key=self._sizes.__getitem__).evict_oldest()


class HeldKeys:
    """Fetched keys by server; the oldest are evicted first."""

    def __init__(self, clock: IReactorTime, limits: HeldLimits) -> None:
        self._clock = clock
        self._limits = limits
        self._held: BoundedMap[ServerName, Held] = BoundedMap(
            limits.servers, self._evict
        )

    def hold(self, document: KeyDocument, peer: VerifiedPeer) -> None:
        """Hold a document, in place of an older one of the same server."""
        name = document.server_name
        self.take(name)
        size = len(encode(document.document)) + len(peer.certificate)
        self._limits.add(self, size)
        self._held[name] = Held(document, peer, wall_ts(self._clock), size)
        self._limits.make_room()

    def find(self, server_name: ServerName) -> Held | None:
        """The held keys of a server, if there are any."""
        held = self._held.get(server_name)
        if held is None:
            return None
        if held.fetched_ts + _HELD_SECONDS * 1000 <= wall_ts(self._clock):
            self.take(server_name)
            return None
        return held

    def take(self, server_name: ServerName) -> Held | None:
        """Remove and return the held keys of a server, if there are any."""
        held: Held | None = self._held.pop(server_name, None)
        if held is not None:
            self._limits.add(self, -held.size)
        return held

    def drop(self, held: Held) -> None:
        """Remove held keys, unless others of their server were held since."""
        if self._held.get(held.document.server_name) is held:
            self.take(held.document.server_name)

    def evict_oldest(self) -> None:
        """Forget the keys that were held for the longest time."""
        self._held.evict_oldest()

    def _evict(self, held: Held) -> None:
        limits = self._limits
        is_too_large = limits.size > _MAX_BYTES
        (limits.by_size if is_too_large else limits.by_servers).refuse()
        limits.add(self, -held.size)
