"""Which key documents are handed out, byte for byte."""

from hashlib import sha256

import pytest
from canonicaljson import encode_canonical_json
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from signedjson.key import decode_signing_key_base64
from signedjson.sign import sign_json
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory

from homeserver.http.router import Router
from homeserver.http.site import BoundedSite
from homeserver.identity.identity import Identity
from homeserver.inbound.key_publisher import KeyPublisher
from homeserver.inbound.routes import key_routes
from homeserver.protocol.canonical_json import Json, encode_base64
from homeserver.protocol.key_documents import (
    KeyDocument,
    OldVerifyKey,
    parse_v1,
    parse_v2,
)
from homeserver.protocol.signing import SigningKey
from tests.support.certificates import authority, issue_for
from tests.support.federation_side import NOW
from tests.support.http_connection import TlsConnection, ask, request, site
from tests.support.key_documents import public
from tests.support.one_server import OneServer, OnlyServer
from tests.support.server_tls import OneCertificate
from tests.support.signed_requests import US, identity, signing_key

DAY = 86400

FIRST = signing_key("a_1", b"1")
SECOND = signing_key("b", b"2")
OLD = signing_key("o", b"3")


class Server:
    """A server that does nothing but hand out its keys."""

    def __init__(self, identity: Identity, validity_seconds: float = DAY) -> None:
        self.identity = identity
        self.clock = Clock()
        self.clock.advance(NOW)
        self.publisher = KeyPublisher(
            lambda: self.identity, validity_seconds, self.clock
        )
        self.router = Router(
            key_routes(OnlyServer(OneServer(publisher=self.publisher)), None)
        )

    @property
    def leaf(self) -> bytes:
        """The DER of the certificate that it presents now."""
        return self.identity.certificate.leaf

    @property
    def site(self) -> BoundedSite:
        """A site with the routes of keys alone."""
        return site(self.router, clock=self.clock)

    def v1(self) -> KeyDocument:
        """The version 1 document, as a peer reads it."""
        return parse_v1(ask(self.site, "GET", "/_matrix/key/v1").body, US)

    def v2(self) -> KeyDocument:
        """The version 2 document, as a peer reads it."""
        return parse_v2(ask(self.site, "GET", "/_matrix/key/v2/server").body, US)

    @property
    def now_ts(self) -> int:
        """The time, in milliseconds since 1970."""
        return int(self.clock.seconds() * 1000)


def signed(document: Json) -> bytes:
    """The document as two other libraries sign and encode it."""
    for key in (FIRST, SECOND):
        algorithm, _, version = key.key_id.partition(":")
        assert algorithm == "ed25519"
        reference = decode_signing_key_base64(
            algorithm, version, encode_base64(bytes(key.key))
        )
        document = sign_json(document, US.name, reference)
    return encode_canonical_json(document)


def fingerprint(leaf: bytes) -> str:
    """A certificate's SHA-256, in base64."""
    return encode_base64(sha256(leaf).digest())


def test_v1_byte_for_byte() -> None:
    """The version 1 document is canonical JSON, signed by each of our keys."""
    server = Server(identity([FIRST, SECOND]))
    assert ask(server.site, "GET", "/_matrix/key/v1").body == signed(
        {
            "server_name": "us.example",
            "tls_certificate": encode_base64(server.identity.certificate.leaf),
            "verify_keys": {"ed25519:a_1": public(FIRST), "ed25519:b": public(SECOND)},
        }
    )


def test_v2_byte_for_byte() -> None:
    """The version 2 document is canonical JSON, signed by each of our keys."""
    old = OldVerifyKey(OLD.verify_key, 1_600_000_000_000)
    server = Server(identity([FIRST, SECOND], [old]))
    assert ask(server.site, "GET", "/_matrix/key/v2/server").body == signed(
        {
            "server_name": "us.example",
            "verify_keys": {
                "ed25519:a_1": {"key": public(FIRST)},
                "ed25519:b": {"key": public(SECOND)},
            },
            "old_verify_keys": {
                "ed25519:o": {"key": public(OLD), "expired_ts": 1_600_000_000_000}
            },
            "tls_fingerprints": [
                {"sha256": fingerprint(server.identity.certificate.leaf)}
            ],
            "valid_until_ts": server.now_ts + DAY * 1000,
        }
    )


ROUTES: list[tuple[str, int | None]] = [
    ("/_matrix/key/v1", 1),
    ("/_matrix/key/v1/", 1),
    ("/_matrix/key/v1?", 1),
    ("/_matrix/key/v1/?x=y&x=z", 1),
    ("/_matrix/key/v1/ed25519:a_1", None),
    ("/_matrix/key/v1//", None),
    ("/_matrix/key/v2/server", 2),
    ("/_matrix/key/v2/server/", 2),
    ("/_matrix/key/v2/server?minimum_valid_until_ts=1", 2),
    ("/_matrix/key/v2/server/ed25519:a_1", 2),
    ("/_matrix/key/v2/server/ed25519%3Aa_1", 2),
    ("/_matrix/key/v2/server/ed25519:unknown", 2),
    ("/_matrix/key/v2/server/a/b", None),
    ("/_matrix/key/v2/server//a", None),
    ("/_matrix/key/v2", None),
    ("/_matrix/key/v2/", None),
    ("/_matrix/key/v2/query", None),
    ("/_matrix/key/v3/server", None),
    ("/", None),
]


