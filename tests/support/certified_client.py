"""A client that shows a certificate if it is asked for one, over real sockets."""

from dataclasses import dataclass, field
from io import BytesIO
from typing import cast

from OpenSSL import SSL
from OpenSSL._util import lib as openssl
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web._newclient import HTTP11ClientProtocol, Request
from twisted.web.client import FileBodyProducer
from twisted.web.http_headers import Headers
from zope.interface import implementer

from homeserver.outbound.transport.response import read_body
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.identifiers import ServerName
from scripts.processes import LOOPBACK
from tests.support.certificates import Issued
from tests.support.waiting import reactor, wait

US = ServerName.parse("us.test")


@dataclass(frozen=True)
class Answer:
    """One response, and the handshake of its connection."""

    status: int
    json: Json
    session: SSL.Session | None
    was_resumed: bool
    version: str
    steps: str
    """The client's steps of the handshake, in OpenSSL's words."""

    @property
    def outcome(self) -> tuple[int, object]:
        """Status and errcode, None where there is none."""
        return self.status, self.json.get("errcode")


@implementer(IOpenSSLClientConnectionCreator)
@dataclass
class Client:
    """A client that shows a certificate if it is asked for one."""

    port: int
    issued: Issued | None = None
    version: int = SSL.TLS1_3_VERSION
    session: SSL.Session | None = None
    """The one to resume."""

    _context: SSL.Context | None = None
    _connections: list[SSL.Connection] = field(default_factory=list)
    _steps: list[str] = field(default_factory=list)

    def clientConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """As Twisted asks for it."""
        if self._context is None:
            self._context = self._build_context()
        connection = SSL.Connection(self._context, None)
        if self.session is not None:
            connection.set_session(self.session)
        # A session dies with a connection that is forgotten before it is closed.
        self._connections.append(connection)
        return connection

    def ask(
        self, method: str, target: str, headers: Headers, body: bytes | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""

        async def ask() -> Answer:
            self._steps.clear()
            endpoint = wrapClientTLS(
                self, TCP4ClientEndpoint(reactor, LOOPBACK, self.port)
            )
            factory = Factory.forProtocol(HTTP11ClientProtocol)
            factory.noisy = False
            protocol = cast("HTTP11ClientProtocol", await endpoint.connect(factory))
            headers.setRawHeaders("Host", [US.name])
            response = await protocol.request(
                Request(
                    method.encode(),
                    target.encode(),
                    headers,
                    None if body is None else FileBodyProducer(BytesIO(body)),
                )
            )
            data = await read_body(response, 100_000)
            connection = self._connections[-1]
            return Answer(
                response.code,
                parse_object(data),
                connection.get_session(),
                bool(openssl.SSL_session_reused(connection._ssl)),
                connection.get_protocol_version_name(),
                "; ".join(self._steps),
            )

        return wait(ask())

    def _build_context(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(self.version)
        context.set_max_proto_version(self.version)
        context.set_info_callback(
            lambda connection, *_: self._steps.append(
                connection.get_state_string().decode()
            )
        )
        if self.issued is not None:
            self.issued.value.present_in(context)
        return context
