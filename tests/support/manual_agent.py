"""A client whose agent answers as the test says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from nacl.signing import SigningKey as NaclSigningKey
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from homeserver.identity.identity import Identity
from homeserver.net.cause import Cause
from homeserver.net.exchange import Exchange
from homeserver.net.tls.certificate import Certificate
from homeserver.outbound.agent import FederationAgent, OutgoingRequest
from homeserver.outbound.client import Delivery, FederationClient
from homeserver.outbound.transport.connector import VerifiedConnection
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.discovery import Route
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import SigningKey
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
