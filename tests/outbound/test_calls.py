"""Signed requests with any method, path and body, and their replies."""

from typing import cast

import pytest
from nacl.signing import SigningKey as NaclSigningKey
from twisted.internet.task import Clock
from twisted.web.http_headers import Headers

from homeserver.identity.identity import Identity
from homeserver.net.cause import Cause
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.tls.certificate import Certificate
from homeserver.outbound.agent import OutgoingRequest
from homeserver.outbound.calls import WHOLE_STATE, Call, FederationCalls
from homeserver.outbound.client import FederationClient, Limits
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.targets import federation_target
from homeserver.outbound.transport.connector import Unreachable
from homeserver.outbound.transport.response import Response
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey
from homeserver.protocol.xmatrix import Authorization, FederationRequest
from tests.support.coroutines import result_of

US, PEER = map(ServerName.parse, ["origin.test", "peer.test"])
KEY = SigningKey(KeyId("ed25519:k"), NaclSigningKey(b"1" * 32))
PATH = federation_target("make_join", "!r:x", "@a b:y")


class Client:
    """A client that answers as the test says."""

    def __init__(self, status: int, body: bytes) -> None:
        self.response = Response(status, Headers(), body)
        self.failure: Exception | None = None
        self.asked: list[tuple[ServerName, OutgoingRequest, Limits, Exchange]] = []

    async def call(
        self,
        destination: ServerName,
        outgoing: OutgoingRequest,
        limits: Limits,
        cause: Cause,
        exchange: Exchange,
    ) -> tuple[Response, None]:
        """As `FederationClient`."""
        self.asked.append((destination, outgoing, limits, exchange))
        if self.failure is not None:
            raise self.failure
        return self.response, None


def calls(client: Client) -> FederationCalls:
    """Calls over that client."""
    identity = Identity(US, [KEY], [], cast("Certificate", None))
    return FederationCalls(
        cast("FederationClient", client), lambda: identity, Exchanges(Clock())
    )


def call(method: str = "GET", content: Json | None = None) -> Call:
    """A call with a query."""
    return Call(
        method=method,
        path=PATH,
        route="/_matrix/federation/v1/make_join/{roomId}/{userId}",
        query=[("ver", "1"), ("ver", "1 2&")],
        content=content,
        limits=WHOLE_STATE,
    )


@pytest.mark.parametrize(
    ("method", "content"), [("GET", None), ("POST", {}), ("PUT", {"a": [1]})]
)
def test_asked(method: str, content: Json | None) -> None:
    """What is signed is what goes out, with the query and the body."""
    client = Client(200, b'{"b": 2}')
    assert result_of(calls(client).ask(PEER, call(method, content))) == {"b": 2}
    [(destination, outgoing, limits, exchange)] = client.asked
    assert (destination, limits) == (PEER, WHOLE_STATE)
    target = outgoing.target.decode("ascii")
    assert target == (
        "/_matrix/federation/v1/make_join/!r:x/@a%20b:y?ver=1&ver=1%202%26"
    )
    body = cast("bytes | None", outgoing.body)
    assert (None if body is None else parse_object(body)) == content
    [header] = outgoing.headers.getRawHeaders("Authorization", [])
    request = FederationRequest(method, target, US, PEER, content)
    authorization = Authorization.parse(header)
    assert request.verify([authorization], {KEY.key_id: KEY.verify_key}) == KEY.key_id
    assert exchange.route.endswith("{userId}")


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b'{"errcode": "M_FORBIDDEN", "error": "no"}', "403 M_FORBIDDEN: 'no'"),
        (200, b"[1]", "not an object"),
        (200, b"{", "not JSON"),
        (500, b"", "500"),
    ],
)
def test_refused(status: int, body: bytes, said: str) -> None:
    """An error response, and a reply that is no object, are refusals."""
    with pytest.raises(Refused, match=said):
        result_of(calls(Client(status, body)).ask(PEER, call()))


def test_lists() -> None:
    """Where a route answers with a list, the list is the reply."""
    assert result_of(calls(Client(200, b"[200, {}]")).ask_any(PEER, call())) == [
        200,
        {},
    ]


def test_unreachable() -> None:
    """A server without an answer is no refusal."""
    client = Client(200, b"")
    client.failure = Unreachable(PEER, ["no"])
    with pytest.raises(Unreachable):
        result_of(calls(client).ask(PEER, call()))
