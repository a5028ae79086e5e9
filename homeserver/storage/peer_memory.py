"""What the peer stores of all names of a process share.

Rules: what is known of a server is kept for each of our names apart. The bounds on it
protect the process and the disk, so they are one for all names.
"""

from collections.abc import Awaitable, Callable, Mapping

from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounded_map import ByteLimit
from homeserver.net.cache import Cache
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.storage import known_names
from homeserver.storage.known_names import Known
from homeserver.storage.server_keys import StoredKey

# How long keys are cached: other processes may change the same store.
_REMEMBERED_SECONDS = 60.0

# Keys of about 17,000 servers with one key each, for as many requests within a minute.
MAX_REMEMBERED_BYTES = 16 * 1024 * 1024

# Of the memory that the keys of a server take, as measured.
_SERVER_BYTES, _KEY_BYTES = 600, 390

StoredKeys = Mapping[KeyId, StoredKey]


def _weigh(keys: StoredKeys) -> int:
    return _SERVER_BYTES + _KEY_BYTES * len(keys)


class PeerMemory:
    """The cached keys, and how much the store knows of other servers."""

    def __init__(self, clock: IReactorTime) -> None:
        self._known = Known()
        self._stored = known_names.build_bounds(lambda: self._known)
        self._keys: Cache[tuple[ServerName, ServerName], StoredKeys] = Cache(
            clock, ByteLimit(MAX_REMEMBERED_BYTES, _weigh)
        )
        remembered = "bytes of remembered keys of servers"
        self.bounds = [
            *self._stored,
            self._keys.make_bound("remembered_keys_bytes", remembered),
        ]

    async def keys(
        self,
        server_name: ServerName,
        peer: ServerName,
        look_up: Callable[[], Awaitable[StoredKeys]],
    ) -> StoredKeys:
        """The keys of a peer as one of our names knows them, cached or looked up."""

        async def look() -> tuple[StoredKeys, float]:
            return await look_up(), _REMEMBERED_SECONDS

        return await self._keys.fetch((server_name, peer), look)

    def forget(self, server_name: ServerName, peer: ServerName) -> None:
        """Look up the keys of a peer again."""
        self._keys.forget((server_name, peer))

    def take(self, known: Known) -> None:
        """Take how much the store knows now, and what it has forgotten for that."""
        self._known = known
        for server_name, peer in known.forgotten:
            self.forget(server_name, peer)
        for bound, count in zip(self._stored, known.forgotten_by_bound, strict=True):
            bound.refuse(count)
