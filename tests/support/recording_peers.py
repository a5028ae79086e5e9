"""A server that records every byte that reaches it after the TLS handshake.

It is told which certificate to show and what to answer to `GET /_matrix/key/v1` and to
`GET /_matrix/key/v2/server`; whatever else it is asked, it answers with 200 and `{}`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

from nacl.signing import SigningKey as NaclSigningKey
from OpenSSL import SSL
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IListeningPort, IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from homeserver.protocol.canonical_json import encode
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import build_v1
from homeserver.protocol.signing import SigningKey
from tests.support.certificates import Issued
from tests.support.waiting import pause, reactor, wait

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r\n")

KEY_REQUEST = b"GET /_matrix/key/v1 HTTP/1.1\r\n"
KEY_V2_REQUEST = b"GET /_matrix/key/v2/server HTTP/1.1\r\n"

Respond = Callable[[Protocol], None]
"""What the server does when it is asked for its key document."""


def signing_key(version: str = "a_1", seed: bytes = b"1" * 32) -> SigningKey:
    """A signing key; the same one for the same arguments."""
    return SigningKey(KeyId(f"ed25519:{version}"), NaclSigningKey(seed))


def http(body: bytes, status: str = "200 OK", headers: str = "") -> Respond:
    """Answer with a response."""

    def respond(connection: Protocol) -> None:
        assert connection.transport is not None
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        connection.transport.write(head.encode() + body)

    return respond


def key_document(
    name: str, issued: Issued, *keys: SigningKey, certificate: bytes | None = None
) -> bytes:
    """The key document of a server that shows a certificate, or claims another."""
    document = build_v1(
        ServerName.parse(name),
        issued.value.leaf if certificate is None else certificate,
        keys or [signing_key()],
    )
    return encode(document)


NOT_FOUND = http(b'{"errcode": "M_UNRECOGNIZED", "error": "?"}', "404 Not Found")


@implementer(IOpenSSLServerConnectionCreator)
@dataclass
class RecordingPeer:
    """The server. What it shows and says can be changed between connections."""

    issued: Issued
    respond: Respond
    versions: tuple[int, int] = (SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION)
    received: list[bytes] = field(default_factory=list)
    """What reached it after the handshake, by connection."""

    respond_v2: Respond = NOT_FOUND
    """What it does when it is asked for its version 2 document."""

    host: str = "127.0.0.1"
    port: int = 0
    connections: list[Protocol] = field(default_factory=list)

    def hang_up(self) -> None:
        """End all connections, as a server that is stopped."""
        for each in self.connections:
            tls = cast("TLSMemoryBIOProtocol", each.transport)
            if tls.connected:
                tls.abortConnection()

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """As Twisted asks for it."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(self.versions[0])
        context.set_max_proto_version(self.versions[1])
        self.issued.value.present_in(context)
        return SSL.Connection(context, None)

    @property
    def requests(self) -> list[bytes]:
        """The request lines that reached it, in order of the connections."""
        return [line for data in self.received for line in _REQUEST_LINE.findall(data)]


class _Recorder(Protocol):
    def __init__(self, peer: RecordingPeer) -> None:
        self._peer = peer
        self._index = len(peer.received)
        self._unread = b""
        peer.received.append(b"")
        peer.connections.append(self)

    def dataReceived(self, data: bytes) -> None:
        self._peer.received[self._index] += data
        self._unread += data
        while b"\r\n\r\n" in self._unread:
            head, _, self._unread = self._unread.partition(b"\r\n\r\n")
            if head.startswith(KEY_REQUEST.rstrip()):
                self._peer.respond(self)
            elif head.startswith(KEY_V2_REQUEST.rstrip()):
                self._peer.respond_v2(self)
            else:
                self._unread = b""  # a body, which always comes with its head here
                http(b"{}")(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        pass


@contextmanager
def listening(peer: RecordingPeer) -> Iterator[RecordingPeer]:
    """Let a peer listen on a free port."""

    class Recorders(Factory):
        noisy = False

        def buildProtocol(self, addr: object) -> Protocol:
            return _Recorder(peer)

    factory = TLSMemoryBIOFactory(
        peer, isClient=False, wrappedFactory=Recorders(), clock=reactor
    )
    factory.noisy = False
    port: IListeningPort = reactor.listenTCP(0, factory, interface=peer.host)
    peer.port = port.getHost().port  # type: ignore[attr-defined]
    try:
        yield peer
    finally:

        async def stop() -> None:
            await maybeDeferred(port.stopListening)
            # A daemon that still has a connection waits at its end for ours.
            peer.hang_up()
            # What was on its way when a connection was aborted is here after this.
            await pause(0.02)

        wait(stop())
