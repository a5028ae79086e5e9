"""One request of a server of ours to another server, with each part open to change.

Rules: the request goes over a verified connection, as all requests do, and is an
exchange in the record. What came of it is a value: an unreachable server is one, too.
The signature is made over what `sign` says, and the request is sent as the rest says;
where they differ, a right server refuses it.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType
from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers

from homeserver.identity.identity import Identity
from homeserver.net.cause import OURSELVES
from homeserver.net.exchange import Exchange, Exchanges, Message
from homeserver.net.time_limit import within
from homeserver.outbound.agent import FederationAgent, OutgoingRequest
from homeserver.outbound.client import TRANSPORT_ERRORS
from homeserver.outbound.transport.connection import (
    describe,
    read_body,
    text_of,
)
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import encode, encode_base64
from homeserver.protocol.errors import InvalidParam, quote
from homeserver.protocol.identifiers import ServerName, parse_key_id
from homeserver.protocol.shapes import not_one_of
from homeserver.protocol.signing import SigningKey

_MAX_REPLY_BYTES = 13_107_200  # as much as a request to us may have

_MAX_SECONDS = 600.0  # as long as any other wait of the lab

# The paths that no signature is for, unless `sign` is given.
_UNSIGNED = ("/_matrix/key/", "/.well-known/")

_SIGNED_MEMBERS = ("method", "uri", "origin", "destination", "content")


class SignBody(Struct, frozen=True, forbid_unknown_fields=True):
    """What is signed, where it differs from what is sent."""

    method: str | UnsetType = UNSET
    uri: str | UnsetType = UNSET
    origin: str | UnsetType = UNSET
    destination: str | UnsetType = UNSET
    content: object = UNSET
    key_id: Annotated[
        str | UnsetType,
        Meta(description="The ID that the header names; the first key signs for it."),
    ] = UNSET
    omit: Annotated[
        list[str],
        Meta(description="Members left out of the signed object."),
    ] = []

    def check(self) -> None:
        """Raise `InvalidParam` for a member that nothing signs."""
        for each in self.omit:
            if each not in _SIGNED_MEMBERS:
                raise InvalidParam(
                    "`sign.omit` has " + not_one_of(each, _SIGNED_MEMBERS)
                )


class RequestBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A request to send."""

    destination: Annotated[str, Meta(description="A server name.")]
    path: Annotated[str, Meta(pattern=r"^/[!-~]*$")]
    method: Annotated[str, Meta(pattern=r"^[A-Z]{1,20}$")] = "GET"
    query: Annotated[
        Annotated[str, Meta(pattern=r"^[!-~]*$")] | None,
        Meta(description="Without the `?`."),
    ] = None
    content: Annotated[object, Meta(description="The JSON of the body.")] = UNSET
    headers: Annotated[
        dict[str, str],
        Meta(description="Added, or in place of those of the same name."),
    ] = {}
    timeout: Annotated[float, Meta(gt=0, le=_MAX_SECONDS)] = 30.0
    sign: Annotated[
        SignBody | UnsetType | None,
        Meta(description="Null: no signature. By default, key documents have none."),
    ] = UNSET

    @property
    def target(self) -> str:
        """The path with the query."""
        return self.path if self.query is None else f"{self.path}?{self.query}"


class RequestView(Struct, frozen=True, kw_only=True):
    """What came of a request."""

    exchange: Annotated[int | None, Meta(description="Its ID in the record.")]
    status: Annotated[int | None, Meta(description="Null: there was no response.")]
    headers: list[tuple[str, str]] = []
    content: Annotated[
        object, Meta(description="The JSON of the response; a text if it is no JSON.")
    ] = None
    seconds: float = 0.0
    verified_by: str | None = None
    route: str | None = None
    remarks: Sequence[str] = ()
    reason: str | UnsetType = UNSET
    error: str | UnsetType = UNSET


