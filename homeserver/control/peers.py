"""What is known of other servers, for an operator.

Rules: a peer is a server that was verified once, or that has or had a queue.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from msgspec.structs import asdict

from homeserver.control.caches import CacheBook
from homeserver.control.peer_views import PeerView, StoredKeyView
from homeserver.outbound.delivery.outgoing import Outgoing
from homeserver.protocol.canonical_json import encode_base64
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.known_peers import KnownPeer, KnownPeers
from homeserver.storage.outbox.progress import QueueSummary
from homeserver.storage.peers import PeerStore


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
        known: KnownPeers,
        sender: Outgoing,
        caches: CacheBook,
        seen: Memory,
        memories: Sequence[Memory] = (),
    ) -> None:
        """`seen` remembers how peers were last seen.

        `memories` are the other parts that remember something about them.
        """
        self._peers = peers
        self._known = known
        self._sender = sender
        self._caches = caches
        self._seen = seen
        self._memories = memories

    async def page(self, after: ServerName | None, limit: int) -> list[PeerView]:
        """Up to `limit` peers after a name, by name."""
        return [_view(peer) for peer in await self._known.page(after, limit)]

    async def describe(self, name: ServerName) -> PeerView | None:
        """One peer; None if nothing is known of it and nothing is queued for it."""
        peer = await self._known.find(name)
        return None if peer is None else _view(peer)

    async def pin(self, name: ServerName, sha256: str) -> None:
        """Trust the certificate of a peer with this fingerprint, in hexadecimal.

        Delivery is retried immediately.
        """
        await self._peers.certificate_pins.pin(name, sha256)
        await self.retry(name)

    async def forget(self, name: ServerName) -> int | None:
        """Forget a peer: its verification, its pins, its keys and its failures.

        Returns the number of entries that stay queued for it; None if nothing was known
        of it.
        """
        was_listed = await self.describe(name) is not None
        was_known = await self._peers.forget(name) or was_listed
        was_seen = bool(self._seen.forget(name))
        self.look_again(name)
        was_remembered = self._caches.forget(name)
        queued = await self._sender.forget(name)
        return queued if was_known or was_seen or was_remembered else None

    def look_again(self, name: ServerName) -> None:
        """Let each part forget what it remembers of a peer that was changed."""
        self._peers.look_again(name)
        for memory in self._memories:
            memory.forget(name)

    async def retry(self, name: ServerName) -> bool:
        """Reset the back-off of a peer, and forget its discovery results.

        Returns whether the peer is known or anything was remembered.
        """
        was_remembered = self._caches.forget(name)
        if await self.describe(name) is None:
            return was_remembered
        await self._sender.retry(name)
        return True


def _view(peer: KnownPeer) -> PeerView:
    verified = peer.verified
    return PeerView(
        server_name=peer.name.name,
        verified_by=None if verified is None else verified.verified_by,
        pinned_keys={} if verified is None else _in_base64(verified.pinned_keys),
        certificate_sha256=None if verified is None else verified.certificate_sha256,
        first_verified_ts=None if verified is None else verified.first_verified_ts,
        last_verified_ts=None if verified is None else verified.last_verified_ts,
        pinned_certificate_sha256=peer.pinned_certificate_sha256,
        keys={
            key_id: StoredKeyView(
                encode_base64(known.verify_key.key),
                known.since_ts,
                known.valid_until_ts,
            )
            for key_id, known in peer.keys.items()
        },
        **asdict(peer.queue or QueueSummary()),
    )


def _in_base64(keys: Mapping[KeyId, VerifyKey]) -> dict[str, str]:
    return {key_id: encode_base64(key.key) for key_id, key in keys.items()}
