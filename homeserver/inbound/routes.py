"""The federation resources: version, send, query.

Rules of the room: a resource reads the request, has its origin proven, and hands over
values. The target that is verified is the one on the wire, as it is.

Specification: Server-server API.
"""

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource

from homeserver import __version__
from homeserver.config.values import Profile
from homeserver.http.rate_limit import TokenBuckets
from homeserver.http.request import Request
from homeserver.http.request_log import Account
from homeserver.http.resource import (
    Answer,
    Guarded,
    JsonResource,
    Reply,
    json_reply,
)
from homeserver.inbound.authentication import (
    Authenticator,
    Body,
    ProvenOrigin,
    claimed_origin,
    failure_of,
)
from homeserver.inbound.client_certificates import ShownCertificate
from homeserver.inbound.refusals import Refusals
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.net.cause import Cause
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import (
    InvalidParam,
    MissingParam,
    NotFound,
    NotJson,
    ProtocolError,
    quote,
)
from homeserver.protocol.identifiers import ServerName

SignedAnswer = Callable[[Request, ProvenOrigin, Json | None], Awaitable[Reply]]
"""What answers a request of a proven origin, with its body."""


# A body that proves nothing costs its client a token for each 16 KiB, as to read and
# to verify ten megabytes takes 150 ms of CPU. So a client costs up to half a second at
# once and a hundredth of a core in the long run; a server whose signatures are wrong
# hears so fifty times a second.
_TOKEN_BYTES = 16384
_UNPROVEN = 1000
_UNPROVEN_PER_SECOND = 50

_READ = frozenset({"malformed_body", "bad_signature"})  # failures that come after it


