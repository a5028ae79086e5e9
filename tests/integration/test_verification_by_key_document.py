"""No byte of a request reaches a peer that its key document does not prove."""

from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall
from twisted.protocols.tls import TLSMemoryBIOProtocol

from homeserver.outbound.transport import key_document_proof
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import encode, parse_object
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import Issued, issue, issue_for
from tests.support.ipv6 import skip_without
from tests.support.memory_database import MemoryDatabase
from tests.support.real_outbound import reaching
from tests.support.recording_peers import (
    KEY_REQUEST,
    RecordingPeer,
    Respond,
    http,
    key_document,
    listening,
    signing_key,
)
from tests.support.tables import cases
from tests.support.verified_sending import NAME, PUT, send
from tests.support.waiting import wait
from tests.support.wrong_certificates import CA, WRONG_CERTIFICATES

TLS_1_2 = (SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION)
RSA = rsa.generate_private_key(65537, 2048)


FOREIGN = issue_for("peer.test")


def altered(document: bytes, **members: object) -> bytes:
    """A key document with other members, under the signatures that it had."""
    return encode({**parse_object(document), **members})


def silent(connection: Protocol) -> None:
    """Never answer."""


def drip(connection: Protocol) -> None:
    """Answer a byte every few milliseconds, and so for minutes."""
    tls = cast("TLSMemoryBIOProtocol", connection.transport)
    tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")

    def write() -> None:
        if tls.connected:
            tls.write(b" ")
        else:
            dripping.stop()

    dripping = LoopingCall(write)
    dripping.start(0.01)


def endless_headers(connection: Protocol) -> None:
    """Send 2 MB of headers."""
    assert connection.transport is not None
    connection.transport.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(2048):
        connection.transport.write(b"X: " + b"a" * 1021 + b"\r\n")


def garbage(connection: Protocol) -> None:
    """Send what is not HTTP."""
    assert connection.transport is not None
    connection.transport.write(b"220 peer.test ESMTP\r\n" * 3)


def hang_up(connection: Protocol) -> None:
    """End the connection instead of answering."""
    assert connection.transport is not None
    connection.transport.loseConnection()


def documents(name: str, issued: Issued) -> dict[str, tuple[Respond, str]]:
    """What a hostile peer answers when it is asked for its keys, and what is said."""
    good = key_document(name, issued)
    key_id = signing_key().key_id
    return {
        "500": (http(b"{}", "500 Internal Server Error"), "status 500"),
        "redirect": (http(b"", "302 Found", "Location: /x\r\n"), "status 302"),
        "10 MB": (http(b"[" * 10_000_000), "over"),
        "endless headers": (endless_headers, "over"),
        "not HTTP": (garbage, "no answer"),
        "hangs up": (hang_up, "no answer"),
        "not JSON": (http(b"<html>"), "not JSON"),
        "other server_name": (
            http(key_document("other.test", issued)),
            "server_name 'other.test'",
        ),
        "other certificate": (
            http(key_document(name, issued, certificate=FOREIGN.value.leaf)),
            "another TLS certificate",
        ),
        "other certificate under the old signature": (
            http(
                altered(
                    key_document(name, issued, certificate=FOREIGN.value.leaf),
                    tls_certificate=parse_object(good)["tls_certificate"],
                )
            ),
            "does not verify",
        ),
        "wrong signature": (
            http(altered(good, signatures={name: {key_id: "A" * 86}})),
            "does not verify",
        ),
        "ends the connection after it": (
            http(good, headers="Connection: close\r\n"),
            "ended the connection",
        ),
    }


@pytest.mark.parametrize("case", documents("peer.test", FOREIGN))
def test_bad_key_document_gets_nothing_more(case: str) -> None:
    """A peer whose key document proves nothing is asked for that and nothing else."""
    peer = RecordingPeer(issue_for("peer.test"), http(b"{}"))
    with listening(peer), reaching() as reach:
        name = NAME.format(port=peer.port)
        peer.respond, said = documents(name, peer.issued)[case]
        with pytest.raises(Unreachable, match=said):
            send(reach, peer)
    assert peer.requests == [KEY_REQUEST]
    assert b"PUT" not in b"".join(peer.received)


