"""What is sent to other servers."""

from collections.abc import Callable
from typing import cast

from homeserver.identity.identity import Identity
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.tls.certificate import Certificate
from homeserver.protocol.canonical_json import parse_object
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix import Authorization, FederationRequest
from tests.support.manual_agent import BODY, KEYS, PEER, US, ClientTestCase, Request
from tests.support.memory_tls_servers import start


class RequestTests(ClientTestCase):
    """What is sent."""

    def request(self, txn_id: str = "1-2", *, slash: bool = False) -> Request:
        """The request for a transaction."""
        self.send(txn_id, slash=slash)
        return self.agent.requests.pop()

    def test_transaction(self) -> None:
        """A transaction is a PUT of its very bytes, which are JSON."""
        request = self.request()
        assert request.name == PEER
        assert request.method == b"PUT"
        assert request.target == b"/_matrix/federation/v1/send/1-2"
        assert request.body == BODY
        assert request.headers.getRawHeaders("Content-Type") == ["application/json"]

    def test_transaction_id_is_escaped(self) -> None:
        """Whatever is in a transaction ID, it is one segment of the path."""
        request = self.request("a/b?c#d %\u00e9")
        assert (
            request.target == b"/_matrix/federation/v1/send/a%2Fb%3Fc%23d%20%25%C3%A9"
        )

    def test_slash(self) -> None:
        """A slash at the end of the path is part of what is signed."""
        request = self.request(slash=True)
        assert request.target == b"/_matrix/federation/v1/send/1-2/"
        self.check_signatures(request)

    def test_signatures(self) -> None:
        """Each of our keys signs the request as it is sent, in a header of its own."""
        self.check_signatures(self.request("a/b"))

    def check_signatures(self, request: Request) -> None:
        """Check that each key has signed a request."""
        signed = FederationRequest(
            "PUT", request.target.decode(), US, PEER, parse_object(request.body or b"")
        )
        headers = request.headers.getRawHeaders("Authorization", [])
        for header, key in zip(headers, KEYS, strict=True):
            authorization = Authorization.parse(header)
            assert authorization.origin == US
            assert authorization.destination == PEER
            assert authorization.key_id == key.key_id
            signed.verify([authorization], {key.key_id: key.verify_key})

    def test_keys_may_change(self) -> None:
        """The keys of the moment sign."""
        self.identity = Identity(US, KEYS[1:], [], cast("Certificate", None))
        headers = self.request().headers.getRawHeaders("Authorization", [])
        assert [Authorization.parse(header).key_id for header in headers] == [
            KEYS[1].key_id
        ]

    def test_key_documents(self) -> None:
        """Key documents are asked for without a signature."""
        asked: list[tuple[Callable[[ServerName, Cause], object], bytes]] = [
            (self.client.fetch_keys_v1, b"/_matrix/key/v1"),
            (self.client.fetch_keys_v2, b"/_matrix/key/v2/server"),
        ]
        for fetch, target in asked:
            start(fetch(PEER, OURSELVES))  # type: ignore[arg-type]
            request = self.agent.requests.pop()
            assert request.name == PEER
            assert (request.method, request.target) == (b"GET", target)
            assert list(request.headers.getAllRawHeaders()) == []
            assert request.body is None
