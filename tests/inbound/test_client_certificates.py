"""Whose a client certificate is, and who is refused for showing it."""

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import cast

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL, crypto
from OpenSSL._util import lib as openssl
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.tls_listener import BoundedTls
from homeserver.inbound.authentication import Authenticator, ProvenOrigin
from homeserver.inbound.client_certificates import (
    PROVEN_SECONDS,
    CertificateLimits,
    ClientCertificates,
    Demand,
)
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.tls.shown_certificate import ShownCertificate
from homeserver.outbound.client import FederationClient
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.discovery import Route
from homeserver.protocol.errors import Forbidden, Unauthorized
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix_headers import XMatrixHeaders
from homeserver.storage.peers import Peer, PeerStore
from tests.support.certificates import Issued, authority, issue, issue_for
from tests.support.coroutines import result_of
from tests.support.federation_side import at_once, body_of
from tests.support.http_connection import (
    TlsConnection,
    at_root,
    connections,
    request,
    site,
)
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.outbound_stack import CA, trusting
from tests.support.server_tls import OneCertificate
from tests.support.signed_requests import OTHERS, THEM, KnownKeys, identity, signing_key

ORIGIN = THEM.server_name
DEMANDS: list[Demand] = ["ignore", "if-presented", "required"]
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


def dns(*names: str) -> list[x509.GeneralName]:
    """A subjectAltName of DNS names."""
    return [x509.DNSName(name) for name in names]


def ip(text: str) -> list[x509.GeneralName]:
    """A subjectAltName of one address."""
    return [x509.IPAddress(ip_address(text))]


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


@pytest.mark.parametrize("issued", [OWN, PROVING, FOREIGN], ids=["own", "CA", "wrong"])
def test_ignored(issued: Issued) -> None:
    """Where certificates are ignored, none is looked at, right or wrong."""
    inspection = Inspection("ignore")
    inspection.know(OWN)
    assert inspection.check(shown(issued)) is None
    assert inspection.client.asked == []


@pytest.mark.parametrize("demand", ["ignore", "if-presented"])
def test_none_is_enough(demand: Demand) -> None:
    """Where none is demanded, nothing is recorded of who shows none."""
    inspection = Inspection(demand)
    inspection.know(OWN)
    assert inspection.check(None) is None
    assert inspection.client.asked == []


def test_none_is_not_enough() -> None:
    """Where one is demanded, who shows none is refused and told so."""
    inspection = Inspection("required")
    inspection.know(OWN)
    said = inspection.refusal(None)
    assert ORIGIN.name in said
    assert "requires a TLS client certificate" in said
    assert inspection.client.asked == []


