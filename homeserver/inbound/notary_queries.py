"""Queries to the notary: what a client asks about other servers' keys.

Rules: each queried server costs its client a token. A large query of a client without
tokens is refused before its body is read; a small one is read, so that the refusal says
when to try again.

Specification: Server-server API, "Querying keys through another server".
"""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from homeserver.http.rate_limit import TokenBuckets
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.inbound.notary import Notary, Query, parse_queries, parse_query
from homeserver.net.cause import Cause

# Servers, for each client address. A server that joins a large room queries all servers
# of the room at once, and later one now and then.
_BURST_SERVERS = 300
_SERVERS_PER_SECOND = 5.0

_SMALL_QUERY = 16384  # bytes: a hundred servers take six thousand, and 0.1 ms to read


NotaryBuckets = TokenBuckets
"""The servers that clients may still query, of all our notaries together."""


def count_queries(
    clock: IReactorTime,
    trusts: Callable[[str], bool] = lambda _: False,
    workers: int = 1,
) -> NotaryBuckets:
    """Full buckets; the clients that `trusts` names have no limit.

    Each worker has its part of the rate, and all of the burst, which is one request.
    """
    rate = _SERVERS_PER_SECOND / workers
    return TokenBuckets(_BURST_SERVERS, rate, clock, "servers", trusts)


class NotaryQueries:
    """Answers the queries of each client, as many as it may make."""

    def __init__(
        self, notary_of: Callable[[Request], Notary], buckets: NotaryBuckets
    ) -> None:
        """`notary_of` finds the server that a request is for."""
        self._notary_of = notary_of
        self._buckets = buckets

    def admit(self, request: Request) -> None:
        """Raise `LimitExceeded` for a large query of a client without tokens."""
        length = request.getHeader(b"Content-Length")
        if length is None or int(length) > _SMALL_QUERY:
            self._buckets.check(request.getClientAddress().host)

    async def post(self, request: Request) -> Reply:
        """Answer a query about many servers, which is in the body."""
        body = b"" if request.content is None else request.content.read()
        return await self._answer(request, parse_queries(body))

    async def get(self, request: Request) -> Reply:
        """Answer a query about one server, which is in the path."""
        name = request.parameters["serverName"]
        key_id = request.parameters.get("keyId", b"")
        minimums = request.args.get(b"minimum_valid_until_ts", [])
        return await self._answer(request, [parse_query(name, key_id, minimums)])

    async def _answer(self, request: Request, queries: Sequence[Query]) -> Reply:
        client = request.getClientAddress().host
        self._buckets.take(client, len(queries))
        notary = self._notary_of(request)
        return Reply(await notary.answer(queries, Cause(client)))
