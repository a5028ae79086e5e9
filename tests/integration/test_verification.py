"""No byte of a request reaches a peer that its certificate does not prove."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from homeserver.outbound.transport.connector import Unreachable
from tests.support.certificates import Issued, dns, ip, issue, issue_for
from tests.support.ipv6 import skip_without
from tests.support.real_outbound import reaching
from tests.support.recording_peers import RecordingPeer, http, listening
from tests.support.tables import cases
from tests.support.verified_sending import PUT, send
from tests.support.wrong_certificates import CA, WRONG_CERTIFICATES, below

TLS_1_2 = (SSL.TLS1_2_VERSION, SSL.TLS1_2_VERSION)
RSA = rsa.generate_private_key(65537, 2048)


def refuse(
    peer: RecordingPeer, ca_file: Path, said: str, host: str = "peer.test"
) -> None:
    """See to it that the peer is refused by its certificate."""
    with (
        listening(peer),
        reaching(("certificate",), ca_file) as reach,
        pytest.raises(Unreachable, match=said),
    ):
        send(reach, peer, host)


@cases("issued said", WRONG_CERTIFICATES)
def test_bad_certificate_gets_nothing(
    issued: Callable[[], Issued], said: str, ca_file: Path
) -> None:
    """A certificate that proves nothing ends the handshake, before any byte."""
    certificate = issued()
    peer = RecordingPeer(certificate, http(b"{}"))
    refuse(peer, ca_file, f"TLS handshake failed: {re.escape(said)}")
    assert b"".join(peer.received) == b""


GOOD_CERTIFICATES: list[tuple[str, Issued, str, tuple[int, int] | None]] = [
    ("EC", issue_for("peer.test", CA), "peer.test", None),
    ("IPv4", issue("x", [ip("127.0.0.1")], issuer=CA), "127.0.0.1", None),
    ("intermediate", below(), "peer.test", None),
    ("RSA", issue("x", dns("peer.test"), issuer=CA, key=RSA), "peer.test", None),
    ("TLS 1.2", issue_for("peer.test", CA), "peer.test", TLS_1_2),
]


@cases("issued host versions", GOOD_CERTIFICATES)
def test_good_certificate_gets_the_request_alone(
    issued: Issued, host: str, versions: tuple[int, int] | None, ca_file: Path
) -> None:
    """A peer that its certificate proves gets the request and nothing before it."""
    peer = RecordingPeer(issued, http(b"{}"))
    if versions is not None:
        peer.versions = versions
    with listening(peer), reaching(("certificate",), ca_file) as reach:
        assert send(reach, peer, host)["verified_by"] == "certificate"
    assert peer.requests == [PUT]


def test_address_is_no_name(ca_file: Path) -> None:
    """An address as a server name needs a certificate for that very address."""
    peer = RecordingPeer(issue("x", dns("127.0.0.1"), issuer=CA), http(b"{}"))
    refuse(peer, ca_file, "TLS handshake failed: the certificate", "127.0.0.1")
    assert b"".join(peer.received) == b""


def test_old_tls_gets_nothing(ca_file: Path) -> None:
    """A peer that speaks TLS 1.1 at most is not spoken to."""
    peer = RecordingPeer(issue_for("peer.test", CA), http(b"{}"))
    peer.versions = (SSL.TLS1_1_VERSION, SSL.TLS1_1_VERSION)
    refuse(peer, ca_file, "TLS handshake failed")
    assert b"".join(peer.received) == b""


def test_good_certificate_over_ipv6(ca_file: Path) -> None:
    """An IPv6 address is verified by its iPAddress name."""
    skip_without("::1")
    issued = issue("x", [ip("::1")], issuer=CA)
    peer = RecordingPeer(issued, http(b"{}"), host="::1")
    with listening(peer), reaching(("certificate",), ca_file) as reach:
        assert send(reach, peer, "[::1]")["address"] == "::1"
    assert peer.requests == [PUT]
