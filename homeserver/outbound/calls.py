"""Signed requests to other servers with any method, path and body.

Rules: a call is made once, and its reply is a JSON object, or a list where the route
says so. The limit on the reply is the caller's, as the routes differ by a thousand.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote as percent_encode
from urllib.parse import urlencode

from msgspec import Struct

from homeserver.identity.identity import Identity
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.exchanges import Exchanges
from homeserver.outbound.client import FederationClient, Limits
from homeserver.outbound.remote_error import Refused, read_refusal
from homeserver.outbound.signed_request import signed_request
from homeserver.protocol.canonical_json import Json, encode, parse
from homeserver.protocol.errors import ProtocolError, quote
from homeserver.protocol.identifiers import ServerName

USUAL = Limits(2_000_000, 60.0)
"""For a reply that has a few events."""

WHOLE_STATE = Limits(100_000_000, 300.0)
"""For a reply that has the state of a room: some hundred thousand events."""


class Call(Struct, frozen=True, kw_only=True):
    """A request to another server."""

    method: str
    path: str
    """As it goes out, percent-encoded; `targets` makes it."""

    route: str
    """The template of the path, for logs and metrics."""

    query: Sequence[tuple[str, str]] = ()
    content: Json | None = None
    """The body; None for none."""

    limits: Limits = USUAL

    @property
    def target(self) -> str:
        """The path with the query."""
        # Servers of 2014 compare IDs without decoding them.
        query = urlencode(self.query, safe="!:@$", quote_via=percent_encode)
        return f"{self.path}?{query}" if query else self.path


class FederationCalls:
    """Calls other servers as one identity."""

    def __init__(
        self,
        client: FederationClient,
        identity: Callable[[], Identity],
        exchanges: Exchanges,
    ) -> None:
        """`identity` is called for each request, because keys may change."""
        self._client = client
        self._identity = identity
        self._exchanges = exchanges

    async def ask(
        self, destination: ServerName, call: Call, cause: Cause = OURSELVES
    ) -> Json:
        """The object that a server answers with.

        Raises `Unreachable` without an answer, and `Refused` for an error response or
        one that is no JSON object.
        """
        reply = await self.ask_any(destination, call, cause)
        if not isinstance(reply, Mapping):
            raise Refused(destination, 200, None, f"not an object: {quote(reply)}")
        return dict(reply)

    async def ask_any(
        self, destination: ServerName, call: Call, cause: Cause = OURSELVES
    ) -> object:
        """As `ask`, for a route whose reply may be a list."""
        try:
            return parse(await self.ask_text(destination, call, cause))
        except ProtocolError as problem:
            raise Refused(destination, 200, None, str(problem)) from None

    async def ask_text(
        self, destination: ServerName, call: Call, cause: Cause = OURSELVES
    ) -> bytes:
        """The body of a reply, for a caller that reads it in parts.

        Raises `Unreachable`, and `Refused` for an error response.
        """
        identity = self._identity()
        body = None if call.content is None else encode(call.content)
        outgoing = signed_request(identity, call.method, call.target, destination, body)
        exchange = self._exchanges.open("request", "out", call.method, call.path)
        exchange.server = identity.server_name.name
        exchange.route = call.route
        try:
            answer, _ = await self._client.call(
                destination, outgoing, call.limits, cause, exchange
            )
            if answer.status != 200:
                refused = read_refusal(destination, answer.status, answer.body)
                exchange.errcode = refused.errcode
                raise refused
        finally:
            exchange.close(exchange.status)
        return answer.body
