"""The key documents that this server publishes, its own and, as a notary, others'.

Rules of the room: a document is signed once and served until it is time for another.
Both documents name the certificate of the very connection. The version 2 document is
never handed out with under an hour of life left.

Specification: Server-server API, "Publishing Keys" and "Querying keys through another
server"; the November 2014 text, "Retrieving Server Keys".
"""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from homeserver.http.rate_limit import TokenBuckets
from homeserver.http.request import Request
from homeserver.http.resource import Guarded, JsonResource, Reply
from homeserver.identity.identity import Identity
from homeserver.inbound.notary import Notary, Query, parse_queries, parse_query
from homeserver.net.cause import Cause
from homeserver.net.tls.server import presented_on
from homeserver.net.wall_clock import wall_seconds
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.key_documents import build_v1, build_v2

# Of other servers' keys, for each client address. Who joins a large room asks for the
# servers of the room at once, and then now and then for one.
_BURST_SERVERS = 300
_SERVERS_PER_SECOND = 5.0

_SMALL_QUERY = 16384  # bytes: a hundred servers take six, and 0.1 ms to read


class KeyPublisher:
    """Makes our key documents, and makes them anew when it is time."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        validity_seconds: float,
        clock: IReactorTime,
    ) -> None:
        self._identity = identity
        self._validity_seconds = validity_seconds
        self._clock = clock
        self._made_for: Identity | None = None
        self._leaf = self._v1 = self._v2 = b""
        self._renew_at = 0.0
        self._valid_until_ts = 0

    def v1(self, presented: bytes | None = None) -> bytes:
        """The version 1 document, in canonical JSON.

        It names the certificate (DER) that was `presented` on the connection that it
        is asked for on, which may be one of before a renewal; None is the present one.
        """
        self._make()
        if presented is None or presented == self._leaf:
            return self._v1
        return self._build_v1(self._identity(), presented)

    def v2(self, presented: bytes | None = None) -> bytes:
        """The version 2 document, in canonical JSON.

        It has the fingerprints of the present certificate and of that which was
        `presented` on the connection, if that is another one.
        """
        self._make()
        if presented is None or presented == self._leaf:
            return self._v2
        return self._build_v2(self._identity(), [self._leaf, presented])

    def _make(self) -> None:
        identity, now = self._identity(), wall_seconds(self._clock)
        if identity is self._made_for and now < self._renew_at:
            return
        self._made_for = identity
        # Half of its life is left at least; half of the shortest that can be
        # configured, two hours, is the hour that every document must have left.
        self._renew_at = now + self._validity_seconds / 2
        self._valid_until_ts = int((now + self._validity_seconds) * 1000)
        self._leaf = identity.certificate.leaf
        self._v1 = self._build_v1(identity, self._leaf)
        self._v2 = self._build_v2(identity, [self._leaf])

    def _build_v1(self, identity: Identity, certificate: bytes) -> bytes:
        return encode(
            build_v1(identity.server_name, certificate, identity.signing_keys)
        )

    def _build_v2(self, identity: Identity, certificates: Sequence[bytes]) -> bytes:
        return encode(
            build_v2(
                identity.server_name,
                identity.signing_keys,
                identity.old_verify_keys,
                self._valid_until_ts,
                certificates,
            )
        )


class ServerKeys(JsonResource):
    """`/_matrix/key/v2/server`, and below it the key IDs of before v1.6."""

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The same document, whichever key was asked for."""
        if not request.postpath:
            return self
        return super().getChild(path, request)


class NotaryQueries(JsonResource):
    """`/_matrix/key/v2/query`; a server's name, and maybe a key ID, are steps below."""

    def __init__(
        self,
        notary: Notary,
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Clients that `trusts` names may ask for as many servers as they like."""
        super().__init__(
            {b"POST": Guarded(self._post, self._admit)}, "/_matrix/key/v2/query"
        )
        self._notary = notary
        self._buckets = TokenBuckets(
            _BURST_SERVERS, _SERVERS_PER_SECOND, clock, "servers", trusts
        )
        self.bound = self._buckets.bound

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The resource of the server `path`."""
        if path == b"" and not request.postpath:
            return self
        [key_id, *more] = request.postpath or [b""]
        if more:
            return super().getChild(path, request)

        async def get(request: Request) -> Reply:
            minimums = request.args.get(b"minimum_valid_until_ts", [])
            query = parse_query(path, key_id, minimums)
            return await self._answer(request, [query])

        leaf = JsonResource({b"GET": get}, "/_matrix/key/v2/query/{serverName}")
        leaf.isLeaf = True
        return leaf

    def _admit(self, request: Request) -> None:
        """Refuse a query of a client that may ask for no server at the moment.

        A small one is read first: then it is known when the client may ask it.
        """
        length = request.getHeader(b"Content-Length")
        if length is None or int(length) > _SMALL_QUERY:
            self._buckets.check(request.getClientAddress().host)

    async def _post(self, request: Request) -> Reply:
        body = b"" if request.content is None else request.content.read()
        return await self._answer(request, parse_queries(body))

    async def _answer(self, request: Request, queries: Sequence[Query]) -> Reply:
        client = request.getClientAddress().host
        self._buckets.take(client, len(queries))
        return Reply(await self._notary.answer(queries, Cause(client)))


def key_tree(publisher: KeyPublisher, queries: NotaryQueries | None) -> JsonResource:
    """The resources below `/_matrix/key`; without `queries` we are no notary."""

    def v1(request: Request) -> Reply:
        return Reply(publisher.v1(presented_on(request.channel.transport)))

    def v2(request: Request) -> Reply:
        return Reply(publisher.v2(presented_on(request.channel.transport)))

    tree, second = JsonResource(), JsonResource()
    tree.putChild(b"v1", JsonResource({b"GET": v1}, "/_matrix/key/v1"))
    tree.putChild(b"v2", second)
    second.putChild(b"server", ServerKeys({b"GET": v2}, "/_matrix/key/v2/server"))
    if queries is not None:
        second.putChild(b"query", queries)
    return tree
