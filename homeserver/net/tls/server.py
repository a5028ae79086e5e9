"""The server's side of each handshake, and the certificate that it presented.

Rules: the certificate is chosen by the name that the client sends (SNI), in each
handshake. Any client certificate completes the handshake. It is checked later, against
the origin of a request. No session is resumed that began with other certificates: a
resumed session shows none, and a key document names the certificate of its connection.

Theory of operation: a connection begins with a context without a certificate, which has
the keys of the session tickets. Once the client has said a name, OpenSSL calls back,
and the context of a certificate takes its place. Only certificates that are presented
again and again have one, as each takes 22 KB; others are set on their connection, which
takes 0.16 ms each time.

Specification: Server-server API, "TLS"; RFC 6066, section 3.
"""

from collections.abc import Callable
from typing import cast

from msgspec import Struct
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from zope.interface import implementer

from homeserver.net.bounded_map import BoundedMap
from homeserver.net.tls.certificate import Certificate
from homeserver.protocol.identifiers import ServerName

_MAX_CONTEXTS = 16

# A certificate that was presented in one of so many handshakes of others before has a
# context from now on.
_MAX_PRESENTED = 64

# Of a ticket's connection. Without an ID, OpenSSL resumes no session of a client with a
# certificate.
_SESSION_ID = b"homeserver"


class Presented(Struct, frozen=True):
    """What a server presents in a handshake, and asks for."""

    certificate: Certificate
    asks_for_certificate: bool = True
    server: str = ""
    """The name of the server of ours whose certificate it is."""


class Listening(Struct):
    """Whose listener a connection came to."""

    own: ServerName | None
    """The one server that the listener is for; None for one that several share."""

    default: ServerName | None
    """The first of them; None while there is none."""


class ServerContexts:
    """The contexts of the certificates presented last, for all listeners."""

    def __init__(self, limit: int = _MAX_CONTEXTS) -> None:
        self._contexts: BoundedMap[Certificate, _Context] = BoundedMap(limit)
        self._presented: BoundedMap[Certificate, None] = BoundedMap(_MAX_PRESENTED)
        self.generation = 0
        """How often a certificate or a name has changed."""

    def forget_sessions(self) -> None:
        """Resume no session of before: a certificate or a name has changed."""
        self.generation += 1

    def find(self, certificate: Certificate) -> "_Context | None":
        """The context of a certificate to present; None if it needs none."""
        found = self._contexts.get(certificate)
        if found is not None:
            self._contexts.move_to_end(certificate)
            return found
        if not certificate.needs_context and certificate not in self._presented:
            self._presented[certificate] = None
            return None
        found = self._contexts[certificate] = _Context(certificate)
        return found


class _Context:
    """A context that presents a certificate."""

    def __init__(self, certificate: Certificate) -> None:
        self.leaf = certificate.leaf
        self.context = SSL.Context(SSL.TLS_METHOD)
        self.context.set_session_id(_SESSION_ID)
        certificate.present_in(self.context)


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """The server's side of each handshake on one listener."""

    _log = Logger()

    def __init__(
        self,
        listening: Listening,
        present: Callable[[Listening, str | None], Presented | None],
        contexts: ServerContexts,
        prepare: Callable[[SSL.Context], object] = lambda _: None,
    ) -> None:
        """`present` chooses by the name that the client sent.

        Where it returns None, the handshake fails. `prepare` changes the context with
        which a handshake begins.
        """
        self.listening = listening
        self._present = present
        self._prepare = prepare
        self._contexts = contexts
        self._base: SSL.Context | None = None
        self._generation = 0

    def serverConnectionForTLS(
        self, tlsProtocol: TLSMemoryBIOProtocol
    ) -> SSL.Connection:
        """As `IOpenSSLServerConnectionCreator`: the connection to shake hands on."""
        if self._base is None or self._generation != self._contexts.generation:
            self._generation = self._contexts.generation
            self._base = self._build()  # with other keys for its tickets
        return ServerConnection(self._base, self.listening)

    def _build(self) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        # An idle connection has no buffers then: 28 KB of memory instead of 52.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        # Session tickets are on; OpenSSL needs an ID for them. Clients keep them: a
        # cache here would be memory that anyone can fill.
        context.set_session_id(_SESSION_ID)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_tlsext_servername_callback(self._choose)
        self._prepare(context)
        return context

    def presented(self, sni: str | None) -> Presented | None:
        """What a client that sends this name gets; None: its handshake fails."""
        return self._present(self.listening, sni)

    def varied(
        self,
        change: Callable[[Presented], Presented],
        prepare: Callable[[SSL.Context], object],
    ) -> "ServerTls":
        """The same, with a change of what is presented and of the first context."""

        def present(listening: Listening, sni: str | None) -> Presented | None:
            presented = self._present(listening, sni)
            return None if presented is None else change(presented)

        return ServerTls(self.listening, present, self._contexts, prepare)

    def _choose(self, connection: SSL.Connection) -> None:
        """Called by OpenSSL, also if the client sent no name."""
        ours = cast("ServerConnection", connection)
        sent = connection.get_servername()
        ours.sni = None if sent is None else sent.decode("ascii", "replace").lower()
        try:
            presented = self.presented(ours.sni)
            if presented is not None:
                ours.present(self._contexts.find(presented.certificate), presented)
        except Exception:  # noqa: BLE001 - of one server; the handshake fails
            self._log.failure("no certificate to present")


class ServerConnection(SSL.Connection):
    """The server's side of one handshake, with the certificate that it presents.

    Asking OpenSSL for the certificate would encode it again for each request.
    """

    leaf: bytes | None = None
    """The DER of the certificate; None before it is chosen."""

    sni: str | None = None
    """The name that the client sent, in small letters."""

    server = ""
    """The name of the server of ours that presented it."""

    def __init__(self, base: SSL.Context, listening: Listening) -> None:
        super().__init__(base, None)
        self.listening = listening
        # Once another context has taken its place, only this keeps its callback, which
        # a second hello of the client calls again.
        self._base = base

    def present(self, context: _Context | None, presented: Presented) -> None:
        """Present a certificate in this handshake, by its context if it has one."""
        if context is None:
            presented.certificate.present_on(self)
            self.leaf = presented.certificate.leaf
        else:
            self.set_context(context.context)
            self.leaf = context.leaf
        self.server = presented.server
        if presented.asks_for_certificate:
            # Any certificate is accepted here; it is checked against the origin of a
            # request, and most requests need none.
            self.set_verify(SSL.VERIFY_PEER, lambda *_: True)


def connection_of(transport: object) -> ServerConnection | None:
    """The handshake of an inbound connection; None without TLS."""
    if not isinstance(transport, TLSMemoryBIOProtocol):
        return None
    handle: ServerConnection = transport.getHandle()
    return handle


def presented_on(transport: object) -> bytes | None:
    """The DER of the certificate presented on a connection; None without TLS."""
    connection = connection_of(transport)
    return None if connection is None else connection.leaf
