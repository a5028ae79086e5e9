"""What is known of other servers, for an operator.

Rules: a peer is a server that was verified once, or that has or had a queue.
"""

from collections.abc import Sequence
from typing import Protocol

from homeserver.control.caches import CacheBook
from homeserver.outbound.delivery.sender import Sender
from homeserver.protocol.canonical_json import Json, as_text, encode_base64
from homeserver.protocol.identifiers import ServerName, parse_fingerprint
from homeserver.storage.outbox.queue import OutboundQueue
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
    """A part that remembers something about a server."""

    def forget(self, name: ServerName, /) -> object:
        """Forget all about a server."""
        ...


class PeerBook:
    """Describes peers, and changes what an operator may change of them."""

    def __init__(
        self,
        peers: PeerStore,
        queue: OutboundQueue,
        sender: Sender,
        caches: CacheBook,
        memories: Sequence[Memory] = (),
    ) -> None:
        """`memories` are the other parts that remember something about peers."""
        self._peers = peers
        self._queue = queue
        self._sender = sender
        self._caches = caches
        self._memories = memories

    async def all(self) -> list[Json]:
        """Every peer, by name, as `describe` has it."""
        known = {peer.server_name: peer for peer in await self._peers.peers()}
        names = known.keys() | set(await self._queue.destinations())
        names |= set(await self._peers.certificate_pins.names())
        return [
            await self._describe(name, known.get(name))
            for name in sorted(names, key=str)
        ]

    async def describe(self, name: ServerName) -> Json | None:
        """One peer; None if nothing is known of it and nothing is queued for it.

        `{"server_name", "verified_by", "pinned_keys": {key ID: base64},
        "certificate_sha256", "first_verified_ts", "last_verified_ts",
        "pinned_certificate_sha256", "keys": {key ID: {"key", "since_ts",
        "valid_until_ts"}}, "queued", "oldest_id", "failures", "next_attempt_ts",
        "last_error", "rejected", "dropped"}`.
        """
        peer = await self._peers.peer(name)
        shown = await self._describe(name, peer)
        is_known = peer is not None or await self._queue.summary(name) is not None
        if is_known or shown["keys"] or shown["pinned_certificate_sha256"]:
            return shown
        return None

    async def pin(self, name: ServerName, content: Json) -> None:
        """Trust the certificate in `{"certificate_sha256"}` for a peer.

        Delivery is retried immediately. Raises `BadJson` and `InvalidParam`.
        """
        text = as_text(content.get("certificate_sha256"), "`certificate_sha256`")
        await self._peers.certificate_pins.pin(name, parse_fingerprint(text))
        await self.retry(name)

    async def forget(self, name: ServerName) -> bool:
        """Forget a peer: its verification, its pins, its keys and its failures.

        Returns whether anything was known of it.
        """
        was_known = await self._peers.forget(name)
        for memory in self._memories:
            memory.forget(name)
        was_owed = await self.retry(name)
        return was_known or was_owed

    async def retry(self, name: ServerName) -> bool:
        """Reset the back-off of a peer, and forget its discovery results.

        Returns whether the peer is known or anything was remembered.
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
        pin = await self._peers.certificate_pins.find(name)
        return {
            "server_name": name.name,
            **verified,
            "pinned_certificate_sha256": pin,
            "keys": await self._keys(name),
            **owed,
        }

    async def _keys(self, name: ServerName) -> Json:
        """The stored keys; `since_ts` is null if it was not recorded."""
        since = await self._peers.keys_since(name)
        return {
            key_id: {
                "key": encode_base64(stored.verify_key.key),
                "since_ts": since.get(key_id) or None,
                "valid_until_ts": stored.valid_until_ts,
            }
            for key_id, stored in sorted((await self._peers.keys(name)).items())
        }
