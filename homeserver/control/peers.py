"""What is known of other servers, for a person.

Rules of the room: a peer is whoever was verified once, is owed something, or did not
get what it was owed.
"""

from collections.abc import Sequence
from typing import Protocol

from homeserver.control.caches import CacheBook
from homeserver.outbound.sender import Sender
from homeserver.protocol.canonical import Json, encode_base64
from homeserver.protocol.names import ServerName
from homeserver.storage.outbound import OutboundQueue
from homeserver.storage.peers import Peer, PeerStore

_NOTHING_OWED: Json = {
    "queued": 0,
    "oldest_id": None,
    "failures": 0,
    "next_attempt_ts": None,
    "last_error": None,
    "rejected": 0,
    "dropped": 0,
}

_NEVER_VERIFIED: Json = {
    "verified_by": None,
    "pinned_keys": {},
    "certificate_sha256": None,
    "first_verified_ts": None,
    "last_verified_ts": None,
}


class Memory(Protocol):
    """A part that remembers something of a server."""

    def forget(self, name: ServerName, /) -> object:
        """Forget it."""
        ...


class PeerBook:
    """Answers for peers, and changes what a person may change of them."""

    def __init__(
        self,
        peers: PeerStore,
        queue: OutboundQueue,
        sender: Sender,
        caches: CacheBook,
        memories: Sequence[Memory] = (),
    ) -> None:
        """`memories` are what else remembers something of peers."""
        self._peers = peers
        self._queue = queue
        self._sender = sender
        self._caches = caches
        self._memories = memories

    async def all(self) -> list[Json]:
        """Every peer, by name, as `describe` has it."""
        known = {peer.server_name: peer for peer in await self._peers.peers()}
        names = known.keys() | set(await self._queue.destinations())
        return [
            await self._describe(name, known.get(name))
            for name in sorted(names, key=str)
        ]

    async def describe(self, name: ServerName) -> Json | None:
        """One peer; None if nothing is known of it and nothing owed to it.

        `{"server_name", "verified_by", "pinned_keys": {key ID: base64},
        "certificate_sha256", "first_verified_ts", "last_verified_ts", "queued",
        "oldest_id", "failures", "next_attempt_ts", "last_error", "rejected",
        "dropped"}`.
        """
        peer = await self._peers.peer(name)
        if peer is None and await self._queue.summary(name) is None:
            return None
        return await self._describe(name, peer)

    async def forget(self, name: ServerName) -> bool:
        """Forget a peer: how it was verified, its pins, its keys, and its failures.

        Whether anything was known of it.
        """
        was_known = await self._peers.forget(name)
        for memory in self._memories:
            memory.forget(name)
        was_owed = await self.retry(name)
        return was_known or was_owed

    async def retry(self, name: ServerName) -> bool:
        """End the back-off of a peer, and forget what was looked up to reach it.

        Whether it is known at all, or anything was remembered.
        """
        was_remembered = self._caches.forget(name)
        if await self.describe(name) is None:
            return was_remembered
        await self._sender.retry(name)
        return True

    async def _describe(self, name: ServerName, peer: Peer | None) -> Json:
        owed = await self._queue.summary(name) or _NOTHING_OWED
        verified = _NEVER_VERIFIED
        if peer is not None:
            verified = {
                "verified_by": peer.verified_by,
                "pinned_keys": {
                    key_id: encode_base64(key.key)
                    for key_id, key in peer.pinned_keys.items()
                },
                "certificate_sha256": peer.certificate_sha256,
                "first_verified_ts": peer.first_verified_ts,
                "last_verified_ts": peer.last_verified_ts,
            }
        return {"server_name": name.name, **verified, **owed}