@pytest.mark.parametrize(("path", "version"), ROUTES)
def test_routes(path: str, version: int | None) -> None:
    """Each document is where it was in all these years, and nowhere else."""
    server = Server(identity())
    answer = ask(server.site, "GET", path)
    if version is None:
        assert answer.error == (404, "M_UNRECOGNIZED")
        return
    documents = {1: server.publisher.v1(), 2: server.publisher.v2()}
    assert (answer.status, answer.body) == (200, documents[version])


def test_v1_as_a_peer_reads_it() -> None:
    """The version 1 document passes a peer's checks, with our keys and certificate."""
    server = Server(identity([FIRST, SECOND]))
    document = server.v1()
    assert document.tls_certificate == server.identity.certificate.leaf
    assert set(document.verify_keys) == {FIRST.key_id, SECOND.key_id}
    assert set(document.signatures) == {FIRST.key_id, SECOND.key_id}


def test_v2_as_a_peer_reads_it() -> None:
    """The version 2 document passes a peer's checks, with our old keys."""
    old = OldVerifyKey(OLD.verify_key, 1_600_000_000_000)
    document = Server(identity([FIRST], [old])).v2()
    assert set(document.verify_keys) == {FIRST.key_id}
    assert document.old_verify_keys == {OLD.key_id: old}


def test_v2_without_old_keys() -> None:
    """`old_verify_keys` is there even where there are none."""
    assert Server(identity()).v2().document["old_verify_keys"] == {}


def test_documents_name_the_certificate_that_is_shown() -> None:
    """`tls_certificate` and the fingerprint are those of the leaf of the handshake.

    So it is on a connection of before a renewal, too.
    """
    ours = identity()
    certificate = issue_for(US.name, authority()).value
    server = Server(Identity(US, ours.signing_keys, [], certificate))
    tls = OneCertificate(certificate, asks_for_certificate=False)
    factory = TLSMemoryBIOFactory(
        tls, isClient=False, wrappedFactory=server.site, clock=server.clock
    )

    def connect() -> TlsConnection:
        connection = TlsConnection(factory, SSL.Context(SSL.TLS_METHOD))
        connection.shake_hands()
        return connection

    def check(connection: TlsConnection, key: SigningKey) -> None:
        connection.send(request("GET", "/_matrix/key/v1"))
        server.clock.advance(0)
        document = parse_v1(connection.answers()[-1].body, US)
        connection.send(request("GET", "/_matrix/key/v2/server"))
        server.clock.advance(0)
        second = parse_v2(connection.answers()[-1].body, US)
        shown = connection.client.get_peer_certificate(as_cryptography=True)
        assert shown is not None
        leaf = shown.public_bytes(Encoding.DER)
        assert document.tls_certificate == leaf
        assert second.names_certificate(leaf)
        # What others see when they connect is named, too.
        assert second.names_certificate(server.identity.certificate.leaf)
        assert len(second.tls_fingerprints) == len({leaf, server.leaf})
        assert set(document.verify_keys) == {key.key_id}

    before = connect()
    check(before, FIRST)
    server.identity = identity([SECOND])
    tls.renew(server.identity.certificate)
    after = connect()
    for connection in after, before, after:
        check(connection, SECOND)


def test_v2_is_signed_anew_at_half_time() -> None:
    """The version 2 document stays the same until half of its validity is over."""
    server = Server(identity())
    first = server.publisher.v2()
    server.clock.advance(DAY / 2 - 1)
    assert server.publisher.v2() == first
    server.clock.advance(1)
    assert server.v2().valid_until_ts == server.now_ts + DAY * 1000


@pytest.mark.parametrize("validity_seconds", [7200, 10_000, DAY, 7 * DAY])
def test_v2_has_an_hour_left(validity_seconds: int) -> None:
    """Whenever it is asked for, the version 2 document has an hour of life left."""
    server = Server(identity(), validity_seconds)
    for _ in range(500):
        until = server.v2().valid_until_ts
        assert until is not None
        assert until - server.now_ts >= 3600 * 1000
        server.clock.advance(601)


def test_v1_does_not_change_with_time() -> None:
    """The version 1 document has no times in it."""
    server = Server(identity())
    first = server.publisher.v1()
    server.clock.advance(10 * DAY)
    assert server.publisher.v1() == first


def test_new_identity() -> None:
    """New keys, old keys and a new certificate show at once."""
    server = Server(identity([FIRST]))
    server.v1()
    retired = OldVerifyKey(FIRST.verify_key, server.now_ts)
    server.identity = identity([SECOND], [retired])
    assert set(server.v2().verify_keys) == {SECOND.key_id}
    assert server.v2().old_verify_keys == {FIRST.key_id: retired}
    assert set(server.v1().verify_keys) == {SECOND.key_id}
    assert server.v1().tls_certificate == server.leaf
    assert server.v2().tls_fingerprints == {sha256(server.leaf).digest()}


def test_v1_of_a_new_identity() -> None:
    """The version 1 document too is made anew, whichever is asked for first."""
    server = Server(identity([FIRST]))
    before = server.publisher.v1()
    server.identity = identity([SECOND])
    assert server.publisher.v1() != before


@pytest.mark.parametrize("path", ["/_matrix/key/v1", "/_matrix/key/v2/server"])
def test_length_is_known(path: str) -> None:
    """The length of a document is announced, and is that of its body."""
    server = Server(identity())
    answer = ask(server.site, "GET", path)
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert answer.body in {server.publisher.v1(), server.publisher.v2()}