class Gate:
    """Lets in what proves its origin, and tells of what does not."""

    def __init__(
        self,
        authenticator: Authenticator,
        refusals: Refusals,
        heard: Callable[[ServerName], object],
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`heard` is told each origin that is proven: that server is up.

        Clients that `trusts` names may send as much that proves nothing as they like.
        """
        self._authenticator = authenticator
        self._refusals = refusals
        self._heard = heard
        self._unproven = TokenBuckets(
            _UNPROVEN, _UNPROVEN_PER_SECOND, clock, "unproven bodies", trusts
        )
        self.bound = self._unproven.bound

    def admit(self, request: Request) -> None:
        """Refuse a request whose body need not come; raises `ProtocolError`."""
        headers = _headers(request)
        try:
            self._authenticator.check_head(headers)
            self._unproven.check(request.getClientAddress().host)
        except ProtocolError as problem:
            self._note(request, headers, problem)
            raise

    def guard(self, answer: SignedAnswer) -> Answer:
        """What answers a request by `answer`, once its origin is proven."""

        async def guarded(request: Request) -> Reply:
            account = Account.of(request)
            headers = _headers(request)
            length = 0
            try:
                body = _body(request)
                length = body.length
                origin, content = await self._authenticator.authenticate(
                    request.method.decode("ascii", "replace"),
                    request.uri.decode("ascii", "replace"),
                    headers,
                    body,
                    ShownCertificate.on(request.channel.transport),
                    _cause(request),
                )
                account.origin, account.is_proven = origin.server_name.name, True
                self._heard(origin.server_name)
                return await answer(request, origin, content)
            except ProtocolError as problem:
                if length and failure_of(problem) in _READ and not account.is_proven:
                    client = request.getClientAddress().host
                    self._unproven.charge(client, 1 + length // _TOKEN_BYTES)
                if not request.is_refused:
                    self._note(request, headers, problem)
                raise

        return Guarded(guarded, self.admit)

    def _note(
        self, request: Request, headers: Sequence[str], problem: ProtocolError
    ) -> None:
        """Have it known that a request was refused."""
        account = Account.of(request)
        if not account.is_proven:
            account.origin = claimed_origin(headers)
            account.failure = failure_of(problem)
        self._refusals.record(request, account.origin, problem)


def _headers(request: Request) -> list[str]:
    lines = request.requestHeaders.getRawHeaders(b"Authorization", [])
    return [line.decode("ascii", "replace") for line in lines]


def _cause(request: Request) -> Cause:
    return Cause(request.getClientAddress().host)


def _body(request: Request) -> Body:
    """The body of a request; `NotJson` if it is encoded in a way of its own."""
    encoding = request.getHeader(b"Content-Encoding")
    if encoding not in {None, b"identity"}:
        raise NotJson(
            f"the body has the Content-Encoding {quote(encoding)}; send the JSON as "
            "it is"
        )
    content = request.content
    if content is None:
        return Body(0, bytes)

    def read() -> bytes:
        if content.closed:
            raise ProtocolError("the client did not wait until its body was read")
        content.seek(0)
        data: bytes = content.read()
        return data

    return Body(content.seek(0, os.SEEK_END), read)


class SendTree(JsonResource):
    """`/_matrix/federation/v1/send`; a transaction's ID is the step below."""

    def __init__(self, gate: Gate, receiver: TransactionReceiver) -> None:
        super().__init__()
        self._gate = gate
        self._receiver = receiver

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The resource of the transaction ID `path`."""

        async def put(
            request: Request, origin: ProvenOrigin, content: Json | None
        ) -> Reply:
            txn_id = _decode(path)
            receipt = await self._receiver.receive(
                origin, txn_id, content or {}, _cause(request)
            )
            Account.of(request).facts = receipt.facts
            return Reply(receipt.reply)

        return JsonResource(
            {b"PUT": self._gate.guard(put)}, "/_matrix/federation/v1/send/{txnId}"
        )


def _decode(step: bytes) -> str:
    """A step of the path as text; `InvalidParam` where it is none."""
    try:
        return step.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidParam(f"{quote(step)} is not UTF-8") from None


class QueryTree(JsonResource):
    """`/_matrix/federation/v1/query`; what is asked about is the step below."""

    def __init__(self, gate: Gate, profiles: Mapping[str, Profile]) -> None:
        super().__init__()
        self._gate = gate
        self._profiles = profiles

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The resource of the query type `path`."""

        async def get(request: Request, _: ProvenOrigin, __: Json | None) -> Reply:
            if path != b"profile":
                raise NotFound(f"there is no query type {quote(path)} here")
            return json_reply(self._profile(request))

        return JsonResource(
            {b"GET": self._gate.guard(get)}, "/_matrix/federation/v1/query/{queryType}"
        )

    def _profile(self, request: Request) -> Json:
        user_ids = request.args.get(b"user_id", [])
        if not user_ids:
            raise MissingParam("the query has no `user_id`")
        if len(user_ids) > 1:
            raise InvalidParam("the query has more than one `user_id`")
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
    gate: Gate,
    receiver: TransactionReceiver,
    profiles: Mapping[str, Profile],
    delegate_to: ServerName | None,
) -> JsonResource:
    """All that other servers may ask of us; `keys` is the tree of key documents."""
    own_version = json_reply({"server": {"name": "homeserver", "version": __version__}})

    def version(_: Request) -> Reply:
        return own_version

    def well_known(_: Request) -> Reply:
        if delegate_to is None:
            raise NotFound("this server delegates to no other name")
        return json_reply({"m.server": delegate_to.name})

    root, matrix, federation, first, dot, below = (JsonResource() for _ in range(6))
    root.putChild(b"_matrix", matrix)
    matrix.putChild(b"key", keys)
    matrix.putChild(b"federation", federation)
    federation.putChild(b"v1", first)
    first.putChild(
        b"version", JsonResource({b"GET": version}, "/_matrix/federation/v1/version")
    )
    first.putChild(b"send", SendTree(gate, receiver))
    first.putChild(b"query", QueryTree(gate, profiles))
    root.putChild(b".well-known", dot)
    dot.putChild(b"matrix", below)
    below.putChild(
        b"server", JsonResource({b"GET": well_known}, "/.well-known/matrix/server")
    )
    return root
