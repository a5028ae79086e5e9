"""Where client certificates are judged, and the certificates that are shown there."""

from typing import cast

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.inbound.client_certificates import (
    CertificateLimits,
    ClientCertificates,
    Demand,
)
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.tls.shown_certificate import ShownCertificate
from homeserver.outbound.client import FederationClient
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.discovery import Route
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.peers import Peer, PeerStore
from tests.support.certificates import Issued, issue, issue_for
from tests.support.coroutines import result_of
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.outbound_stack import CA, trusting
from tests.support.signed_requests import THEM

ORIGIN = THEM.server_name

SERVER_AUTH, CLIENT_AUTH = (
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.CLIENT_AUTH,
)

BETWEEN = issue("Between", None, issuer=CA, is_authority=True)

OWN = issue_for(ORIGIN.host)
"""A self-signed one, which nothing but the origin itself can vouch for."""

PROVING = issue_for(ORIGIN.host, BETWEEN)
"""One that proves the origin's name, if what is between it and the root is shown."""

FOREIGN = issue_for("foreign.example")


def shown(issued: Issued) -> ShownCertificate:
    """A certificate as a full handshake shows it."""
    leaf, *others = issued.value.chain
    return ShownCertificate(
        crypto.X509.from_cryptography(leaf),
        [crypto.X509.from_cryptography(other) for other in others],
    )


OWN_SHA256 = shown(OWN).sha256


def resumed(issued: Issued) -> ShownCertificate:
    """A certificate as a resumed session shows it: without what led to it."""
    return ShownCertificate(shown(issued).leaf)


def link(
    issued: Issued, certificate_name: str = ORIGIN.host, host: str = ORIGIN.host
) -> VerifiedConnection:
    """A new connection to the origin, which showed a certificate."""
    return VerifiedConnection(
        Route(host, 8448, certificate_name, certificate_name),
        "192.0.2.1",
        VerifiedPeer(ORIGIN, "key-document", issued.value.leaf),
    )


class Client:
    """Reaches who is at home, once the test lets it."""

    def __init__(self) -> None:
        self.found: VerifiedConnection | Unreachable = Unreachable(
            ORIGIN, ["it is not at home"]
        )
        self.asked: list[ServerName] = []
        self.waiting: Deferred[None] | None = None
        """What each connection waits for; None if it is there at once."""

    async def reach(self, server_name: ServerName, cause: Cause) -> VerifiedConnection:
        """As `FederationClient`."""
        self.asked.append(server_name)
        if self.waiting is not None:
            await self.waiting
        if isinstance(self.found, Unreachable):
            raise self.found
        return self.found


class Inspection:
    """Where certificates are judged, and what is known of those who show them."""

    def __init__(
        self, demand: Demand = "if-presented", *, believes_authorities: bool = True
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.client = Client()
        self.peers = PeerStore(MemoryDatabase(), OUR_NAME, self.clock)
        context = trusting(CA)
        self.limits = CertificateLimits()
        self.certificates = ClientCertificates(
            demand,
            self.peers,
            cast("FederationClient", self.client),
            (lambda: context) if believes_authorities else None,
            self.clock,
            self.limits,
        )

    def know(self, issued: Issued, name: ServerName = ORIGIN) -> None:
        """Have a peer in the store that showed a certificate when it was verified."""
        sha256 = shown(issued).sha256
        peer = Peer(name, "key-document", sha256, {}, 1, 1)
        assert result_of(self.peers.record_verified(peer, None, None))

    def check(
        self, certificate: ShownCertificate | None, origin: ServerName = ORIGIN
    ) -> str | None:
        """What is recorded of a request of the origin that showed a certificate."""
        return result_of(self.certificates.check(origin, certificate, OURSELVES))

    def is_taken(
        self, certificate: ShownCertificate, origin: ServerName = ORIGIN
    ) -> bool:
        """Whether it is; what is recorded is its fingerprint then."""
        try:
            return self.check(certificate, origin) == certificate.sha256
        except Forbidden:
            return False

    def refusal(
        self, certificate: ShownCertificate | None, origin: ServerName = ORIGIN
    ) -> str:
        """Why a certificate is refused, as the operator learns it."""
        with pytest.raises(Forbidden) as caught:
            self.check(certificate, origin)
        assert (caught.value.status, caught.value.errcode) == (403, "M_FORBIDDEN")
        return caught.value.explanation.in_full
