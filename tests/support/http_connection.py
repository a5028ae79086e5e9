"""A site over a connection in memory: bytes in, answers out."""

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from OpenSSL import SSL
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from homeserver.http.arriving import ArrivingBodies
from homeserver.http.bounded_request import SiteLimits
from homeserver.http.connections import Connections
from homeserver.http.request_log import RequestLog
from homeserver.http.router import Answer as RouteAnswer
from homeserver.http.router import Route, Router
from homeserver.http.site import BoundedSite
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.protocol.canonical_json import Json, as_text, parse_object

_HEAD = re.compile(
    rb"HTTP/(1\.[01]) ([0-9]{3}) [A-Za-z -]+\r\n((?:[A-Za-z-]+: [^\r\n]*\r\n)*)\r\n"
)


@dataclass(frozen=True)
class Answer:
    """One HTTP response."""

    version: str
    status: int
    headers: dict[str, str]
    """By lower-case name; none of them is sent twice."""

    body: bytes

    @property
    def json(self) -> Json:
        """The body, which is a JSON object."""
        assert self.headers["content-type"] == "application/json"
        return parse_object(self.body)

    @property
    def error(self) -> tuple[int, str]:
        """Status and errcode of an answer in the form that all errors have."""
        assert self.json.keys() == {"errcode", "error"}
        assert self.json["error"], "the error says nothing"
        return self.status, as_text(self.json["errcode"], "`errcode`")


class Transport(StringTransport):
    """A TCP connection, of which the test sees what is written."""

    is_half_closed = False

    def loseWriteConnection(self) -> None:
        """Close one side: nothing more is written, and reads go on."""
        self.is_half_closed = True

    def setTcpNoDelay(self, enabled: bool) -> None:  # noqa: FBT001 - as Twisted has it
        """Do nothing: there is no Nagle here."""


class Connection:
    """A client's connection to a site, under the test's control."""

    def __init__(self, site: IProtocolFactory, host: str = "192.0.2.1") -> None:
        """`host` is the client's address."""
        address = IPv4Address("TCP", host, 40000)
        protocol = site.buildProtocol(address)
        assert protocol is not None
        self._protocol = protocol
        self.transport = Transport(peerAddress=address)
        protocol.makeConnection(self.transport)

    def send(self, *pieces: bytes) -> None:
        """Let the site read bytes, piece by piece, also after it closed.

        So does TLS: it delivers until the peer has closed as well.
        """
        for piece in pieces:
            self._protocol.dataReceived(piece)

    def lose(self) -> None:
        """Let the connection be gone."""
        self._protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def is_closed(self) -> bool:
        """Whether the site wants nothing more of this connection."""
        return bool(self.transport.disconnecting or self.transport.is_half_closed)

    @property
    def is_aborted(self) -> bool:
        """Whether the site did not wait for its peer to close."""
        return bool(self.transport.disconnected)

    def answers(self, *, to_head: bool = False) -> list[Answer]:
        """All that the site has said, which is responses and not a byte more.

        `to_head`: they answer HEAD requests, and so have no bodies.
        """
        return _parse(self.transport.value(), to_head=to_head)


class TlsConnection(Connection):
    """A client that speaks TLS to a site, and does not close unless it is told to."""

    def __init__(self, site: TLSMemoryBIOFactory, context: SSL.Context) -> None:
        super().__init__(site)
        self.client = SSL.Connection(context, None)
        self.client.set_connect_state()
        self.heard = b""
        """All that the site has written, as it was on the wire."""

        self._received = b""

    def shake_hands(self) -> None:
        """Take all steps of the handshake; raises `SSL.Error` if it fails."""
        for _ in range(3):  # no version of TLS needs more
            with contextlib.suppress(SSL.WantReadError):
                self.client.do_handshake()
            self._carry()

    def send(self, *pieces: bytes) -> None:
        """Let the site read bytes that were encrypted, piece by piece."""
        for piece in pieces:
            self.client.send(piece)
            self._carry()

    def answers(self, *, to_head: bool = False) -> list[Answer]:
        """All that the site has said, decrypted."""
        self._carry()
        with contextlib.suppress(SSL.WantReadError, SSL.ZeroReturnError):
            while True:
                self._received += self.client.recv(65536)
        return _parse(self._received, to_head=to_head)

    def _carry(self) -> None:
        """Bring what both sides have written to the other one."""
        with contextlib.suppress(SSL.WantReadError):
            while True:
                super().send(self.client.bio_read(65536))
        written = self.transport.value()
        self.transport.clear()
        self.heard += written
        if written:
            self.client.bio_write(written)