async def send_request(
    body: RequestBody,
    identity: Identity,
    agent: FederationAgent,
    exchanges: Exchanges,
    clock: IReactorTime,
) -> tuple[Exchange, RequestView]:
    """Send a request now; raises `InvalidParam` for one that cannot be written.

    `exchange` of the result is None: the caller knows the record.
    """
    destination = ServerName.parse(body.destination)
    outgoing = build_request(body, identity, destination)
    exchange = exchanges.open("request", "out", body.method, body.path)
    exchange.server, exchange.peer = identity.server_name.name, destination.name

    async def call() -> RequestView:
        response, _ = await agent.send(destination, outgoing, OURSELVES, exchange)
        data = await read_body(response, _MAX_REPLY_BYTES)
        exchange.mark("body")
        exchange.status = response.code
        headers = list(text_of(response.headers))
        if exchange.details is not None:
            exchange.details.response = Message.of(headers, data)
        return RequestView(
            exchange=None,
            status=response.code,
            headers=headers,
            content=_content(data),
        )

    view = RequestView(exchange=None, status=None)
    try:
        view = await within(body.timeout, clock, call())
    except defer.TimeoutError:
        exchange.reason = "timeout"
        exchange.error = f"no answer within {body.timeout:g} seconds"
    except Unreachable as problem:
        exchange.reason, exchange.error = problem.reason, str(problem)
    except TRANSPORT_ERRORS as problem:
        exchange.reason, exchange.error = "no_answer", describe(problem)
    finally:
        exchange.close(exchange.status)
    return exchange, msgspec.structs.replace(
        view,
        seconds=exchange.seconds,
        verified_by=exchange.verified_by,
        route=exchange.via,
        reason=UNSET if exchange.reason is None else exchange.reason,
        error=UNSET if exchange.error is None else exchange.error,
    )


def build_request(
    body: RequestBody, identity: Identity, destination: ServerName
) -> OutgoingRequest:
    """The request as it goes out; raises `InvalidParam`."""
    headers = Headers()
    data: bytes | None = None
    if body.content is not UNSET:
        data = msgspec.json.encode(body.content, order="sorted")
        headers.setRawHeaders("Content-Type", ["application/json"])
    for authorization in _authorizations(body, identity, destination):
        headers.addRawHeader("Authorization", authorization)
    for name, value in body.headers.items():
        _set_header(headers, name, value)
    return OutgoingRequest(
        body.method.encode("ascii"), body.target.encode("ascii"), headers, data
    )


def _set_header(headers: Headers, name: str, value: str) -> None:
    if not name.isascii() or not value.isprintable():
        raise InvalidParam(f"`headers`: {quote(name)} cannot be sent")
    try:
        headers.setRawHeaders(name, [value])
    except ValueError:
        raise InvalidParam(f"`headers`: {quote(name)} is not a header") from None


def _authorizations(
    body: RequestBody, identity: Identity, destination: ServerName
) -> list[str]:
    sign = body.sign
    if isinstance(sign, UnsetType):
        sign = None if body.path.startswith(_UNSIGNED) else SignBody()
    if sign is None:
        return []
    sign.check()
    signed: dict[str, object] = {
        "method": _or(sign.method, body.method),
        "uri": _or(sign.uri, body.target),
        "origin": _or(sign.origin, identity.server_name.name),
        "destination": _or(sign.destination, destination.name),
    }
    content = _or(sign.content, body.content)
    if content is not UNSET:
        signed["content"] = content
    for each in sign.omit:
        signed.pop(each, None)
    keys = list(identity.signing_keys)
    if not isinstance(sign.key_id, UnsetType):
        keys = [_named(keys, sign.key_id)]
    message = encode(signed)
    return [_header(signed, key, encode_base64(key.sign(message))) for key in keys]


def _named(keys: Sequence[SigningKey], text: str) -> SigningKey:
    """The key of an ID, or the first key under a foreign one."""
    key_id = parse_key_id(text)
    for key in keys:
        if key.key_id == key_id:
            return key
    return SigningKey(key_id, keys[0].key)


def _header(signed: Mapping[str, object], key: SigningKey, signature: str) -> str:
    parts = [
        (name, signed[name]) for name in ("origin", "destination") if name in signed
    ]
    parts += [("key", key.key_id), ("sig", signature)]
    return "X-Matrix " + ",".join(f'{name}="{value}"' for name, value in parts)


def _or(value: object, default: object) -> object:
    return default if value is UNSET else value


def _content(data: bytes) -> object:
    """The JSON of a response, or its text."""
    if not data:
        return None
    try:
        msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return data.decode("utf-8", "replace")
    return Raw(data)
