"""Verification of a peer, by certificate or by key document.

Rules: a peer is verified on the connection that will carry the request, before one byte
of a request leaves. Each method either proves the peer or raises `NotVerified`; there
is no third outcome.

Specification: Server-server API, "TLS" and "Response Authentication".
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from OpenSSL import crypto
from twisted.internet.interfaces import IReactorTime

from homeserver.config.values import VerificationMethod
from homeserver.net.bounded_map import BoundedMap
from homeserver.net.exchanges import Exchanges
from homeserver.net.tls.advice import advise
from homeserver.net.tls.client import Handshake
from homeserver.net.tls.facts import facts_of
from homeserver.net.wall_clock import wall_ts
from homeserver.outbound.transport.connection import PeerConnection
from homeserver.outbound.transport.failures import NotVerified, VerificationReason
from homeserver.outbound.transport.key_document_proof import Claimant, KeyDocumentProof
from homeserver.outbound.transport.sightings import MAX_SIGHTINGS, Sighting
from homeserver.outbound.transport.verified_peer import VerifiedPeer, record_peer
from homeserver.protocol.discovery import Route
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import KeyDocument
from homeserver.storage.peers import PeerStore

VerificationResult = Literal["verified", "failed"]


class Verifier:
    """Verifies peers by the configured methods, in order."""

    def __init__(
        self,
        methods: Sequence[VerificationMethod],
        peers: PeerStore,
        clock: IReactorTime,
        observe: Callable[[VerificationMethod, VerificationResult], object] = (
            lambda *_: None
        ),
        exchanges: Exchanges | None = None,
    ) -> None:
        """`observe` is called with the result of each method that was tried.

        `exchanges` has each request for a key document before verification.
        """
        self.methods = methods
        self.pins = peers.certificate_pins
        self._by_document = KeyDocumentProof(exchanges or Exchanges(clock), clock)
        self.invalid_documents = self._by_document.invalid_documents
        """The last documents that did not verify their servers."""

        self.sightings: BoundedMap[ServerName, Sighting] = BoundedMap(MAX_SIGHTINGS)
        """How servers were last seen, for operators."""

        self._peers = peers
        self._clock = clock
        self._observe = observe

    async def verify(
        self,
        server_name: ServerName,
        route: Route,
        handshake: Handshake,
        connection: PeerConnection,
    ) -> VerifiedPeer:
        """Prove that the peer on `connection` is `server_name`.

        The handshake is complete. Nothing is recorded. After `NotVerified`, the
        connection must not be used.
        """
        problem, facts = handshake.problem, facts_of(connection.tls)
        seen = Sighting(route, connection.address, facts, problem)
        try:
            peer = await self._verify(
                await self._claimant(server_name, route, handshake, connection)
            )
        except NotVerified as failure:
            self.sightings[server_name] = seen.failed(str(failure))
            raise
        self.sightings[server_name] = seen
        return replace(peer, problem=problem)

    async def _claimant(
        self,
        server_name: ServerName,
        route: Route,
        handshake: Handshake,
        connection: PeerConnection,
    ) -> Claimant:
        leaf = connection.tls.getPeerCertificate()
        if leaf is None:
            raise NotVerified("the peer showed no certificate", "no_certificate")
        certificate = crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf)
        known = await self._peers.peer(server_name)
        return Claimant(server_name, route, handshake, connection, certificate, known)

    async def _verify(self, claimant: Claimant) -> VerifiedPeer:
        trusted = self._proven(claimant, "certificate")
        if await self.pins.find(claimant.server_name) == trusted.certificate_sha256:
            # The operator vouches for it; its names and its issuer do not matter.
            self._observe("certificate", "verified")
            return trusted
        problems: dict[VerificationMethod, str] = {}
        reasons: list[VerificationReason] = []
        conflict: str | None = None
        for method in self.methods:
            try:
                document = await self._check(claimant, method)
            except NotVerified as problem:
                self._observe(method, "failed")
                problems[method] = f"by {method}: {problem}"
                reasons += problem.reasons
                conflict = conflict or problem.conflict
            else:
                self._observe(method, "verified")
                return self._proven(claimant, method, document)
        raise NotVerified(_joined(problems, claimant), *reasons, conflict=conflict)

    def _proven(
        self,
        claimant: Claimant,
        method: VerificationMethod,
        document: KeyDocument | None = None,
    ) -> VerifiedPeer:
        """The peer, verified now."""
        return VerifiedPeer(
            claimant.server_name,
            method,
            claimant.certificate,
            document,
            claimant.known,
            wall_ts(self._clock),
        )

    async def _check(
        self, claimant: Claimant, method: VerificationMethod
    ) -> KeyDocument | None:
        """Check a peer by one method; returns the document that proves it, if one does.

        Raises `NotVerified`.
        """
        if method == "key-document":
            return await self._by_document.check(claimant)
        if claimant.handshake.problem is not None:
            raise NotVerified(claimant.handshake.problem, "certificate_rejected")
        return None

    def forget(self, server_name: ServerName) -> bool:
        """Forget how a server was last seen; returns whether it was."""
        self.invalid_documents.pop(server_name, None)
        return self.sightings.pop(server_name, None) is not None

    def forget_all(self) -> None:
        """Forget how every server was last seen."""
        self.invalid_documents.clear()
        self.sightings.clear()

    async def record(self, peer: VerifiedPeer) -> None:
        """As `record_peer`."""
        await record_peer(self._peers, peer)


def _joined(problems: dict[VerificationMethod, str], claimant: Claimant) -> str:
    """All problems, with what to do about the certificate."""
    if "certificate" in problems:
        # Only here, as most self-signed certificates are proven by a document.
        problems["certificate"] += advise(_chain(claimant))
    return "; ".join(problems.values())


def _chain(claimant: Claimant) -> list[bytes]:
    """The certificates (DER) that the peer sent, its own first; none if it is gone."""
    handle = claimant.connection.tls.getHandle()
    if handle is None:
        return []
    sent = handle.get_peer_cert_chain() or []
    others = [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in sent[1:]]
    return [claimant.certificate, *others]
