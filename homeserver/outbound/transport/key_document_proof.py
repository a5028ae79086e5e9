"""The proof of a peer by the key document that it serves on its own connection.

Rules: nothing but the request for the document leaves before it is checked. It proves
the peer if it is signed by a key that it lists, names the certificate of this very
connection, and agrees with what is pinned. A peer that was once verified by certificate
is never again accepted by key document alone: otherwise an attacker who breaks the
certificate chooses the weaker method.

Specification: the November 2014 text, "Retrieving Server Keys".
"""

from msgspec import Struct
from twisted.internet.interfaces import IReactorTime

from homeserver.net.bounded_map import BoundedMap
from homeserver.net.exchanges import Exchanges
from homeserver.net.tls.client import Handshake
from homeserver.net.wall_clock import wall_ts
from homeserver.outbound.remote_error import read_refusal
from homeserver.outbound.transport.connection import Get, NoAnswer, PeerConnection
from homeserver.outbound.transport.failures import NotVerified
from homeserver.outbound.transport.response import Response
from homeserver.outbound.transport.sightings import MAX_INVALID, InvalidDocument
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
from homeserver.storage.peers import Peer
from homeserver.storage.server_keys import KeyConflict

# For a document of a few hundred bytes over a connection that is already there.
_KEY_DOCUMENT_SECONDS = 10.0


class Claimant(Struct, frozen=True):
    """The peer on a connection, and the server that it has to prove to be."""

    server_name: ServerName
    route: Route
    handshake: Handshake
    connection: PeerConnection
    certificate: bytes
    """The DER of its leaf: the bytes as received, even if they cannot be parsed."""

    known: Peer | None
    """What is stored of the server."""


class KeyDocumentProof:
    """Checks the key documents of peers."""

    def __init__(self, exchanges: Exchanges, clock: IReactorTime) -> None:
        """`exchanges` has each request for a key document before verification."""
        self._exchanges = exchanges
        self._clock = clock
        self.invalid_documents: BoundedMap[ServerName, InvalidDocument]
        """The last documents that did not verify their servers."""

        self.invalid_documents = BoundedMap(MAX_INVALID)

    async def check(self, claimant: Claimant) -> KeyDocument:
        """The key document that proves a peer; raises `NotVerified` if none does."""
        server_name, known = claimant.server_name, claimant.known
        if known is not None and known.verified_by == "certificate":
            raise NotVerified(
                f"{server_name} was verified by its certificate before, so its key "
                "document alone is no longer enough",
                "certificate_required",
            )
        path, fetched = await self._fetch_document(claimant)
        is_first = path == V1_PATH
        parse = parse_v1 if is_first else parse_v2
        # Until it has proven something.
        self.invalid_documents[server_name] = InvalidDocument(
            1 if is_first else 2, fetched.body, claimant.certificate
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
        if not document.names_certificate(claimant.certificate):
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
        if claimant.connection.is_closing:
            raise NotVerified(
                "the peer ended the connection after its key document, so nothing "
                "can be sent on the connection that was verified",
                "closed_after_document",
            )
        self.invalid_documents.pop(server_name, None)
        return document

    async def _fetch_document(self, claimant: Claimant) -> tuple[str, Response]:
        """The version 1 document, or else the version 2 document, and its path."""
        path = V1_PATH
        fetched = await self._fetch(path, claimant)
        refusal = read_refusal(claimant.server_name, fetched.status, fetched.body)
        if fetched.status != 200 and refusal.is_unrecognized:
            path = V2_PATH
            fetched = await self._fetch(path, claimant)
        if fetched.status != 200:
            why = f"{path} answers with status {fetched.status}"
            raise NotVerified(why, "document_not_served")
        return path, fetched

    async def _fetch(self, path: str, claimant: Claimant) -> Response:
        route, connection = claimant.route, claimant.connection
        get = Get(path, route.host_header, _KEY_DOCUMENT_SECONDS, MAX_DOCUMENT_BYTES)
        exchange = self._exchanges.open("request", "out", "GET")
        exchange.peer, exchange.server = claimant.server_name.name, connection.own_name
        exchange.address, exchange.via = connection.address, str(route)
        try:
            return await connection.fetch(get, exchange, self._clock)
        except NoAnswer as problem:
            why = f"{path} gets no answer: {quote(str(problem))}"
            raise NotVerified(why, "document_no_answer") from None


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
