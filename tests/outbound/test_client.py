"""What is sent to other servers, and what becomes of their answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from nacl.signing import SigningKey as NaclSigningKey
from twisted.internet import defer, error
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web._newclient import ParseError, RequestNotSent
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from homeserver.identity.identity import Identity
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.exchange import Exchange
from homeserver.net.tls.certificate import Certificate
from homeserver.outbound.agent import FederationAgent, OutgoingRequest
from homeserver.outbound.client import Delivery, FederationClient, KeysAnswer
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connection import ResponseTooLarge
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.canonical_json import encode, parse_object
from homeserver.protocol.discovery import Route
from homeserver.protocol.errors import BadJson, NotJson, ProtocolError, Unauthorized
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import build_v1, build_v2
from homeserver.protocol.signing import SigningKey
from homeserver.protocol.xmatrix import Authorization, FederationRequest
from tests.support.memory_tls_servers import start

US = ServerName.parse("origin.test")
PEER = ServerName.parse("peer.test:8448")

KEYS = [
    SigningKey(KeyId(f"ed25519:k_{n}"), NaclSigningKey(bytes([n]) * 32)) for n in (1, 2)
]

BODY = b'{"edus":[],"origin":"origin.test","origin_server_ts":1,"pdus":[]}'

CERTIFICATE = b"the certificate of the connection"

LINK = VerifiedConnection(
    Route("peer.test", 8448, "peer.test:8448", "peer.test"),
    "192.0.2.1",
    VerifiedPeer(PEER, "certificate", CERTIFICATE),
)


@dataclass
class Response:
    """A response whose body comes as soon as it is read."""

    code: int
    parts: Sequence[bytes]
    end: Exception | None = field(default_factory=ResponseDone)
    """How the body ends; None if it does not."""

    transport: StringTransport = field(default_factory=StringTransport)

    headers: Headers = field(default_factory=Headers)

    def deliverBody(self, protocol: Protocol) -> None:
        """As `IResponse`."""
        protocol.makeConnection(self.transport)
        for part in self.parts:
            protocol.dataReceived(part)
        if self.end is not None:
            protocol.connectionLost(Failure(self.end))


@dataclass
class Request:
    """What the agent was asked to send."""

    name: ServerName
    method: bytes
    target: bytes
    headers: Headers
    body: bytes | None


class Agent:
    """An agent whose exchanges end as the test says."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.result: Deferred[tuple[IResponse, VerifiedConnection]] = Deferred()
        self.is_connected = False
        """Whether there is a connection before there is a result."""

    async def send(
        self,
        name: ServerName,
        outgoing: OutgoingRequest,
        cause: Cause,
        exchange: Exchange,
        connected: Callable[[VerifiedConnection], object] = lambda _: None,
    ) -> tuple[IResponse, VerifiedConnection]:
        """As `FederationAgent`."""
        if self.is_connected:
            exchange.address, exchange.via = LINK.address, str(LINK.route)
            exchange.is_proven = True
            connected(LINK)
        body = cast("bytes | None", outgoing.body)
        self.requests.append(
            Request(name, outgoing.method, outgoing.target, outgoing.headers, body)
        )
        return await self.result


class ClientTestCase(SynchronousTestCase):
    """A client over an agent under control."""

    def setUp(self) -> None:
        """Make the client."""
        self.clock = Clock()
        self.told = Exchange()
        self.agent = Agent()
        self.identity = Identity(US, KEYS, [], cast("Certificate", None))
        self.client = FederationClient(
            cast("FederationAgent", self.agent), lambda: self.identity, self.clock
        )

    def send(self, txn_id: str = "1-2", *, slash: bool = False) -> Deferred[Delivery]:
        """Send a transaction."""
        self.agent.result = Deferred()
        return start(
            self.client.send_transaction(
                PEER, txn_id, BODY, exchange=self.told, slash=slash
            )
        )

    def answer(
        self,
        code: int,
        *parts: bytes,
        end: Exception | None = None,
        slash: bool = False,
    ) -> Deferred[Delivery]:
        """Send a transaction that is answered so."""
        sent = self.send(slash=slash)
        response = Response(code, parts, end or ResponseDone())
        self.agent.result.callback((response, LINK))  # type: ignore[arg-type]
        return sent


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


