"""Signed requests to other servers, and their bounded JSON replies.

Rules: a request is sent once; its result is a value, `Unreachable` without an answer,
or `Refused` with an error response. Every request is signed, except for key documents.
Transactions and key documents have methods here, all other routes go through `calls`.

Specification: Server-server API.
"""

from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers

from homeserver.identity.identity import Identity
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.exchange import Exchange
from homeserver.net.exchanges import Exchanges
from homeserver.net.time_limit import within
from homeserver.net.wall_clock import wall_seconds
from homeserver.outbound.agent import FederationAgent, OutgoingRequest
from homeserver.outbound.completion import Send, complete
from homeserver.outbound.remote_error import Refused, read_refusal, retry_after
from homeserver.outbound.signed_request import signed_request
from homeserver.outbound.targets import TRANSACTION_ROUTE, transaction_target
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.response import Response, read_body
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import BadJson, Explanation, ProtocolError, quote
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import (
    MAX_DOCUMENT_BYTES,
    V1_PATH,
    V2_PATH,
    KeyDocument,
    parse_v1,
    parse_v2,
)
from homeserver.protocol.replies import parse_reply

# For a key document: inbound requests wait for it, and other fetches wait for a slot.
# Time-outs of a well-known document and a name server leave time for the server.
_DOCUMENT_SECONDS = 25.0


class Limits(Struct, frozen=True):
    """The limits of one request."""

    reply_bytes: int
    """Of the body of the response."""

    seconds: float
    """For discovery, connecting, verification and the response."""


# Ten times the size of 50 errors; the time is that of Synapse.
_TRANSACTION_LIMITS = Limits(512 * 1024, 60.0)

_DOCUMENT_LIMITS = Limits(MAX_DOCUMENT_BYTES, _DOCUMENT_SECONDS)


class KeysAnswer(Struct, frozen=True):
    """The answer of a server to a request for a key document."""

    document: KeyDocument | None
    """The checked document; None if the server has none of this version."""

    why: Explanation | None
    """The error response; None with a document."""

    peer: VerifiedPeer


class Delivery(Struct, frozen=True):
    """A transaction that the destination has acknowledged."""

    reply: Json | None
    """None for a reply without JSON, as in 2014."""

    connection: VerifiedConnection
    problems: Sequence[str] = ()
    """The problems of the reply."""


