"""Handshakes that rules end in their middle: the record names the fault."""

import socket
import ssl

import pytest

from homeserver.testing import Lab
from tests.support.lab_rules import put


def client_hello(name: str) -> bytes:
    """The first bytes of a client of TLS."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(
        incoming, outgoing, server_hostname=name
    )
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("fault", "value", "named"),
    [("connection.close-after", 100, "close-after"), ("tls.stall", True, "stall")],
)
def test_the_fault_is_named(lab: Lab, fault: str, value: object, named: str) -> None:
    """The connection has the error that a rule has made."""
    server = lab.server()
    put(lab, server, {fault: value})
    host, _, port = server.listen.rpartition(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(client_hello(server.name))
        assert client.recv(1)
    [ended] = server.expect(kind="connection", direction="in")
    assert ended.json["reason"] == "handshake_failed"
    assert ended.json["error"] == f"a rule of the lab: {named}"
