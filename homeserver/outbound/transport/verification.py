"""Verification of a peer, by certificate or by key document, and its pinned keys.

Rules: a peer is verified on the connection that will carry the request, before one byte
of a request leaves. Each method either proves the peer or raises `NotVerified`; there
is no third outcome. A peer that was once verified by certificate is never again
accepted by key document alone: otherwise an attacker who breaks the certificate chooses
the weaker method.

Specification: Server-server API, "TLS" and "Response Authentication"; the November
2014 text, "Retrieving Server Keys".
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
from homeserver.outbound.remote_error import read_refusal
from homeserver.outbound.transport.connection import Get, NoAnswer, PeerConnection
from homeserver.outbound.transport.failures import NotVerified, VerificationReason
from homeserver.outbound.transport.response import Response
from homeserver.outbound.transport.sightings import (
    MAX_INVALID,
    MAX_SIGHTINGS,
    InvalidDocument,
    Sighting,
)
from homeserver.outbound.transport.verified_peer import VerifiedPeer, record_peer
from homeserver.protocol.discovery import Route
from homeserver.protocol.errors import ProtocolError, quote
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import (
    MAX_DOCUMENT_BYTES,
    V1_PATH,
    V2_PATH,
    KeyDocument,
    parse_v1,
    parse_v2,
)
from homeserver.storage.peers import Peer, PeerStore
from homeserver.storage.server_keys import KeyConflict

# For a document of a few hundred bytes over a connection that is already there.
_KEY_DOCUMENT_SECONDS = 10.0


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
        self._exchanges = exchanges or Exchanges(clock)
        self.methods = methods
        self.pins = peers.certificate_pins
        self.invalid_documents: BoundedMap[ServerName, InvalidDocument]
        """The last documents that did not verify their servers."""

        self.invalid_documents = BoundedMap(MAX_INVALID)
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
            peer = await self._verify(server_name, route, handshake, connection)
        except NotVerified as failure:
            self.sightings[server_name] = seen.failed(str(failure))
            raise
        self.sightings[server_name] = seen
        return replace(peer, problem=problem)

    async def _verify(
        self,
        server_name: ServerName,
        route: Route,
        handshake: Handshake,
        connection: PeerConnection,
    ) -> VerifiedPeer:
        leaf = connection.tls.getPeerCertificate()
        if leaf is None:
            raise NotVerified("the peer showed no certificate", "no_certificate")
        # The bytes as received, even if they cannot be parsed.
        certificate = crypto.dump_certificate(crypto.FILETYPE_ASN1, leaf)
        known = await self._peers.peer(server_name)
        now_ts = wall_ts(self._clock)
        trusted = VerifiedPeer(
            server_name, "certificate", certificate, None, known, now_ts
        )
        pin = await self.pins.find(server_name)
        if pin == trusted.certificate_sha256:
            # The operator vouches for it; its names and its issuer do not matter.
            self._observe("certificate", "verified")
            return trusted
        problems: dict[VerificationMethod, str] = {}
        reasons: list[VerificationReason] = []
        conflict: str | None = None
        for method in self.methods:
            document: KeyDocument | None = None
            try:
                if method == "certificate":
                    if handshake.problem is not None:
                        raise NotVerified(  # noqa: TRY301
                            handshake.problem, "certificate_rejected"
                        )
                else:
                    document = await self._check_key_document(
                        known, server_name, route, certificate, connection
                    )
            except NotVerified as problem:
                self._observe(method, "failed")
                problems[method] = f"by {method}: {problem}"
                reasons += problem.reasons
                conflict = conflict or problem.conflict
            else:
                self._observe(method, "verified")
                now_ts = wall_ts(self._clock)
                return VerifiedPeer(
                    server_name, method, certificate, document, known, now_ts
                )
        why = _joined(problems, connection, certificate)
        raise NotVerified(why, *reasons, conflict=conflict)

    async def _check_key_document(
        self,
        known: Peer | None,
        server_name: ServerName,
        route: Route,
        certificate: bytes,
        connection: PeerConnection,
    ) -> KeyDocument:
        """Check the key document that the peer serves on this connection."""
        if known is not None and known.verified_by == "certificate":
            raise NotVerified(
                f"{server_name} was verified by its certificate before, so its key "
                "document alone is no longer enough",
                "certificate_required",
            )
        path, fetched = await self._fetch_document(server_name, route, connection)
        is_first = path == V1_PATH
        parse = parse_v1 if is_first else parse_v2
        # Until it has proven something.
        self.invalid_documents[server_name] = InvalidDocument(
            1 if is_first else 2, fetched.body, certificate
        )
        try:
            document = parse(fetched.body, server_name)
        except ProtocolError as problem:
            raise NotVerified(f"{path}: {problem}", "document_invalid") from None
        until = document.valid_until_ts
        if until is not None and until < wall_ts(self._clock):
            # It may be an old document, with an old certificate.
            why = f"{path}: the key document expired at {until} ms since 1970"
            raise NotVerified(why, "document_expired")
        if not document.names_certificate(certificate):
            if document.valid_until_ts is None or document.tls_fingerprints:
                raise NotVerified(
                    "the key document names another TLS certificate than the one of "
                    "this connection",
                    "document_of_other_certificate",
                )
            raise NotVerified(
                f"{V2_PATH} names no TLS certificate: there is no "
                f"`tls_fingerprints` in it, and no {V1_PATH}",
                "document_without_certificate",
            )
        if known is not None:
            _check_pins(known, document)
        if connection.is_closing:
            raise NotVerified(
                "the peer ended the connection after its key document, so nothing "
                "can be sent on the connection that was verified",
                "closed_after_document",
            )
        self.invalid_documents.pop(server_name, None)
        return document

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

    async def _fetch_document(
        self, server_name: ServerName, route: Route, connection: PeerConnection
    ) -> tuple[str, Response]:
        """The version 1 document, or else the version 2 document, and its path."""
        path = V1_PATH
        fetched = await self._fetch(path, server_name, route, connection)
        refusal = read_refusal(server_name, fetched.status, fetched.body)
        if fetched.status != 200 and refusal.is_unrecognized:
            path = V2_PATH
            fetched = await self._fetch(path, server_name, route, connection)
        if fetched.status != 200:
            why = f"{path} answers with status {fetched.status}"
            raise NotVerified(why, "document_not_served")
        return path, fetched

    async def _fetch(
        self,
        path: str,
        server_name: ServerName,
        route: Route,
        connection: PeerConnection,
    ) -> Response:
        get = Get(path, route.host_header, _KEY_DOCUMENT_SECONDS, MAX_DOCUMENT_BYTES)
        exchange = self._exchanges.open("request", "out", "GET")
        exchange.peer, exchange.server = server_name.name, connection.own_name
        exchange.address, exchange.via = connection.address, str(route)
        try:
            return await connection.fetch(get, exchange, self._clock)
        except NoAnswer as problem:
            why = f"{path} gets no answer: {quote(str(problem))}"
            raise NotVerified(why, "document_no_answer") from None


def _joined(
    problems: dict[VerificationMethod, str], connection: PeerConnection, leaf: bytes
) -> str:
    """All problems, with what to do about the certificate whose DER `leaf` is."""
    if "certificate" in problems:
        # Only here, as most self-signed certificates are proven by a document.
        problems["certificate"] += advise(_chain(connection, leaf))
    return "; ".join(problems.values())


def _chain(connection: PeerConnection, leaf: bytes) -> list[bytes]:
    """The certificates (DER) that the peer sent, its own first; none if it is gone."""
    handle = connection.tls.getHandle()
    if handle is None:
        return []
    sent = handle.get_peer_cert_chain() or []
    others = [crypto.dump_certificate(crypto.FILETYPE_ASN1, each) for each in sent[1:]]
    return [leaf, *others]


def _check_pins(known: Peer, document: KeyDocument) -> None:
    """Raise `NotVerified` for a document that contradicts the pinned keys."""
    pinned = known.pinned_keys
    for key_id, served in document.verify_keys.items():
        if pinned.get(key_id, served) != served:
            conflict = KeyConflict(
                known.server_name, pinned[key_id], known.first_verified_ts, served
            )
            why = str(conflict)
            raise NotVerified(why, "key_conflict", conflict=why)
    if pinned and not any(document.is_signed_by(key) for key in pinned.values()):
        why = (
            f"the key document is not signed by a key that is pinned to "
            f"{known.server_name} ({', '.join(sorted(pinned))}): it is another server, "
            f"or it lost its keys; `homeserver peers --forget {known.server_name}` "
            "forgets the pinned keys"
        )
        raise NotVerified(why, "pinned_key_missing", conflict=why)