class ReplyTests(ClientTestCase):
    """What answers mean."""

    def test_object(self) -> None:
        """A 200 with an object is a delivery with a reply, and says on what link."""
        answered = self.answer(200, b'{"pd', b'us":{}}')
        assert self.successResultOf(answered) == Delivery({"pdus": {}}, LINK)

    def test_no_object(self) -> None:
        """A 200 with anything else is a no, told with its first bytes."""
        for body in (b"null", b"", b"[]", b"[200, {}]", b"<html>", b"\xff", b'{"a":1'):
            failure = self.failureResultOf(self.answer(200, body), Refused)
            refused = failure.value
            assert isinstance(refused, Refused)
            assert (refused.status, refused.is_final) == (200, False)
            assert str(refused).endswith(f": {repr(body)[1:]}"), str(refused)

    def test_reply_of_2014(self) -> None:
        """With a slash in the path, `null` and nothing are replies, and no more is."""
        for body in (b"null", b"", b" null\n"):
            answered = self.answer(200, body, slash=True)
            assert self.successResultOf(answered) == Delivery(None, LINK)
        for body in (b"[]", b"nul", b"<html>"):
            self.failureResultOf(self.answer(200, body, slash=True), Refused)

    def test_body_without_length(self) -> None:
        """A body that ends with its connection is a whole one."""
        answered = self.answer(200, b"{}", end=PotentialDataLoss())
        assert self.successResultOf(answered) == Delivery({}, LINK)

    def test_refusals(self) -> None:
        """Any other status is a no, whose errcode and reason are told, quoted."""
        cases: list[tuple[int, bytes, str | None, str]] = [
            (
                401,
                b'{"errcode":"M_UNAUTHORIZED","error":"bad signature"}',
                "M_UNAUTHORIZED",
                "401 M_UNAUTHORIZED: 'bad signature'",
            ),
            (400, b'{"errcode":"M_BAD_JSON"}', "M_BAD_JSON", "400 M_BAD_JSON"),
            (500, b'{"error":"oh"}', None, "500 'oh'"),
            (503, b"", None, "503"),
            (502, b"<html>gone</html>", None, "502 '<html>gone</html>'"),
            (404, b"[]", None, "404 '[]'"),
            (403, b'{"errcode":5,"error":[]}', None, "403"),
            (403, b'{"errcode":"M X","error":"x"}', None, "403 'x'"),
            (403, b'{"errcode":"\\u001b[31m","error":"x"}', None, "403 'x'"),
            (403, b'{"errcode":"","error":"\\n\\u202e"}', None, "403 '\\n\\u202e'"),
            (
                403,
                b'{"errcode":"ORG.MATRIX.MSC1_X","error":"x"}',
                "ORG.MATRIX.MSC1_X",
                "403 ORG.MATRIX.MSC1_X: 'x'",
            ),
            (302, b"", None, "302"),
            (204, b"", None, "204"),
            (201, b"{}", None, "201"),
        ]
        for status, body, errcode, said in cases:
            with self.subTest(said):
                failure = self.failureResultOf(self.answer(status, body), Refused)
                refused = failure.value
                assert isinstance(refused, Refused)
                assert refused.destination == PEER
                assert refused.status == status
                assert refused.errcode == errcode
                assert str(refused) == f"peer.test:8448 answers {said}"

    def test_reason_is_told_whole(self) -> None:
        """The reason that a server gives is told to its end, as long as it is one."""
        reason = "Invalid signature for server peer.test with key ed25519:1: " * 6
        body = encode({"error": reason})
        failure = self.failureResultOf(self.answer(401, body), Refused)
        assert str(failure.value) == f"{PEER} answers 401 {reason!r}"

    def test_refusal_is_bounded(self) -> None:
        """However much a peer says, what is told of it is one line."""
        long = b"x" * 100_000
        for body in (
            long,
            b'{"error":"' + long + b'"}',
            b'{"errcode":"' + long + b'"}',
            b'{"errcode":"M_' + long + b'","error":"' + long + b'"}',
        ):
            failure = self.failureResultOf(self.answer(403, body), Refused)
            assert len(str(failure.value)) < 600

    def test_largest_reply(self) -> None:
        """A reply may have half a megabyte and not a byte more."""
        largest = b" " * (512 * 1024 - 2) + b"{}"
        answered = self.answer(200, largest)
        assert self.successResultOf(answered) == Delivery({}, LINK)
        for status in (200, 403):
            answered = self.answer(status, largest, b" ", b" ")
            failure = self.failureResultOf(answered)
            assert (
                str(failure.value) == "peer.test:8448 cannot be reached: PUT "
                "/_matrix/federation/v1/send/1-2: over 524288 bytes"
            )


