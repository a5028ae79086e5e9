"""The federation resources: version, send, query.

Rules of the room: a resource reads the request, has its origin proven, and hands over
values. The target that is verified is the one on the wire, as it is.

Specification: Server-server API.
"""

from collections.abc import Mapping

import msgspec
from twisted.web.resource import IResource
from twisted.web.server import Request

from homeserver import __version__
from homeserver.config import Profile
from homeserver.inbound.authentication import Authenticator, ProvenOrigin
from homeserver.inbound.client_certificates import ShownCertificate
from homeserver.inbound.receiver import Receiver
from homeserver.inbound.resource import JsonResource, Reply, json_reply
from homeserver.protocol.canonical import Json, parse_object
from homeserver.protocol.errors import InvalidParam, NotFound, quote
from homeserver.protocol.names import ServerName


async def authenticate(
    authenticator: Authenticator, request: Request
) -> tuple[ProvenOrigin, Json | None]:
    """Prove who made a request; its origin and its body.

    Raises `NotJson` and `BadJson` for the body, and as `Authenticator`.
    """
    body = b"" if request.content is None else request.content.read()
    content = parse_object(body) if body else None
    headers = request.requestHeaders.getRawHeaders(b"Authorization", [])
    origin = await authenticator.authenticate(
        request.method.decode("ascii", "replace"),
        request.uri.decode("ascii", "replace"),
        [header.decode("ascii", "replace") for header in headers],
        content,
        ShownCertificate.on(request.channel.transport),
    )
    return origin, content


class SendTree(JsonResource):
    """`/_matrix/federation/v1/send`; a transaction's ID is the step below."""

    def __init__(self, authenticator: Authenticator, receiver: Receiver) -> None:
        super().__init__()
        self._authenticator = authenticator
        self._receiver = receiver

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The resource of the transaction ID `path`."""

        async def put(request: Request) -> Reply:
            origin, content = await authenticate(self._authenticator, request)
            txn_id = _decode(path)
            return Reply(await self._receiver.receive(origin, txn_id, content or {}))

        return JsonResource({b"PUT": put})


def _decode(step: bytes) -> str:
    """A step of the path as text; `InvalidParam` where it is none."""
    try:
        return step.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParam(f"{quote(step)} is not UTF-8") from None


class QueryTree(JsonResource):
    """`/_matrix/federation/v1/query`; what is asked about is the step below."""

    def __init__(
        self, authenticator: Authenticator, profiles: Mapping[str, Profile]
    ) -> None:
        super().__init__()
        self._authenticator = authenticator
        self._profiles = profiles

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The resource of the query type `path`."""

        async def get(request: Request) -> Reply:
            await authenticate(self._authenticator, request)
            if path != b"profile":
                raise NotFound(f"there is no query type {quote(path)} here")
            return json_reply(self._profile(request))

        return JsonResource({b"GET": get})

    def _profile(self, request: Request) -> Json:
        user_ids = request.args.get(b"user_id", [])
        if len(user_ids) != 1:
            raise InvalidParam("the query needs one `user_id`")
        user_id = user_ids[0].decode("utf-8", "replace")
        if user_id not in self._profiles:
            raise NotFound(f"there is no user {quote(user_id)} here")
        profile: Json = msgspec.to_builtins(self._profiles[user_id])
        field = request.args.get(b"field")
        if field is None:
            return profile
        return {k: v for k, v in profile.items() if k.encode() in field}


def build_tree(
    keys: JsonResource,
    authenticator: Authenticator,
    receiver: Receiver,
    profiles: Mapping[str, Profile],
    delegate_to: ServerName | None,
) -> JsonResource:
    """All that other servers may ask of us; `keys` is the tree of key documents."""

    async def version(_: Request) -> Reply:
        return json_reply({"server": {"name": "homeserver", "version": __version__}})

    async def well_known(_: Request) -> Reply:
        if delegate_to is None:
            raise NotFound("this server delegates to no other name")
        return json_reply({"m.server": delegate_to.name})

    root, matrix, federation, first, dot, below = (JsonResource() for _ in range(6))
    root.putChild(b"_matrix", matrix)
    matrix.putChild(b"key", keys)
    matrix.putChild(b"federation", federation)
    federation.putChild(b"v1", first)
    first.putChild(b"version", JsonResource({b"GET": version}))
    first.putChild(b"send", SendTree(authenticator, receiver))
    first.putChild(b"query", QueryTree(authenticator, profiles))
    root.putChild(b".well-known", dot)
    dot.putChild(b"matrix", below)
    below.putChild(b"server", JsonResource({b"GET": well_known}))
    return root
