"""A lost connection is gone at once, without the garbage collector."""

import gc
from collections.abc import Iterator
from weakref import ref

import pytest
from OpenSSL import SSL
from twisted.internet.task import Clock

from homeserver.http.tls_listener import BoundedTls
from tests.support.certificates import issue_for
from tests.support.http_connection import TlsConnection, connections, request, site
from tests.support.manual_resource import Desk
from tests.support.server_tls import OneCertificate


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Let nothing but the end of its last reference free an object."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("state", ["silent", "begun", "shaken"])
def test_lost_connection(state: str) -> None:
    """A TLS connection that the client just drops leaves nothing."""
    clock = Clock()
    factory = BoundedTls(
        OneCertificate(issue_for("us.example").value),
        site(Desk(), clock=clock),
        connections(),
        clock,
    )
    connection = TlsConnection(factory, SSL.Context(SSL.TLS_METHOD))
    protocol = connection._protocol
    watched = [ref(protocol), ref(protocol.wrappedProtocol)]  # type: ignore[attr-defined]
    if state != "silent":
        watched.append(ref(protocol.getHandle()))  # type: ignore[attr-defined]
    if state == "shaken":
        connection.shake_hands()
        connection.send(request("GET", "/"))
        clock.advance(0)
        assert [answer.status for answer in connection.answers()] == [200]
    connection.lose()
    connection.transport.unregisterProducer()  # as a real one
    del connection, protocol
    clock.advance(100)
    assert [each() for each in watched] == [None] * len(watched)