class TransportTests(ClientTestCase):
    """What is said where there is no answer."""

    def said(self, problem: Exception) -> str:
        """What is said if the exchange fails so."""
        sent = self.send()
        self.agent.result.errback(Failure(problem))
        failure = self.failureResultOf(sent, Unreachable).value
        assert isinstance(failure, Unreachable)
        assert failure.destination == PEER
        [attempt] = failure.attempts
        before = "PUT /_matrix/federation/v1/send/1-2: "
        assert attempt.startswith(before), attempt
        return attempt.removeprefix(before)

    def test_words(self) -> None:
        """Whatever Twisted calls it, what happened is told in words."""
        lost = Failure(error.ConnectionLost())
        garbage = Failure(ParseError("wrong number of parts", b"220 ESMTP"))
        cases: Mapping[Exception, str] = {
            error.ConnectionDone(): "the peer ended the connection",
            error.ConnectionLost(): "the peer ended the connection",
            ResponseFailed([lost]): "the peer ended the connection",
            RequestTransmissionFailed([lost]): "the peer ended the connection",
            RequestGenerationFailed([lost]): "the peer ended the connection",
            RequestNotSent(): "RequestNotSent",
            defer.CancelledError(): "no answer in time",
            defer.TimeoutError(): "no answer in time",
            ResponseFailed([Failure(defer.CancelledError())]): "no answer in time",
            ResponseFailed([Failure(ResponseTooLarge("over 9 bytes"))]): "over 9 bytes",
            ResponseTooLarge("over 9 bytes"): "over 9 bytes",
            ResponseFailed([garbage]): "it is not HTTP: '220 ESMTP'",
        }
        for problem, words in cases.items():
            assert self.said(problem) == words

    def test_connection_is_told(self) -> None:
        """Where a request was sent that got no answer is told."""
        self.agent.is_connected = True
        sent = start(
            self.client.send_transaction(PEER, "1-2", BODY, exchange=self.told)
        )
        self.agent.result.errback(Failure(error.ConnectionLost()))
        problem = self.failureResultOf(sent, Unreachable).value
        assert isinstance(problem, Unreachable)
        [attempt] = problem.attempts
        assert attempt.startswith("peer.test:8448: 192.0.2.1: PUT /_matrix/")

    def test_reason(self) -> None:
        """The reason says whether the server had been verified."""
        for is_connected, reason, public in [
            (
                True,
                "no_answer",
                "peer.test:8448 gave no answer on a verified connection",
            ),
            (
                False,
                "not_verified",
                "no connection to peer.test:8448 could be verified",
            ),
        ]:
            self.setUp()
            self.agent.is_connected = is_connected
            fetched = start(self.client.fetch_keys_v2(PEER, OURSELVES))
            self.clock.advance(25)
            problem = self.failureResultOf(fetched, Unreachable).value
            assert isinstance(problem, Unreachable)
            assert problem.reason == reason
            assert problem.explanation.public == public
            assert "no answer in time" in problem.explanation.in_full

    def test_words_are_bounded(self) -> None:
        """However much nonsense a peer sends, what is told of it is one line."""
        garbage = Failure(ParseError("wrong number of parts", b"\0" * 16000))
        said = self.said(ResponseFailed([garbage]))
        assert len(said) < 200
        assert said.isprintable()

    def test_unreachable(self) -> None:
        """What the agent could not reach is told as the agent tells it."""
        sent = self.send()
        problem = Unreachable(PEER, ["peer.test:8448: cannot connect"])
        self.agent.result.errback(Failure(problem))
        assert self.failureResultOf(sent, Unreachable).value is problem

    def test_no_answer_in_time(self) -> None:
        """A minute after a request was begun, it is given up."""
        cancelled: list[object] = []
        self.agent.result = Deferred(cancelled.append)
        sent = start(
            self.client.send_transaction(PEER, "1-2", BODY, exchange=self.told)
        )
        self.clock.advance(59.9)
        self.assertNoResult(sent)
        assert cancelled == []
        self.clock.advance(0.1)
        failure = self.failureResultOf(sent, Unreachable)
        assert "no answer in time" in str(failure.value)
        assert len(cancelled) == 1

    def test_no_body_in_time(self) -> None:
        """A body that does not end is given up with its connection."""
        sent = self.send()
        response = Response(200, [b"{"], None)
        self.agent.result.callback((response, LINK))  # type: ignore[arg-type]
        self.clock.advance(60)
        failure = self.failureResultOf(sent, Unreachable)
        assert "no answer in time" in str(failure.value)
        assert response.transport.producerState == "stopped"

    def test_body_that_breaks_off(self) -> None:
        """A body that breaks off is no answer."""
        lost = ResponseFailed([Failure(error.ConnectionLost())])
        failure = self.failureResultOf(self.answer(200, b"{}", end=lost), Unreachable)
        assert "the peer ended the connection" in str(failure.value)


