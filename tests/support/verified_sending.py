"""Transactions that are sent to a server which is called by its port."""

from homeserver.net.exchange import Exchange
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from tests.support.real_outbound import Reach
from tests.support.recording_peers import RecordingPeer
from tests.support.waiting import wait

PUT = b"PUT /_matrix/federation/v1/send/1 HTTP/1.1\r\n"

NAME = "peer.test:{port}"
"""What the server is called; a test puts its port in."""


def send(reach: Reach, peer: RecordingPeer, host: str = "peer.test") -> Json:
    """Send a transaction to the peer, called by `host` and its port."""
    name = ServerName.parse(f"{host}:{peer.port}")
    delivery = wait(
        reach.client.send_transaction(name, "1", b'{"pdus":[]}', exchange=Exchange())
    )
    return {
        "verified_by": delivery.connection.peer.verified_by,
        "address": delivery.connection.address,
    }
