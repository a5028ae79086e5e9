"""What is known of other servers, for an operator.

Rules: a peer is a server that was verified once, or that has or had a queue.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec.structs import asdict

from homeserver.control.caches import CacheBook
from homeserver.control.views import PeerView, StoredKeyView
from homeserver.outbound.delivery.sender import Sender
from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.outbox.progress import QueueSummary
from homeserver.storage.outbox.queue import OutboundQueue
from homeserver.storage.peers import Peer, PeerStore


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

    async def all(self) -> list[PeerView]:
        """Every peer, by name."""
        known = {peer.server_name: peer for peer in await self._peers.peers()}
        names = known.keys() | set(await self._queue.destinations())
        names |= set(await self._peers.certificate_pins.names())
        return [
            await self._describe(name, known.get(name))
            for name in sorted(names, key=str)
        ]

    async def describe(self, name: ServerName) -> PeerView | None:
        """One peer; None if nothing is known of it and nothing is queued for it."""
        peer = await self._peers.peer(name)
        shown = await self._describe(name, peer)
        is_known = peer is not None or await self._queue.summary(name) is not None
        if is_known or shown.keys or shown.pinned_certificate_sha256:
            return shown
        return None

    async def pin(self, name: ServerName, sha256: str) -> None:
        """Trust the certificate of a peer with this fingerprint, in hexadecimal.

        Delivery is retried immediately.
        """
        await self._peers.certificate_pins.pin(name, sha256)
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

    async def _describe(self, name: ServerName, peer: Peer | None) -> PeerView:
        queue = await self._queue.summary(name) or QueueSummary()
        return PeerView(
            server_name=name.name,
            verified_by=None if peer is None else peer.verified_by,
            pinned_keys={} if peer is None else _in_base64(peer.pinned_keys),
            certificate_sha256=None if peer is None else peer.certificate_sha256,
            first_verified_ts=None if peer is None else peer.first_verified_ts,
            last_verified_ts=None if peer is None else peer.last_verified_ts,
            pinned_certificate_sha256=await self._peers.certificate_pins.find(name),
            keys=await self._keys(name),
            **asdict(queue),
        )

    async def _keys(self, name: ServerName) -> dict[str, StoredKeyView]:
        """The stored keys, by key ID."""
        since = await self._peers.keys_since(name)
        return {
            key_id: StoredKeyView(
                encode_base64(stored.verify_key.key),
                since.get(key_id) or None,
                stored.valid_until_ts,
            )
            for key_id, stored in sorted((await self._peers.keys(name)).items())
        }


def _in_base64(keys: Mapping[KeyId, VerifyKey]) -> dict[str, str]:
    return {key_id: encode_base64(key.key) for key_id, key in keys.items()}