class KeyDocumentTests(ClientTestCase):
    """What is accepted as a key document."""

    def fetch_v1(self, document: bytes, code: int = 200) -> Deferred[KeysAnswer]:
        """Fetch a version 1 document that is answered so."""
        response = Response(code, [document])
        self.agent.result = defer.succeed((response, LINK))  # type: ignore[arg-type]
        return start(self.client.fetch_keys_v1(PEER, OURSELVES))

    def fetch_v2(self, document: bytes, code: int = 200) -> Deferred[KeysAnswer]:
        """Fetch a version 2 document that is answered so."""
        response = Response(code, [document])
        self.agent.result = defer.succeed((response, LINK))  # type: ignore[arg-type]
        return start(self.client.fetch_keys_v2(PEER, OURSELVES))

    def test_version_1(self) -> None:
        """A version 1 document names the certificate of its connection."""
        document = encode(build_v1(PEER, CERTIFICATE, KEYS))
        fetched = self.successResultOf(self.fetch_v1(document))
        assert fetched.document is not None
        listed = set(fetched.document.verify_keys)
        assert listed == {key.key_id for key in KEYS}
        assert fetched.peer == LINK.peer

    def test_version_1_of_another_certificate(self) -> None:
        """A version 1 document that names another certificate is refused."""
        document = encode(build_v1(PEER, b"another", KEYS))
        failure = self.failureResultOf(self.fetch_v1(document), BadJson)
        assert "another TLS certificate" in str(failure.value)

    def test_version_2(self) -> None:
        """A version 2 document names no certificate."""
        document = encode(build_v2(PEER, KEYS, [], 1))
        fetched = self.successResultOf(self.fetch_v2(document))
        assert fetched.document is not None
        listed = set(fetched.document.verify_keys)
        assert listed == {key.key_id for key in KEYS}
        assert fetched.peer == LINK.peer

    def test_no_documents(self) -> None:
        """What is no document of the server that was asked is refused."""
        other = ServerName.parse("other.test")
        cases: list[tuple[bytes, type[ProtocolError]]] = [
            (b"<html>", NotJson),
            (b"[]", BadJson),
            (encode(build_v1(other, CERTIFICATE, KEYS)), BadJson),
            (encode(build_v1(PEER, CERTIFICATE, [])), Unauthorized),
        ]
        for document, kind in cases:
            self.failureResultOf(self.fetch_v1(document), kind)
        cases[2:] = [
            (encode(build_v2(other, KEYS, [], 1)), BadJson),
            (encode(build_v2(PEER, [], [], 1)), Unauthorized),
        ]
        for document, kind in cases:
            self.failureResultOf(self.fetch_v2(document), kind)

    def test_refusal(self) -> None:
        """A server that has a problem with its document says so by its status."""
        error = b'{"errcode":"M_UNKNOWN","error":"no"}'
        of_2014 = b'{"error": "Unrecognized request"}'
        for fetch in (self.fetch_v1, self.fetch_v2):
            for body in b'{"error": "unrecognized"}', b"{}", b"[]":
                self.failureResultOf(fetch(body, 400), Refused)
            self.failureResultOf(fetch(of_2014, 500), Refused)
            for status in 400, 403, 500:
                refused = self.failureResultOf(fetch(error, status), Refused).value
                assert isinstance(refused, Refused)
                assert (refused.status, refused.errcode) == (status, "M_UNKNOWN")

    def test_no_such_document(self) -> None:
        """A server that has no such document has answered, and is known by that."""
        error = b'{"errcode":"M_UNRECOGNIZED","error":"no"}'
        of_2014 = b'{"error": "Unrecognized request"}'
        told = [(404, error), (404, b"<html>"), (400, error), (400, of_2014)]
        for fetch in (self.fetch_v1, self.fetch_v2):
            for status, body in told:
                answer = self.successResultOf(fetch(body, status))
                assert answer.document is None
                assert answer.why is not None
                assert f"peer.test:8448 answers {status}" in answer.why.in_full
                assert answer.peer == LINK.peer

    def test_too_large(self) -> None:
        """A document of more than 64 KiB is not read."""
        for fetch in (self.fetch_v1, self.fetch_v2):
            failure = self.failureResultOf(fetch(b" " * 65537), Unreachable)
            assert "over 65536 bytes" in str(failure.value)


