"""Faults of what our servers send: requests, and connections that they make.

Rules: those of `fault`. A request of `vary` means the same, and its signature is right;
one that is wrong on purpose stays as wrong as it was made.

Specification: as in `vary`; Server-server API, "Request Authentication".
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from homeserver.lab.faults import json_variants
from homeserver.lab.faults.fault import KeyChain
from homeserver.lab.faults.vary import MORE_HEADERS
from homeserver.net.exchange import Exchange
from homeserver.net.twisted_private import ClientRequest
from homeserver.outbound.agent import OutgoingRequest
from homeserver.protocol.canonical_json import Encoded
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix import FederationRequest

_CHUNK_BYTES = 7


class VariedRequest(OutgoingRequest, frozen=True):
    """A request in another form."""

    in_small_letters: bool = False
    in_reverse: bool = False
    is_old: bool = False
    has_chunks: bool = False

    def build(self) -> ClientRequest:
        """As `OutgoingRequest`."""
        body: Any = self.body
        if isinstance(body, bytes):
            body = _Pieces(body, is_whole=self.is_old or not self.has_chunks)
        request = _Request(
            self.method, self.target, self.headers, body, persistent=not self.is_old
        )
        request.style = self
        return request


class _Request(ClientRequest):
    """Writes its head in a style."""

    style: VariedRequest

    def writeTo(self, transport: Any) -> Deferred[None]:
        """As in Twisted."""
        done: Deferred[None] = super().writeTo(_Head(transport, self.style))
        return done


class _Head:
    """Stands for a transport, of which it changes what comes first: the head."""

    def __init__(self, inside: Any, style: VariedRequest) -> None:
        self._inside = inside
        self._style = style
        self._is_over = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inside, name)

    def writeSequence(self, lines: list[bytes]) -> None:
        """As `ITransport`."""
        if not self._is_over:
            self._is_over = True
            first, *headers, end = lines
            if self._style.is_old:
                first = first.replace(b"HTTP/1.1\r\n", b"HTTP/1.0\r\n")
            if self._style.in_reverse:
                headers.reverse()
            if self._style.in_small_letters:
                pairs = (each.partition(b":") for each in headers)
                headers = [name.lower() + b":" + value for name, _, value in pairs]
            lines = [first, *headers, end]
        self._inside.writeSequence(lines)


@implementer(IBodyProducer)
class _Pieces:
    """A body in pieces, whose length a request does not tell unless it is whole."""

    def __init__(self, body: bytes, *, is_whole: bool) -> None:
        self._body = body
        self.length = len(body) if is_whole else UNKNOWN_LENGTH

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """As `IBodyProducer`."""
        for start in range(0, len(self._body), _CHUNK_BYTES):
            consumer.write(self._body[start : start + _CHUNK_BYTES])
        return succeed(None)

    def pauseProducing(self) -> None:
        """As `IBodyProducer`; nothing is left to write."""

    def resumeProducing(self) -> None:
        """As `IBodyProducer`."""

    def stopProducing(self) -> None:
        """As `IBodyProducer`."""


DepartAct = Callable[[VariedRequest, Exchange, KeyChain], VariedRequest]


def _text(change: Callable[[bytes], bytes]) -> DepartAct:
    def act(request: VariedRequest, _: Exchange, __: KeyChain) -> VariedRequest:
        body = request.body
        return replace(request, body=change(body) if isinstance(body, bytes) else body)

    return act


def _styled(**members: bool) -> DepartAct:
    def act(request: VariedRequest, _: Exchange, __: KeyChain) -> VariedRequest:
        return replace(request, **members)

    return act


def _more_headers(request: VariedRequest, _: Exchange, __: KeyChain) -> VariedRequest:
    headers = request.headers.copy()
    for name, value in MORE_HEADERS:
        headers.addRawHeader(name, value)
    return replace(request, headers=headers)


def _slash(request: VariedRequest, exchange: Exchange, keys: KeyChain) -> VariedRequest:
    path, sign, query = request.target.partition(b"?")
    if path.endswith(b"/"):
        return request
    target = path + b"/" + sign + query
    sent = request.headers.getRawHeaders("Authorization", [])
    if not sent:
        return replace(request, target=target)
    if sent != _authorizations(request, request.target, exchange, keys):
        return request  # it is wrong on purpose
    headers = request.headers.copy()
    signed = _authorizations(request, target, exchange, keys)
    headers.setRawHeaders("Authorization", signed)
    return replace(request, target=target, headers=headers)


def _authorizations(
    request: VariedRequest, target: bytes, exchange: Exchange, keys: KeyChain
) -> list[str]:
    body = request.body
    signed = FederationRequest(
        request.method.decode("ascii"),
        target.decode("ascii"),
        ServerName.parse(exchange.server),
        ServerName.parse(str(exchange.peer)),
        Encoded(body) if isinstance(body, bytes) else None,
    )
    return [str(each) for each in signed.sign(keys.signing(exchange.server))]


DEPART_ACTS: Mapping[str, DepartAct] = {
    # The signature is over the usual form of the body, so this comes first.
    "vary.trailing-slash": _slash,
    "vary.member-order": _text(json_variants.reorder),
    "vary.escapes": _text(json_variants.escape),
    "vary.white-space": _text(json_variants.space_out),
    "vary.several-headers": _more_headers,
    "vary.header-order": _styled(in_reverse=True),
    "vary.header-case": _styled(in_small_letters=True),
    "vary.chunked": _styled(has_chunks=True),
    "vary.http-1.0": _styled(is_old=True),
}
"""What the faults of `vary` do to a request, in the order in which they act."""
