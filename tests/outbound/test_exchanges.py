"""What is found about an outbound request: its connection, its answer, its failure."""

from typing import TypeVar

import pytest
from twisted.internet.defer import Deferred

from homeserver.identity.identity import Identity
from homeserver.net.cause import OURSELVES
from homeserver.net.exchange import Details, Exchange
from homeserver.outbound.client import Delivery, FederationClient
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connection import USER_AGENT
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.discovery import NotResolvable
from homeserver.protocol.identifiers import ServerName
from tests.support.certificates import issue_for
from tests.support.memory_tls_servers import ok, start
from tests.support.outbound_stack import (
    CA,
    GOOD,
    PEER,
    SELF_SIGNED,
    Stack,
    key_document,
    route,
)

KEYS = "/_matrix/key/v1"

_T = TypeVar("_T")


class Client:
    """A client over a whole stack in memory, and what its requests came to."""

    def __init__(self) -> None:
        self.stack = Stack()
        self.net = self.stack.net
        self.recorded: list[Exchange] = []
        self.exchanges = self.stack.exchanges
        identity = Identity(ServerName.parse("origin.test"), [], [], CA.value)
        self.client = FederationClient(
            self.stack.agent, lambda: identity, self.net.clock, self.exchanges
        )

    def record(self) -> None:
        """Attach a record."""
        self.exchanges.record = self.recorded.append

    def send(self) -> tuple[Deferred[Delivery], Exchange]:
        """Send a transaction."""
        exchange = self.exchanges.open("request", "out", "PUT", "/")
        sent = self.client.send_transaction(PEER, "1", b"{}", exchange=exchange)
        return start(sent), exchange


@pytest.fixture
def client() -> Client:
    """A client of its own."""
    return Client()


def failure_of(deferred: Deferred[_T], kind: type[Exception]) -> None:
    """See that a request failed so."""
    failures: list[object] = []
    deferred.addErrback(lambda failure: failures.append(failure.trap(kind)))
    assert failures == [kind]


def details_of(exchange: Exchange) -> Details:
    """The details of an exchange."""
    assert exchange.details is not None
    return exchange.details


def test_delivery(client: Client) -> None:
    """A request knows both names, where it went, and how the peer was verified."""
    _, exchange = client.send()
    client.net.accept(GOOD).say(ok(b"{}"))
    assert (exchange.server, exchange.peer) == ("origin.test", "peer.test")
    assert (exchange.address, exchange.via) == ("192.0.2.1", "192.0.2.1:8448")
    assert (exchange.verified_by, exchange.is_proven) == ("certificate", True)
    assert (exchange.status, exchange.is_reused) == (200, False)
    assert exchange.route == "/_matrix/federation/v1/send/{txnId}"
    assert exchange.details is None


def test_reuse(client: Client) -> None:
    """A second request knows that its connection was there."""
    client.send()
    wire = client.net.accept(GOOD)
    wire.say(ok(b"{}"))
    _, exchange = client.send()
    wire.say(ok(b"{}"))
    assert exchange.is_reused is True
    assert exchange.verified_by == "certificate"


def test_details(client: Client) -> None:
    """A record has TLS, both messages, and the seconds of each stage in order."""
    client.record()
    _, exchange = client.send()
    client.net.clock.advance(1)
    wire = client.net.accept(GOOD)
    client.net.clock.advance(2)
    wire.say(ok(b'{"a":1}', headers="X-odd: 1\r\n"))
    exchange.close(exchange.status)
    details = details_of(exchange)
    assert list(details.stages) == ["resolution", "connection", "response", "body"]
    assert details.stages["connection"] >= 1
    assert details.stages["response"] >= 2
    assert details.tls is not None
    assert (details.tls.sni, details.tls.certificate) == ("peer.test", GOOD.value.leaf)
    assert details.request.body == b"{}"
    assert details.request.start_line == f"PUT {details.target} HTTP/1.1"
    assert list(details.request.headers) == [
        ("Content-Length", "2"),
        ("Content-Type", "application/json"),
        ("Host", "peer.test"),
        ("User-Agent", USER_AGENT),
    ]
    assert details.response is not None
    assert details.response.start_line == "HTTP/1.1 200 OK"
    assert details.response.body == b'{"a":1}'
    assert details.response.headers == [("Content-Length", "7"), ("X-odd", "1")]


def test_error_response(client: Client) -> None:
    """An error response has its status and its errcode, and is no failure."""
    sent, exchange = client.send()
    body = b'{"errcode":"M_FORBIDDEN","error":"no"}'
    client.net.accept(GOOD).say(ok(body, status="403 Forbidden"))
    failure_of(sent, Refused)
    assert (exchange.status, exchange.errcode) == (403, "M_FORBIDDEN")
    assert exchange.reason is None