def request(
    method: str,
    target: str,
    headers: Sequence[str] = (),
    body: bytes | None = None,
    version: str = "HTTP/1.1",
) -> bytes:
    """The bytes of a request; `body` is announced by its length.

    Its `Host` is ours where `headers` have none.
    """
    lines = [f"{method} {target} {version}", *headers]
    if not any(header.startswith("Host:") for header in headers):
        lines.append("Host: us.example")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    head = "".join(f"{line}\r\n" for line in lines) + "\r\n"
    return head.encode("latin-1") + (body or b"")


def chunked(target: str, *chunks: bytes) -> bytes:
    """The bytes of a PUT whose body comes in chunks and does not say how many."""
    head = request("PUT", target, ["Transfer-Encoding: chunked"])
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


def connections(limit: int = 10_000, limit_per_client: int = 1000) -> Connections:
    """So many connections, for a listener whose time stands still."""
    return Connections("federation", limit, Clock(), limit_per_client)


def limits(
    max_body_bytes: int = 100_000,
    request_seconds: float = 60.0,
    bodies: ArrivingBodies | None = None,
) -> SiteLimits:
    """What a site takes."""
    bodies = bodies or ArrivingBodies("federation", 2**30)
    return SiteLimits(max_body_bytes, request_seconds, bodies)


def at_root(**answers: RouteAnswer) -> Router:
    """Routes of the path `/`, by method."""
    return Router(Route(method, "/", answer) for method, answer in answers.items())


def site(
    router: Router,
    *,
    max_body_bytes: int = 100_000,
    request_seconds: float = 60.0,
    clock: Clock | None = None,
    bodies: ArrivingBodies | None = None,
    exchanges: Exchanges | None = None,
    refused: Callable[[Exchange], object] = lambda _: None,
) -> BoundedSite:
    """A site whose time stands still unless `clock` is advanced."""
    clock = clock or Clock()
    exchanges = exchanges or Exchanges(clock)
    request_log = RequestLog("federation", exchanges, refused=refused)
    own = limits(max_body_bytes, request_seconds, bodies)
    return BoundedSite(router, own, request_log, clock)


def ask(
    site: BoundedSite,
    method: str,
    target: str,
    headers: Sequence[str] = (),
    body: bytes | None = None,
) -> Answer:
    """The one answer to one request on a connection of its own."""
    connection = Connection(site)
    connection.send(request(method, target, headers, body))
    [answer] = connection.answers(to_head=method == "HEAD")
    return answer


def _parse(data: bytes, *, to_head: bool) -> list[Answer]:
    answers: list[Answer] = []
    while data:
        head = _HEAD.match(data)
        assert head is not None, data
        version, status, lines = head.groups()
        headers: dict[str, str] = {}
        for line in lines.splitlines():
            name, _, value = line.decode("ascii").partition(": ")
            assert name.lower() not in headers, line
            headers[name.lower()] = value
        # Nothing of ours is ever sent in chunks.
        assert "transfer-encoding" not in headers
        has_body = not to_head and status != b"100"
        length = int(headers["content-length"]) if has_body else 0
        body, data = (
            data[head.end() : head.end() + length],
            data[head.end() + length :],
        )
        assert len(body) == length
        answers.append(Answer(version.decode(), int(status), headers, body))
    return answers


def old_context(latest: int) -> SSL.Context:
    """A client that speaks no newer TLS than `latest`, and takes what it gets."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_max_proto_version(latest)
    context.set_cipher_list(b"DEFAULT:@SECLEVEL=0")
    return context