@pytest.mark.parametrize("demand", ["if-presented", "required"])
@pytest.mark.parametrize("believes_authorities", [True, False])
def test_stored(
    demand: Demand,
    believes_authorities: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The certificate that the origin's own server has shown is the origin's."""
    inspection = Inspection(demand, believes_authorities=believes_authorities)
    inspection.know(OWN)
    assert inspection.check(shown(OWN)) == OWN_SHA256
    assert inspection.client.asked == []


def test_fingerprint() -> None:
    """A certificate is known by the SHA-256 of its DER, as that of a server is."""
    assert shown(OWN).sha256 == link(OWN).peer.certificate_sha256


def test_stored_of_another_server() -> None:
    """The certificate of another server is not the origin's, whoever that is."""
    inspection = Inspection()
    inspection.know(OWN)
    inspection.know(FOREIGN, OTHERS.server_name)
    assert not inspection.is_taken(shown(FOREIGN))


# The origin, and a certificate that proves its name.
PROVEN: list[tuple[str, str, Issued]] = [
    ("name", "them.example", issue_for("them.example", CA)),
    ("one of many", "them.example", issue("x", dns("a.b", "them.example"), issuer=CA)),
    ("other letters", "THEM.example", issue_for("them.EXAMPLE", CA)),
    ("wildcard", "a.them.example", issue_for("*.them.example", CA)),
    ("origin with port", "them.example:8449", issue_for("them.example", CA)),
    ("intermediate", "them.example", PROVING),
    ("IPv4", "192.0.2.1", issue("x", ip("192.0.2.1"), issuer=CA)),
    ("IPv4 with port", "192.0.2.1:8449", issue("x", ip("192.0.2.1"), issuer=CA)),
    ("IPv6", "[2001:db8::1]", issue("x", ip("2001:db8::1"), issuer=CA)),
    ("IPv6 with port", "[2001:db8:0::1]:1", issue("x", ip("2001:db8::1"), issuer=CA)),
    (
        "for servers only",
        "them.example",
        issue("x", dns("them.example"), issuer=CA, purposes=[SERVER_AUTH]),
    ),
    (
        "for clients only",
        "them.example",
        issue("x", dns("them.example"), issuer=CA, purposes=[CLIENT_AUTH]),
    ),
]


@pytest.mark.parametrize(
    ("name", "issued"), [row[1:] for row in PROVEN], ids=[row[0] for row in PROVEN]
)
def test_proven(name: str, issued: Issued) -> None:
    """A certificate proves its owner as a server's does, and nobody is asked."""
    inspection = Inspection("required")
    assert inspection.is_taken(shown(issued), ServerName.parse(name))
    assert inspection.client.asked == []


# The origin, a certificate that does not prove its name, and what is said of it.
UNPROVEN: list[tuple[str, str, Callable[[], Issued], str]] = [
    (
        "wrong name",
        "them.example",
        lambda: issue_for("other.example", CA),
        "is not for them.example but for 'other.example'",
    ),
    (
        "name below",
        "them.example",
        lambda: issue_for("a.them.example", CA),
        "is not for them.example but",
    ),
    (
        "wildcard over it",
        "them.example",
        lambda: issue_for("*.them.example", CA),
        "is not for them.example but",
    ),
    (
        "no name",
        "them.example",
        lambda: issue("them.example", None, issuer=CA),
        "has no usable name",
    ),
    (
        "expired",
        "them.example",
        lambda: issue("x", dns("them.example"), issuer=CA, days=(-9, -2)),
        "the certificate has expired",
    ),
    (
        "not valid yet",
        "them.example",
        lambda: issue("x", dns("them.example"), issuer=CA, days=(2, 9)),
        "the certificate is not valid yet",
    ),
    (
        "other CA",
        "them.example",
        lambda: issue_for("them.example", authority("Another CA")),
        "by an authority that is not known",
    ),
    (
        "self-signed",
        "them.example",
        lambda: issue_for("them.example"),
        "is self-signed and not trusted",
    ),
    (
        "no authority in between",
        "them.example",
        lambda: issue_for("them.example", issue("x", dns("x.test"), issuer=CA)),
        "an issuer certificate",
    ),
    (
        "expired in between",
        "them.example",
        lambda: issue_for(
            "them.example",
            issue("x", None, issuer=CA, is_authority=True, days=(-9, -2)),
        ),
        "an issuer certificate has expired",
    ),
    (
        "address as a DNS name",
        "192.0.2.1",
        lambda: issue_for("192.0.2.1", CA),
        "has no usable name",
    ),
    (
        "another address",
        "192.0.2.1",
        lambda: issue("x", ip("192.0.2.2"), issuer=CA),
        "is not for 192.0.2.1 but for '192.0.2.2'",
    ),
    (
        "name for an address",
        "192.0.2.1",
        lambda: issue_for("them.example", CA),
        "is not for 192.0.2.1 but",
    ),
    (
        "address for a name",
        "them.example",
        lambda: issue("x", ip("192.0.2.1"), issuer=CA),
        "is not for them.example but",
    ),
]


@pytest.mark.parametrize("is_at_home", [True, False])
@pytest.mark.parametrize(
    ("name", "issued", "said"),
    [row[1:] for row in UNPROVEN],
    ids=[row[0] for row in UNPROVEN],
)
def test_unproven(
    name: str,
    issued: Callable[[], Issued],
    said: str,
    is_at_home: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A certificate that proves something else is not the origin's, and it is said why.

    It is told the origin's name, the fingerprint, what was wrong, and what came of
    asking its own server.
    """
    origin = ServerName.parse(name)
    inspection = Inspection()
    inspection.know(OWN, origin)
    if is_at_home:
        inspection.client.found = link(OWN, origin.host, origin.host)
    certificate = shown(issued())
    refusal = inspection.refusal(certificate, origin)
    assert refusal.startswith(
        f"the TLS client certificate (SHA-256 {certificate.sha256}) is not that of "
        f"{name}: "
    )
    assert said in refusal
    asked = f"(SHA-256 {OWN_SHA256})" if is_at_home else "it is not at home"
    assert asked in refusal
    assert inspection.client.asked == [origin]


def test_intermediate_is_needed() -> None:
    """A certificate whose chain was not shown proves nothing by itself."""
    assert "authority" in Inspection().refusal(resumed(PROVING))


def test_authorities_are_not_believed() -> None:
    """Where certificates are no way to verify a server, they prove no client either."""
    inspection = Inspection(believes_authorities=False)
    assert "no certificate authority is trusted here" in inspection.refusal(
        shown(PROVING)
    )
    inspection.client.found = link(OWN, "host.example")
    assert not inspection.is_taken(shown(issue_for("host.example", CA)))


@pytest.mark.parametrize("believes_authorities", [True, False])
@pytest.mark.parametrize("is_known", [True, False])
def test_renewed(
    is_known: bool,  # noqa: FBT001 - a parameter of the test
    believes_authorities: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """A certificate that the origin's server shows now is the origin's."""
    inspection = Inspection(believes_authorities=believes_authorities)
    if is_known:
        inspection.know(OWN)
    renewed = issue_for(ORIGIN.host)
    inspection.client.found = link(renewed)
    assert inspection.is_taken(shown(renewed))
    assert inspection.client.asked == [ORIGIN]


def test_delegated() -> None:
    """A certificate may prove the name which the origin delegates to."""
    inspection = Inspection()
    inspection.client.found = link(OWN, "host.example")
    assert inspection.is_taken(shown(issue_for("host.example", BETWEEN)))
    assert inspection.client.asked == [ORIGIN]


@pytest.mark.parametrize(
    ("issued", "said"),
    [
        (issue_for("host.example"), "self-signed"),
        (issue_for("host.example", authority("Another CA")), "authority"),
        (issue_for("other.example", CA), "is not for them.example but"),
        (issue_for("srv.example", CA), "is not for them.example but"),
    ],
    ids=["self-signed", "other CA", "other name", "SRV target"],
)
def test_not_delegated(issued: Issued, said: str) -> None:
    """A certificate that does not prove the delegated name is not the origin's."""
    inspection = Inspection()
    inspection.client.found = link(OWN, "host.example", "srv.example")
    refusal = inspection.refusal(shown(issued))
    assert said in refusal
    assert f"its server presents another one (SHA-256 {OWN_SHA256})" in refusal


def test_unreachable() -> None:
    """Who cannot be reached is told so, and nothing of our own network."""
    inspection = Inspection()
    inspection.client.found = Unreachable(
        ORIGIN,
        ["them.example:8448: 10.0.0.1 is in the refused range 10.0.0.0/8"],
    )
    with pytest.raises(Forbidden) as caught:
        inspection.check(shown(OWN))
    public = str(caught.value)
    assert public.endswith("; and no connection to them.example could be verified")
    assert "10.0.0.1 is in the refused" in caught.value.explanation.in_full


def test_refused_again() -> None:
    """Who was refused is refused for ten seconds, and only then asked about again."""
    inspection = Inspection()
    inspection.client.found = link(OWN)
    renewed = issue_for(ORIGIN.host)
    first = inspection.refusal(shown(renewed))
    inspection.client.found = link(renewed)
    inspection.clock.advance(9.9)
    assert inspection.refusal(shown(renewed)) == first
    assert len(inspection.client.asked) == 1
    inspection.clock.advance(0.1)
    assert inspection.is_taken(shown(renewed))
    assert len(inspection.client.asked) == 2


def test_unreachable_again() -> None:
    """Neither is a server that was not reached asked again at once."""
    inspection = Inspection()
    assert not inspection.is_taken(shown(OWN))
    inspection.client.found = link(OWN)
    inspection.clock.advance(9.9)
    assert not inspection.is_taken(shown(OWN))
    assert len(inspection.client.asked) == 1
    inspection.clock.advance(0.1)
    assert inspection.is_taken(shown(OWN))


def several(count: int) -> Sequence[ShownCertificate]:
    """Certificates that are none of the origin's."""
    return [shown(issue_for(f"n{number}.example")) for number in range(count)]


@pytest.mark.parametrize("is_at_home", [True, False])
def test_refused_after_another(
    is_at_home: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The ten seconds of a refusal begin with it, whenever the origin was asked."""
    inspection = Inspection()
    if is_at_home:
        inspection.client.found = link(OWN)
    first, second = several(2)
    assert not inspection.is_taken(first)
    inspection.clock.advance(9)
    assert not inspection.is_taken(second)
    inspection.clock.advance(9.9)
    assert not inspection.is_taken(second)
    assert inspection.client.asked == [ORIGIN]
    inspection.clock.advance(0.1)
    assert not inspection.is_taken(second)
    assert inspection.client.asked == [ORIGIN, ORIGIN]


def test_many_certificates() -> None:
    """An origin is asked once in ten seconds, whatever certificates are shown."""
    inspection = Inspection()
    inspection.client.found = link(OWN)
    for certificate in several(3):
        assert not inspection.is_taken(certificate)
    assert inspection.is_taken(shown(OWN))
    assert inspection.client.asked == [ORIGIN]
    inspection.clock.advance(10)
    assert not inspection.is_taken(several(1)[0])
    assert inspection.client.asked == [ORIGIN, ORIGIN]


def test_many_certificates_of_the_unreachable() -> None:
    """Neither is one asked anew for each certificate that cannot be reached."""
    inspection = Inspection()
    for certificate in several(3):
        assert not inspection.is_taken(certificate)
    assert inspection.client.asked == [ORIGIN]


def test_each_origin_is_asked() -> None:
    """What one origin's server shows says nothing of another one."""
    inspection = Inspection()
    inspection.client.found = link(OWN)
    inspection.is_taken(shown(FOREIGN))
    inspection.is_taken(shown(FOREIGN), OTHERS.server_name)
    assert inspection.client.asked == [ORIGIN, OTHERS.server_name]


def test_so_many_origins_wait() -> None:
    """Fifty origins are asked at once and a thousand wait; the next is refused."""
    inspection = Inspection()
    waiting: list[Deferred[VerifiedConnection]] = []

    async def reach(_: ServerName, cause: Cause) -> VerifiedConnection:
        waiting.append(Deferred())
        return await waiting[-1]

    inspection.client.reach = reach  # type: ignore[method-assign,assignment]
    bound = inspection.limits.bound
    assert (bound.use(), bound.limit, bound.refusals) == (0, 1050, 0)
    for number in range(1050):
        name = ServerName.parse(f"n{number}.example")
        checking = inspection.certificates.check(name, shown(OWN), OURSELVES)
        Deferred.fromCoroutine(checking).addErrback(lambda _: None)
    assert (bound.use(), bound.refusals) == (1050, 0)
    assert "; and too many servers are being asked" in inspection.refusal(shown(OWN))
    assert (bound.use(), bound.refusals) == (1050, 1)
    assert len(waiting) == 50
    for each in waiting:  # which grows, as others have their turn
        each.callback(link(FOREIGN))
    assert (len(waiting), bound.use()) == (1050, 0)


@pytest.mark.parametrize("is_same", [True, False], ids=["same", "different"])
def test_at_once(
    is_same: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Ten requests at once cost one connection to their origin."""
    inspection = Inspection()
    inspection.client.found = link(OWN)
    inspection.client.waiting = Deferred()
    certificates = [shown(OWN)] * 10 if is_same else [shown(OWN), *several(9)]
    checks = [
        Deferred.fromCoroutine(
            inspection.certificates.check(ORIGIN, certificate, OURSELVES)
        )
        for certificate in certificates
    ]
    results: list[object] = []
    for check in checks:
        check.addBoth(results.append)
    assert results == []
    inspection.client.waiting.callback(None)
    taken = [result for result in results if not isinstance(result, Failure)]
    assert len(results) == 10
    assert taken == [OWN_SHA256] * (10 if is_same else 1)
    assert inspection.client.asked == [ORIGIN]


def test_kept_for_an_hour() -> None:
    """A proof holds for an hour; what it was made of is looked at again after it."""
    inspection = Inspection()
    assert inspection.is_taken(shown(PROVING))
    inspection.clock.advance(PROVEN_SECONDS - 0.1)
    assert inspection.is_taken(resumed(PROVING))
    assert inspection.client.asked == []
    inspection.clock.advance(0.1)
    inspection.certificates._chains.clear()
    assert not inspection.is_taken(resumed(PROVING))
    assert inspection.client.asked == [ORIGIN]


def test_kept_for_as_long_as_a_session() -> None:
    """A session that was begun in the hour of a proof can be resumed for its own."""
    inspection = Inspection()
    assert inspection.is_taken(shown(PROVING))
    inspection.clock.advance(PROVEN_SECONDS - 1)
    assert inspection.is_taken(shown(PROVING))
    inspection.clock.advance(2)
    assert inspection.is_taken(resumed(PROVING))


def test_chains_are_bounded() -> None:
    """Of very many chains, the oldest is forgotten, and its session proves nothing."""
    inspection = Inspection()
    assert inspection.is_taken(shown(PROVING))
    inspection.certificates._chains.update(
        (f"{number:064x}", ()) for number in range(199)
    )
    inspection.clock.advance(PROVEN_SECONDS)
    assert inspection.is_taken(resumed(PROVING))
    inspection.certificates._chains.update(
        (f"{number:064x}", ()) for number in range(200)
    )
    inspection.clock.advance(PROVEN_SECONDS)
    assert not inspection.is_taken(resumed(PROVING))


@pytest.mark.parametrize("is_delegated", [True, False])
def test_asked_for_is_kept_for_an_hour(
    is_delegated: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """What needed a connection to the origin needs none for an hour after it."""
    inspection = Inspection()
    issued = issue_for("host.example", BETWEEN) if is_delegated else OWN
    inspection.client.found = link(OWN, "host.example")
    assert inspection.is_taken(shown(issued))
    inspection.clock.advance(PROVEN_SECONDS - 0.1)
    assert inspection.is_taken(resumed(issued))
    assert len(inspection.client.asked) == 1
    inspection.clock.advance(0.1)
    assert inspection.is_taken(shown(issued))
    assert len(inspection.client.asked) == 2


def test_stored_is_kept_for_an_hour() -> None:
    """A stored certificate is looked at again after an hour, as all are."""
    inspection = Inspection()
    inspection.know(OWN)
    assert inspection.is_taken(shown(OWN))
    inspection.know(FOREIGN)
    inspection.clock.advance(PROVEN_SECONDS - 0.1)
    assert inspection.is_taken(shown(OWN))
    inspection.clock.advance(0.1)
    assert not inspection.is_taken(shown(OWN))


def test_kept_for_nobody_else() -> None:
    """A proof is of one origin and of one certificate."""
    inspection = Inspection()
    assert inspection.is_taken(shown(PROVING))
    assert not inspection.is_taken(shown(PROVING), OTHERS.server_name)
    assert not inspection.is_taken(shown(PROVING), ServerName.parse("a.them.example"))
    other = issue_for(ORIGIN.host, BETWEEN)
    assert not inspection.is_taken(resumed(other))
    assert not inspection.is_taken(shown(FOREIGN))


class _Watching(ClientCertificates):
    """Notes what it is asked, and answers as the test says."""

    def __init__(self, answer: str | Forbidden | None) -> None:
        self.asked: list[tuple[ServerName, ShownCertificate | None]] = []
        self._answer = answer

    async def check(
        self, origin: ServerName, shown: ShownCertificate | None, cause: Cause
    ) -> str | None:
        """Answer."""
        self.asked.append((origin, shown))
        if isinstance(self._answer, Forbidden):
            raise self._answer
        return self._answer


URI = "/_matrix/federation/v1/send/1"
BODY: Json = {"pdus": []}
SHOWN_WITH_REQUEST = shown(OWN)


def authenticate(certificates: ClientCertificates, header: str) -> ProvenOrigin:
    """Authenticate a request whose connection showed a certificate."""
    authenticator = Authenticator(
        identity, KnownKeys(THEM, OTHERS), certificates, at_once
    )
    proven, _ = result_of(
        authenticator.authenticate(
            "PUT",
            URI,
            XMatrixHeaders([header]),
            body_of(encode(BODY)),
            SHOWN_WITH_REQUEST,
            OURSELVES,
        )
    )
    return proven


@pytest.mark.parametrize("sha256", [OWN_SHA256, None], ids=["shown", "none"])
def test_recorded(sha256: str | None) -> None:
    """A proven origin comes with the fingerprint of the certificate that was checked.

    It is checked for the origin that signed.
    """
    watching = _Watching(sha256)
    proven = authenticate(watching, THEM.authorize("PUT", URI, BODY))
    assert proven == ProvenOrigin(ORIGIN, THEM.key.key_id, sha256)
    assert watching.asked == [(ORIGIN, SHOWN_WITH_REQUEST)]


def test_refused_beside_a_good_signature() -> None:
    """A good signature does not make up for a certificate that is not the origin's."""
    watching = _Watching(Forbidden("not that of them.example"))
    with pytest.raises(Forbidden, match=r"not that of them\.example"):
        authenticate(watching, THEM.authorize("PUT", URI, BODY))


def test_not_looked_at_beside_a_bad_signature() -> None:
    """Nobody's certificate is looked at before his signature is verified."""
    watching = _Watching(OWN_SHA256)
    forged = THEM.authorize("PUT", URI, BODY, key=signing_key("t_1", b"9"))
    with pytest.raises(Unauthorized):
        authenticate(watching, forged)
    assert watching.asked == []


class Listener:
    """A TLS listener in memory, and what its resource sees of its clients."""

    def __init__(self, *, asks_for_certificate: bool = True) -> None:
        self.clock = Clock()
        self.seen: list[ShownCertificate | None] = []

        async def look(request: Request) -> Reply:
            self.seen.append(ShownCertificate.on(request.channel.transport))
            return json_reply({})

        self._tls = BoundedTls(
            OneCertificate(
                issue_for("us.example").value,
                asks_for_certificate=asks_for_certificate,
            ),
            site(at_root(GET=look), clock=self.clock),
            connections(),
            self.clock,
        )

    def connect(
        self, context: SSL.Context, session: SSL.Session | None = None
    ) -> TlsConnection:
        """Connect, and ask for what the resource sees."""
        connection = TlsConnection(self._tls, context)
        if session is not None:
            connection.client.set_session(session)
        connection.shake_hands()
        connection.send(request("GET", "/"))
        self.clock.advance(0)
        assert [answer.status for answer in connection.answers()] == [200]
        return connection

    @property
    def chains(self) -> list[list[x509.Certificate] | None]:
        """What each client showed, leaf first."""
        return [
            None
            if each is None
            else [
                each.leaf.to_cryptography(),
                *(issuer.to_cryptography() for issuer in each.chain),
            ]
            for each in self.seen
        ]


VERSIONS = [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION]


def showing(version: int, issued: Issued | None) -> SSL.Context:
    """A client that shows a certificate if it is asked for one."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    if issued is not None:
        issued.value.present_in(context)
    return context


def was_resumed(connection: SSL.Connection) -> bool:
    """Whether a handshake was a short one; pyOpenSSL does not tell."""
    return bool(openssl.SSL_session_reused(connection._ssl))


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
@pytest.mark.parametrize(
    "issued",
    [
        PROVING,
        OWN,
        FOREIGN,
        issue("x", None, days=(-9, -2)),
        issue("x", dns("x.test"), purposes=[SERVER_AUTH]),
    ],
    ids=["issued", "self-signed", "foreign", "expired", "for servers"],
)
def test_any_certificate_is_let_in(version: int, issued: Issued) -> None:
    """A client may show whatever it has; it is seen whole, and not judged yet."""
    listener = Listener()
    listener.connect(showing(version, issued))
    assert listener.chains == [list(issued.value.chain)]


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_no_certificate_is_let_in(version: int) -> None:
    """A client that has none is let in, and none is seen."""
    listener = Listener()
    listener.connect(showing(version, None))
    assert listener.seen == [None]


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_no_certificate_is_asked_for(version: int) -> None:
    """Where certificates are ignored, no client shows one."""
    listener = Listener(asks_for_certificate=False)
    listener.connect(showing(version, OWN))
    assert listener.seen == [None]


@pytest.mark.parametrize("version", VERSIONS, ids=["1.2", "1.3"])
def test_resumed(version: int) -> None:
    """A resumed session shows the same certificate, without what led to it."""
    listener = Listener()
    context = showing(version, PROVING)
    first = listener.connect(context)
    again = listener.connect(context, first.client.get_session())
    assert not was_resumed(first.client)
    assert was_resumed(again.client)
    assert listener.chains == [list(PROVING.value.chain), [PROVING.certificate]]


def test_no_session_is_kept() -> None:
    """What a client shows is kept by itself, in its ticket, and never by the server.

    A chain may take a hundred kilobytes, and whoever shows it need not be known.
    """
    listener = Listener()
    context = showing(SSL.TLS1_2_VERSION, PROVING)
    context.set_options(SSL.OP_NO_TICKET)
    first = listener.connect(context)
    again = listener.connect(context, first.client.get_session())
    assert not was_resumed(again.client)


def test_no_tls() -> None:
    """A connection without TLS shows no certificate."""
    assert ShownCertificate.on(StringTransport()) is None


def test_what_was_proven_of_who_is_forgotten_is_judged_anew() -> None:
    """After an origin was forgotten, its certificate has to be proven again."""
    inspection = Inspection()
    inspection.know(OWN)
    assert inspection.is_taken(shown(OWN))
    assert result_of(inspection.peers.forget(ORIGIN))
    assert inspection.is_taken(shown(OWN))  # for an hour, as nobody forgot it here
    inspection.certificates.forget(ServerName.parse("other.example"))
    assert inspection.is_taken(shown(OWN))
    inspection.certificates.forget(ORIGIN)
    assert not inspection.is_taken(shown(OWN))