def test_not_resolved(client: Client) -> None:
    """A name without a route has the reason code of its look-up."""
    client.stack.names.routes = NotResolvable("SERVFAIL", [])
    sent, exchange = client.send()
    failure_of(sent, Unreachable)
    assert exchange.reason == NotResolvable("", []).reason
    assert (exchange.status, exchange.is_reused) == (None, None)
    assert "SERVFAIL" in str(exchange.error)


def test_not_verified(client: Client) -> None:
    """A peer that is not verified has the reason code of the check that failed."""
    client.stack.names.routes = [route("192.0.2.1")]
    sent, exchange = client.send()
    client.net.accept(issue_for("other.test", CA)).say(ok(b"nothing"))
    failure_of(sent, Unreachable)
    assert exchange.reason == "certificate_rejected"
    assert (exchange.address, exchange.is_proven) == ("", False)


def test_no_answer(client: Client) -> None:
    """A verified peer that ends the connection has its own reason code."""
    sent, exchange = client.send()
    client.net.accept(GOOD).hang_up()
    failure_of(sent, Unreachable)
    assert (exchange.reason, exchange.address) == ("no_answer", "192.0.2.1")


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
def test_key_document(client: Client, status: str) -> None:
    """A request for a key document is an exchange of its own, and ends."""
    client.record()
    start(client.client.ask(PEER, f"{KEYS}?a", OURSELVES))
    client.net.accept(GOOD).say(ok(b"{}", status=status))
    [_, exchange] = client.recorded
    assert (exchange.method, exchange.path, exchange.server) == (
        "GET",
        KEYS,
        "origin.test",
    )
    assert exchange.status == int(status[:3])
    assert exchange.result is None


def test_key_document_that_fails(client: Client) -> None:
    """A request for a key document without an answer ends, too."""
    client.record()
    asked = start(client.client.ask(PEER, KEYS, OURSELVES))
    client.net.accept(GOOD).hang_up()
    failure_of(asked, Unreachable)
    [_, exchange] = client.recorded
    assert (exchange.status, exchange.reason) == (None, "no_answer")


def kinds(client: Client) -> list[tuple[str, str | None, str | None]]:
    """What was recorded: the kind, the result and the reason of each exchange."""
    return [(each.kind, each.result, each.reason) for each in client.recorded]


def test_connection(client: Client) -> None:
    """A connection is an exchange, with both names, its TLS and its stages."""
    client.record()
    client.send()
    client.net.accept(GOOD)
    [exchange] = client.recorded
    assert (exchange.kind, exchange.direction) == ("connection", "out")
    assert (exchange.server, exchange.peer) == ("origin.test", "peer.test")
    assert (exchange.address, exchange.via) == ("192.0.2.1", "peer.test:8448")
    assert exchange.result == "completed"
    details = details_of(exchange)
    assert list(details.stages) == ["connection", "handshake"]
    assert details.tls is not None
    assert details.tls.certificate == GOOD.value.leaf


def test_connection_that_is_refused(client: Client) -> None:
    """A connection that was never made has no result of a handshake."""
    client.record()
    sent, _ = client.send()
    client.net.refuse()
    failure_of(sent, Unreachable)
    assert kinds(client)[0] == ("connection", None, "not_connected")
    assert client.recorded[0].address == ""


def test_handshake_that_fails(client: Client) -> None:
    """A handshake that fails has its reason."""
    client.record()
    sent, _ = client.send()
    client.net.accept(GOOD, is_silent=True).hang_up()
    failure_of(sent, Unreachable)
    assert kinds(client)[0] == ("connection", "failed", "handshake_failed")


def test_key_document_before_verification(client: Client) -> None:
    """The request that verifies a peer is an exchange with its bodies."""
    client.record()
    client.send()
    wire = client.net.accept(SELF_SIGNED)
    document = key_document(SELF_SIGNED)
    wire.say(ok(document))
    exchange = client.recorded[1]
    assert (exchange.method, exchange.path) == ("GET", KEYS)
    assert (exchange.server, exchange.peer) == ("origin.test", "peer.test")
    assert (exchange.status, exchange.address) == (200, "192.0.2.1")
    details = details_of(exchange)
    assert details.response is not None
    assert details.response.body == document
    length = ("Content-Length", str(len(document)))
    assert list(details.response.headers) == [length]
    assert ("Host", "peer.test") in details.request.headers


def test_key_document_without_an_answer(client: Client) -> None:
    """The request that was to verify a peer ends as well."""
    client.record()
    sent, _ = client.send()
    client.net.accept(SELF_SIGNED).hang_up()
    failure_of(sent, Unreachable)
    exchange = client.recorded[1]
    assert (exchange.status, exchange.reason) == (None, "no_answer")
