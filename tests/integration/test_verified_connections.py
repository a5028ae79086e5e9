"""A connection is verified for one name: which requests may share it."""

from pathlib import Path

import pytest

from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import dns, issue, issue_for
from tests.support.memory_database import MemoryDatabase
from tests.support.real_outbound import reaching
from tests.support.recording_peers import (
    KEY_REQUEST,
    RecordingPeer,
    http,
    key_document,
    listening,
)
from tests.support.verified_sending import NAME, PUT, send
from tests.support.waiting import wait
from tests.support.wrong_certificates import CA

FOREIGN = issue_for("peer.test")


def test_requests_share_a_connection() -> None:
    """A hundred requests cost one handshake and one fetch of the key document."""
    peer = RecordingPeer(issue_for("peer.test"), http(b"{}"))
    with listening(peer), reaching() as reach:
        peer.respond = http(key_document(NAME.format(port=peer.port), peer.issued))
        for _ in range(100):
            send(reach, peer)
    assert len(peer.received) == 1
    assert peer.requests == [KEY_REQUEST] + [PUT] * 100


def test_names_share_no_connection(ca_file: Path) -> None:
    """Two names at one address and port are verified and connected to each alone."""
    issued = issue("x", dns("peer.test", "other.test"), issuer=CA)
    peer = RecordingPeer(issued, http(b"{}"))
    with listening(peer), reaching(("certificate",), ca_file) as reach:
        send(reach, peer, "peer.test")
        send(reach, peer, "other.test")
    assert len(peer.received) == 2


def test_names_share_no_proof() -> None:
    """A name is not believed because another one at its address and port is."""
    peer = RecordingPeer(issue_for("peer.test"), http(b"{}"))
    with listening(peer), reaching() as reach:
        peer.respond = http(key_document(NAME.format(port=peer.port), peer.issued))
        send(reach, peer)
        with pytest.raises(Unreachable, match=r"server_name 'peer\.test"):
            send(reach, peer, "other.test")
        send(reach, peer)
    assert [connection.count(PUT) for connection in peer.received] == [2, 0]
    assert peer.requests == [KEY_REQUEST, PUT, PUT, KEY_REQUEST]


def test_another_certificate_on_another_connection() -> None:
    """A key document proves the connection that it came on, and no later one.

    Who breaks into the way gets neither the request nor the pin.
    """
    peer = RecordingPeer(issue_for("peer.test"), http(b"{}"))
    database = MemoryDatabase()
    with listening(peer):
        peer.respond = http(key_document(NAME.format(port=peer.port), peer.issued))
        with reaching(database=database) as reach:
            send(reach, peer)
            before = wait(
                reach.peers.peer(ServerName.parse(NAME.format(port=peer.port)))
            )
        peer.issued = FOREIGN
        with (
            reaching(database=database) as reach,
            pytest.raises(Unreachable, match="another TLS certificate"),
        ):
            send(reach, peer)
        after = wait(reach.peers.peer(ServerName.parse(NAME.format(port=peer.port))))
    assert before == after
    assert peer.requests == [KEY_REQUEST, PUT, KEY_REQUEST]