class _Reaching(Agent):
    """An agent whose connections are there when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.reached: list[ServerName] = []
        self.given_up = 0
        self.link: Deferred[VerifiedConnection] = Deferred(self._give_up)

    async def reach(self, name: ServerName, cause: Cause) -> VerifiedConnection:
        """As `FederationAgent`."""
        self.reached.append(name)
        return await self.link

    def _give_up(self, link: Deferred[VerifiedConnection]) -> None:
        self.given_up += 1


class ReachTests(SynchronousTestCase):
    """A connection that is made for itself."""

    def setUp(self) -> None:
        """Begin to reach a server."""
        self.clock = Clock()
        self.agent = _Reaching()
        client = FederationClient(
            cast("FederationAgent", self.agent),
            lambda: Identity(US, KEYS, [], cast("Certificate", None)),
            self.clock,
        )
        self.reached = start(client.reach(PEER, OURSELVES))

    def test_link(self) -> None:
        """What the new connection was is told, and nothing is sent."""
        self.agent.link.callback(LINK)
        assert self.successResultOf(self.reached) is LINK
        assert self.agent.reached == [PEER]
        assert self.agent.requests == []
        assert self.clock.getDelayedCalls() == []

    def test_unreachable(self) -> None:
        """Why a server cannot be reached is told as it is."""
        problem = Unreachable(PEER, ["refused"])
        self.agent.link.errback(problem)
        failure = self.failureResultOf(self.reached, Unreachable)
        assert failure.value is problem

    def test_time_limit(self) -> None:
        """After 25 seconds a server cannot be reached, and is not tried on."""
        self.clock.advance(24.9)
        self.assertNoResult(self.reached)
        self.clock.advance(0.1)
        problem = self.failureResultOf(self.reached, Unreachable).value
        assert isinstance(problem, Unreachable)
        assert problem.attempts == ["no answer within 25 seconds"]
        assert problem.reason == "not_verified"
        assert self.agent.given_up == 1
