"""A verified peer, and the record of it: its method, its pinned keys, its document.

Rules: a peer is recorded after its verification, and only if what is stored is still
what it was verified against. Otherwise two connections that are verified at one moment
could each pin other keys.
"""

import hashlib
from dataclasses import dataclass, field

from homeserver.config.values import VerificationMethod
from homeserver.outbound.transport.failures import NotVerified
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import KeyDocument
from homeserver.storage.peers import Peer, PeerStore
from homeserver.storage.server_keys import KeyConflict


@dataclass(frozen=True, slots=True)
class VerifiedPeer:
    """The verified server at the other end of a connection."""

    server_name: ServerName
    verified_by: VerificationMethod
    certificate: bytes = field(repr=False)
    """The DER of the leaf in this handshake."""

    document: KeyDocument | None = field(default=None, repr=False)
    """The key document that proved it; None if the certificate did."""

    known: Peer | None = field(default=None, repr=False)
    """What was stored of it before."""

    verified_ts: int = 0
    """When it was verified, in milliseconds since 1970."""

    problem: str | None = None
    """Why its certificate alone would not prove it; None if it does."""

    certificate_sha256: str = field(init=False)
    """The fingerprint of the leaf, in hexadecimal."""

    def __post_init__(self) -> None:
        """Compute the fingerprint."""
        sha256 = hashlib.sha256(self.certificate).hexdigest()
        object.__setattr__(self, "certificate_sha256", sha256)


async def record_peer(peers: PeerStore, peer: VerifiedPeer) -> None:
    """Record a verified peer, its pinned keys, and the keys of its document.

    Raises `NotVerified` if what is stored has changed since the verification and
    contradicts it.
    """
    pins = {} if peer.known is None else peer.known.pinned_keys
    verified = Peer(
        peer.server_name,
        peer.verified_by,
        peer.certificate_sha256,
        pins if peer.document is None else peer.document.verify_keys,
        first_verified_ts=peer.verified_ts,
        last_verified_ts=peer.verified_ts,
    )
    try:
        holds = await peers.record_verified(verified, peer.known, peer.document)
    except KeyConflict as conflict:
        why = str(conflict)
        raise NotVerified(why, "key_conflict", conflict=why) from None
    if not holds:
        raise NotVerified(
            f"{peer.server_name} was verified in another way at the same moment, or "
            "forgotten",
            "changed_meanwhile",
        )