class FederationClient:
    """Calls other servers as one identity."""

    def __init__(
        self,
        agent: FederationAgent,
        identity: Callable[[], Identity],
        clock: IReactorTime,
        exchanges: Exchanges | None = None,
    ) -> None:
        """`identity` is called for each request, because keys may change.

        `exchanges` has each request but those of transactions, whose exchanges are
        their caller's.
        """
        self._agent = agent
        self._identity = identity
        self._clock = clock
        self._exchanges = exchanges or Exchanges(clock)

    async def send_transaction(
        self,
        destination: ServerName,
        txn_id: str,
        body: bytes,
        *,
        exchange: Exchange,
        slash: bool = False,
        connected: Callable[[VerifiedConnection], object] = lambda _: None,
    ) -> Delivery:
        """Deliver a transaction whose canonical JSON is `body`.

        `slash` ends the path with a slash, as servers before 2019 demand; only they
        acknowledge without a JSON object. What is found about the request is written
        into `exchange`. `connected` is called with the connection before the request
        is sent. Raises `Unreachable` and `Refused`.
        """
        target = transaction_target(txn_id, slash=slash)
        identity = self._identity()
        exchange.server = identity.server_name.name
        exchange.route = TRANSACTION_ROUTE
        outgoing = signed_request(identity, "PUT", target, destination, body)

        async def send() -> tuple[Response, VerifiedConnection]:
            limits = _TRANSACTION_LIMITS
            return await self._send(
                destination, outgoing, limits, OURSELVES, exchange, connected
            )

        return await self.deliver(
            destination, f"PUT {target}", exchange, send, slash=slash
        )

    async def deliver(
        self,
        destination: ServerName,
        asked: str,
        exchange: Exchange,
        send: Send,
        *,
        slash: bool = False,
    ) -> Delivery:
        """The result of a transaction that `send` sends; as `send_transaction`.

        `asked` is its method and its target.
        """
        answer, connection = await complete(
            send,
            destination,
            asked,
            exchange,
            _TRANSACTION_LIMITS.seconds,
            self._clock,
        )
        if answer.status != 200:
            refused = read_refusal(
                destination,
                answer.status,
                answer.body,
                retry_after(answer.status, answer.headers, wall_seconds(self._clock)),
            )
            exchange.errcode = refused.errcode
            raise refused
        try:
            reply, problems = parse_reply(answer.body, is_of_2014=slash)
        except ProtocolError as problem:
            why = f"{problem}: {quote(answer.body)}"
            raise Refused(destination, answer.status, None, why) from None
        return Delivery(reply, connection, problems)

    async def fetch_keys_v1(self, server_name: ServerName, cause: Cause) -> KeysAnswer:
        """The checked version 1 key document of a server.

        Raises `Unreachable`, `Refused` and `ProtocolError`.
        """
        return await self._fetch_keys(server_name, V1_PATH, parse_v1, cause)

    async def fetch_keys_v2(self, server_name: ServerName, cause: Cause) -> KeysAnswer:
        """The checked version 2 key document of a server; raises as version 1."""
        return await self._fetch_keys(server_name, V2_PATH, parse_v2, cause)

    async def _fetch_keys(
        self,
        server_name: ServerName,
        path: str,
        parse: Callable[[bytes, ServerName], KeyDocument],
        cause: Cause,
    ) -> KeysAnswer:
        status, data, connection = await self.ask(server_name, path, cause)
        if status != 200:
            refusal = read_refusal(server_name, status, data)
            if not refusal.is_unrecognized:
                raise refusal
            return KeysAnswer(None, refusal.explanation, connection.peer)
        document = parse(data, server_name)
        check_names_connection(document, connection)
        return KeysAnswer(document, None, connection.peer)

    async def ask(
        self, server_name: ServerName, target: str, cause: Cause
    ) -> tuple[int, bytes, VerifiedConnection]:
        """GET `target` without a signature: the status, the body and the connection.

        Raises `Unreachable`.
        """
        outgoing = OutgoingRequest(b"GET", target.encode("ascii"), Headers())
        path = target.partition("?")[0]
        exchange = self._exchanges.open("request", "out", "GET", path)
        exchange.server = self._identity().server_name.name
        try:
            answer, connection = await self.call(
                server_name, outgoing, _DOCUMENT_LIMITS, cause, exchange
            )
        finally:
            exchange.close(exchange.status)
        return answer.status, answer.body, connection

    async def reach(self, server_name: ServerName, cause: Cause) -> VerifiedConnection:
        """Make a new connection to a server, verify it, and close it.

        This stores the present certificate of the server. Raises `Unreachable`.
        """
        try:
            reaching = self._agent.reach(server_name, cause)
            return await within(_DOCUMENT_SECONDS, self._clock, reaching)
        except defer.TimeoutError:
            raise Unreachable(
                server_name, [f"no answer within {_DOCUMENT_SECONDS:.0f} seconds"]
            ) from None

    async def call(
        self,
        destination: ServerName,
        outgoing: OutgoingRequest,
        limits: Limits,
        cause: Cause,
        exchange: Exchange,
        connected: Callable[[VerifiedConnection], object] = lambda _: None,
    ) -> tuple[Response, VerifiedConnection]:
        """Send a request that is signed, or needs no signature: its whole response.

        Raises `Unreachable`.
        """
        return await complete(
            lambda: self._send(
                destination, outgoing, limits, cause, exchange, connected
            ),
            destination,
            (outgoing.method + b" " + outgoing.target).decode("ascii"),
            exchange,
            limits.seconds,
            self._clock,
        )

    async def _send(
        self,
        destination: ServerName,
        outgoing: OutgoingRequest,
        limits: Limits,
        cause: Cause,
        exchange: Exchange,
        connected: Callable[[VerifiedConnection], object] = lambda _: None,
    ) -> tuple[Response, VerifiedConnection]:
        outgoing = replace(outgoing, reply_bytes=limits.reply_bytes)
        response, connection = await self._agent.send(
            destination, outgoing, cause, exchange, connected
        )
        data = await read_body(response, limits.reply_bytes)
        exchange.mark("body")
        exchange.status = response.code
        return Response(response.code, response.headers, data), connection


def check_names_connection(
    document: KeyDocument, connection: VerifiedConnection
) -> None:
    """Raise `BadJson` for a version 1 document that names another certificate.

    A version 2 document names none.
    """
    if document.tls_certificate not in {None, connection.peer.certificate}:
        raise BadJson(
            "the key document names another TLS certificate than the one of the "
            "connection that it came on"
        )
