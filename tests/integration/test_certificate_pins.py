"""Certificates that an operator trusts although they prove nothing."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.hashes import SHA256

from homeserver.config.values import VerificationMethod
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import authority, issue, issue_for
from tests.support.memory_database import MemoryDatabase
from tests.support.real_outbound import reaching
from tests.support.recording_peers import (
    NOT_FOUND,
    RecordingPeer,
    http,
    key_document,
    listening,
)
from tests.support.verified_sending import NAME, PUT, send
from tests.support.waiting import wait

CA = authority()

METHODS: list[tuple[VerificationMethod, ...]] = [
    ("certificate",),
    ("certificate", "key-document"),
    ("key-document",),
]


def name_of(peer: RecordingPeer) -> ServerName:
    """What a server is called."""
    return ServerName.parse(NAME.format(port=peer.port))


@pytest.mark.parametrize("methods", METHODS, ids="+".join)
def test_a_certificate_that_names_nobody(
    methods: tuple[VerificationMethod, ...],
) -> None:
    """A peer is trusted by the certificate that is pinned, and by no other like it."""
    pinned, other = issue("x", None), issue("x", None)
    database = MemoryDatabase()
    with listening(RecordingPeer(pinned, NOT_FOUND)) as peer:
        with reaching(methods, database=database) as reach:
            with pytest.raises(Unreachable):
                send(reach, peer)
            sha256 = pinned.certificate.fingerprint(SHA256()).hex()
            wait(reach.peers.certificate_pins.pin(name_of(peer), sha256))
            assert send(reach, peer)["verified_by"] == "certificate"
            assert b"".join(peer.received).count(PUT) == 1
            # Another name is not meant, although it is at the same address.
            with pytest.raises(Unreachable):
                send(reach, peer, "other.test")
        peer.issued = other
        with reaching(methods, database=database) as reach, pytest.raises(Unreachable):
            send(reach, peer)
        peer.issued = pinned
        with reaching(methods, database=database) as reach:
            assert wait(reach.peers.forget(name_of(peer)))
            with pytest.raises(Unreachable):
                send(reach, peer)
    assert b"".join(peer.received).count(PUT) == 1


def test_a_good_certificate_is_good_beside_a_pin(tmp_path: Path) -> None:
    """A peer whose certificate is renewed by an authority needs no pin any more."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(CA.pem)
    peer = RecordingPeer(issue_for("peer.test", CA), NOT_FOUND)
    with listening(peer), reaching(("certificate",), ca_file) as reach:
        wait(reach.peers.certificate_pins.pin(name_of(peer), "00" * 32))
        assert send(reach, peer)["verified_by"] == "certificate"


def test_a_pinned_certificate_is_no_way_back() -> None:
    """A server trusted by a pin is not accepted by key document alone afterwards."""
    database = MemoryDatabase()
    with listening(RecordingPeer(issue("x", None), NOT_FOUND)) as peer:
        with reaching(database=database) as reach:
            sha256 = peer.issued.certificate.fingerprint(SHA256()).hex()
            wait(reach.peers.certificate_pins.pin(name_of(peer), sha256))
            send(reach, peer)
        peer.issued = issue_for("peer.test")
        peer.respond = http(key_document(name_of(peer).name, peer.issued))
        with (
            reaching(database=database) as reach,
            pytest.raises(Unreachable, match="by its certificate before"),
        ):
            send(reach, peer)
