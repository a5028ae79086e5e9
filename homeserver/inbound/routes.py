"""The federation routes, one line each.

Rules: a route reads the parameters of a request and hands values over.

Specification: Server-server API.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import msgspec

from homeserver import __version__
from homeserver.config.values import Profile
from homeserver.http.reply import Reply, json_reply
from homeserver.http.request import Request
from homeserver.http.router import Route
from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.local_servers import LocalServer, LocalServers
from homeserver.inbound.notary_queries import NotaryBuckets, NotaryQueries
from homeserver.inbound.signed_requests import SignedAnswer, cause_of
from homeserver.net.tls.server import presented_on
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam, MissingParam, NotFound, quote
from homeserver.protocol.federation_paths import V1
from homeserver.storage.engine.interface import StoreUnavailable

_S = TypeVar("_S", bound=LocalServer)


def federation_routes(servers: LocalServers[LocalServer]) -> list[Route]:
    """The routes of servers that take transactions and answer queries."""
    own_version = json_reply({"server": {"name": "homeserver", "version": __version__}})

    def version(_: Request) -> Reply:
        return own_version

    def well_known(request: Request) -> Reply:
        delegate_to = servers.of_unsigned(request).delegate_to
        if delegate_to is None:
            raise NotFound("this server delegates to no other name")
        return json_reply({"m.server": delegate_to.name})

    return [
        Route("GET", "/.well-known/matrix/server", well_known),
        Route("GET", f"{V1}/version", version),
        signed_route(servers, "PUT", f"{V1}/send/{{txnId}}", _send),
        signed_route(servers, "GET", f"{V1}/query/{{queryType}}", _query),
    ]


def signed_route(
    servers: LocalServers[_S],
    method: str,
    template: str,
    answer: Callable[[_S], SignedAnswer],
) -> Route:
    """A route whose requests are authenticated by the server that they are for.

    `answer` makes the answer of that server.
    """

    def admit(request: Request) -> _S:
        server = servers.of_signed(request)
        server.signed_requests.gate.admit(request)
        return server

    async def authenticated(request: Request) -> Reply:
        server = cast("_S | None", request.admitted)
        if server is None:  # it has no body
            server = servers.of_signed(request)
        return await server.signed_requests.answer(request, answer(server))

    return Route(method, template, authenticated, admit)


def key_routes(
    servers: LocalServers[LocalServer], buckets: NotaryBuckets | None
) -> list[Route]:
    """The routes of key documents; without `buckets`, no server is a notary."""

    def v1(request: Request) -> Reply:
        publisher = servers.of_unsigned(request).publisher
        return Reply(publisher.v1(presented_on(request.channel.transport)))

    def v2(request: Request) -> Reply:
        publisher = servers.of_unsigned(request).publisher
        return Reply(publisher.v2(presented_on(request.channel.transport)))

    own = [
        Route("GET", "/_matrix/key/v1", v1),
        Route("GET", "/_matrix/key/v2/server", v2),
        # Before v1.6 of the specification: the same document for any key ID.
        Route("GET", "/_matrix/key/v2/server/{keyId}", v2),
    ]
    if buckets is None:
        return own
    queries = NotaryQueries(
        lambda request: servers.of_unsigned(request).notary, buckets
    )
    query = "/_matrix/key/v2/query"
    return [
        *own,
        Route("POST", query, queries.post, queries.admit),
        Route("GET", f"{query}/{{serverName}}", queries.get),
        Route("GET", f"{query}/{{serverName}}/{{keyId}}", queries.get),
    ]


def _send(server: LocalServer) -> SignedAnswer:
    async def put(
        request: Request, origin: ProvenOrigin, content: Json | None
    ) -> Reply:
        txn_id = request.exchange.txn_id = _text(request.parameters["txnId"])
        exchange = request.exchange
        try:
            receipt = await server.receiver.receive(
                origin, txn_id, content or {}, cause_of(request)
            )
        except StoreUnavailable:
            # For a report: whether the server repeats the same content.
            digest = await server.receiver.digest(content or {})
            exchange.facts = {"content": digest.hex()}
            raise
        exchange.verdict, exchange.facts = receipt.verdict, receipt.facts
        exchange.remarks = receipt.remarks or exchange.remarks
        return Reply(receipt.reply)

    return put


def _text(step: bytes) -> str:
    try:
        return step.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParam(f"{quote(step)} is not UTF-8") from None


def _query(server: LocalServer) -> SignedAnswer:
    async def get(request: Request, _: ProvenOrigin, __: Json | None) -> Reply:
        query_type = request.parameters["queryType"]
        if query_type != b"profile":
            raise NotFound(f"there is no query type {quote(query_type)} here")
        return json_reply(_profile(request, server.profiles))

    return get


def _profile(request: Request, profiles: Mapping[str, Profile]) -> Json:
    user_ids = request.args.get(b"user_id", [])
    if not user_ids:
        raise MissingParam("the query has no `user_id`")
    if len(user_ids) > 1:
        raise InvalidParam("the query has more than one `user_id`")
    user_id = user_ids[0].decode("utf-8", "replace")
    if user_id not in profiles:
        raise NotFound(f"there is no user {quote(user_id)} here")
    profile: Json = msgspec.to_builtins(profiles[user_id])
    field = request.args.get(b"field")
    if field is None:
        return profile
    return {k: v for k, v in profile.items() if k.encode() in field}