@pytest.mark.parametrize("respond", [silent, drip], ids=["never", "byte by byte"])
def test_slow_key_document_gets_nothing_more(
    respond: Respond, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer whose key document does not come whole in time is left."""
    monkeypatch.setattr(key_document_proof, "_KEY_DOCUMENT_SECONDS", 1.0)
    peer = RecordingPeer(issue_for("peer.test"), respond)
    with (
        listening(peer),
        reaching(("key-document",)) as reach,
        pytest.raises(Unreachable, match="gets no answer: 'no answer in time'"),
    ):
        send(reach, peer)
    assert peer.requests == [KEY_REQUEST]


BAD_CERTIFICATES: list[tuple[str, str, Issued, tuple[int, int] | None]] = [
    *((name, "peer.test", issued(), None) for name, issued, _ in WRONG_CERTIFICATES),
    ("RSA", "peer.test", issue("x", None, key=RSA), None),
    ("IPv4", "127.0.0.1", issue_for("whoever.test"), None),
    ("IPv6", "[::1]", issue_for("whoever.test"), None),
    ("TLS 1.2", "peer.test", issue_for("peer.test"), TLS_1_2),
]


@cases("host issued versions", BAD_CERTIFICATES)
def test_good_key_document_makes_up_for_any_certificate(
    host: str, issued: Issued, versions: tuple[int, int] | None, ca_file: Path
) -> None:
    """Whatever is wrong with a certificate, a key document that names it proves it."""
    address = "::1" if host == "[::1]" else "127.0.0.1"
    skip_without(address)
    peer = RecordingPeer(issued, http(b"{}"), host=address)
    if versions is not None:
        peer.versions = versions
    with listening(peer), reaching(ca_file=ca_file, address=address) as reach:
        peer.respond = http(key_document(f"{host}:{peer.port}", issued))
        assert send(reach, peer, host)["verified_by"] == "key-document"
    assert peer.requests == [KEY_REQUEST, PUT]
    assert len(peer.received) == 1


@pytest.mark.parametrize("count", [1, 2])
def test_good_key_document_lets_the_request_out(count: int) -> None:
    """A peer that its key document proves gets the request on the same connection."""
    keys = [signing_key(f"k_{n}", bytes([n]) * 32) for n in range(count)]
    peer = RecordingPeer(issue_for("whoever.test"), http(b"{}"))
    with listening(peer), reaching() as reach:
        name = NAME.format(port=peer.port)
        peer.respond = http(key_document(name, peer.issued, *keys))
        assert send(reach, peer)["verified_by"] == "key-document"
        stored = wait(reach.peers.keys(ServerName.parse(name)))
    assert peer.requests == [KEY_REQUEST, PUT]
    assert len(peer.received) == 1
    assert set(stored) == {key.key_id for key in keys}


def test_pinned_keys_hold() -> None:
    """Another key for a known peer is refused, a rotation that the old one signs not.

    After the rotation the new key is the pin.
    """
    old, new, third = (signing_key(f"k_{n}", bytes([n]) * 32) for n in range(3))
    database = MemoryDatabase()
    peer = RecordingPeer(issue_for("peer.test"), http(b"{}"))
    with listening(peer):
        name = NAME.format(port=peer.port)

        def attempt(document: bytes) -> None:
            peer.respond = http(document)
            with reaching(("key-document",), database=database) as reach:
                send(reach, peer)

        attempt(key_document(name, peer.issued, old))
        with pytest.raises(Unreachable, match="not signed by a key that is pinned"):
            attempt(key_document(name, peer.issued, new))
        both = parse_object(key_document(name, peer.issued, old, new))
        attempt(encode(both))
        attempt(key_document(name, peer.issued, new))
        with pytest.raises(Unreachable, match="not signed by a key that is pinned"):
            attempt(key_document(name, peer.issued, old))
        with pytest.raises(Unreachable, match="not signed by a key that is pinned"):
            attempt(key_document(name, peer.issued, third))


def test_no_way_back_from_certificate(ca_file: Path) -> None:
    """A server verified by certificate is not accepted by key document alone."""
    database = MemoryDatabase()
    peer = RecordingPeer(issue_for("peer.test", CA), http(b"{}"))
    with listening(peer):
        with reaching(ca_file=ca_file, database=database) as reach:
            assert send(reach, peer)["verified_by"] == "certificate"
        peer.issued = issue_for("peer.test")
        peer.respond = http(key_document(NAME.format(port=peer.port), peer.issued))
        peer.received.clear()
        with (
            reaching(ca_file=ca_file, database=database) as reach,
            pytest.raises(Unreachable, match="by its certificate before"),
        ):
            send(reach, peer)
    assert b"".join(peer.received) == b""
