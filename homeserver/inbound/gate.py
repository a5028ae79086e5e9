"""The gate of signed routes: authentication before a route's answer is called.

Rules: the signature is verified over the target as it is on the wire. The head of a
request is checked first, so that most bad requests are refused before their body is
sent. Every refusal is recorded.

Specification: Server-server API, "Request Authentication".
"""

import os
from collections.abc import Awaitable, Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from homeserver.http.rate_limit import TokenBuckets
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.http.router import Answer, Route
from homeserver.inbound.authentication import (
    Authenticator,
    Body,
    ProvenOrigin,
    claimed_origin,
    failure_of,
)
from homeserver.inbound.client_certificates import ShownCertificate
from homeserver.inbound.refusals import Refusals
from homeserver.net.cause import Cause
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import NotJson, ProtocolError, quote
from homeserver.protocol.identifiers import ServerName

SignedAnswer = Callable[[Request, ProvenOrigin, Json | None], Awaitable[Reply]]
"""Answers an authenticated request, with its body."""

# A body that fails authentication costs its client a token for each 16 KiB: reading and
# verifying ten megabytes takes 150 ms of CPU. So one client costs at most half a second
# at once and a hundredth of a core in the long run, and a server whose signatures are
# wrong still gets fifty refusals a second.
_TOKEN_BYTES = 16384
_UNPROVEN = 1000
_UNPROVEN_PER_SECOND = 50

_READ = frozenset(
    {"malformed_body", "bad_signature"}
)  # failures found after the body was read


class XMatrixGate:
    """Admits authenticated requests, and records the refused ones."""

    def __init__(
        self,
        authenticator: Authenticator,
        refusals: Refusals,
        heard: Callable[[ServerName], object],
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`heard` is called with each authenticated origin, as that server is up.

        Unproven bodies of the clients that `trusts` names are not limited.
        """
        self._authenticator = authenticator
        self._refusals = refusals
        self._heard = heard
        self._unproven = TokenBuckets(
            _UNPROVEN, _UNPROVEN_PER_SECOND, clock, "unproven bodies", trusts
        )
        self.bound = self._unproven.bound

    def admit(self, request: Request) -> None:
        """Raise `ProtocolError` for a request whose head is not acceptable."""
        headers = _headers(request)
        try:
            self._authenticator.check_head(headers)
            self._unproven.check(request.getClientAddress().host)
        except ProtocolError as problem:
            self._note(request, headers, problem)
            raise

    def route(self, method: str, template: str, answer: SignedAnswer) -> Route:
        """A route that calls `answer` for authenticated requests."""
        return Route(method, template, self._authenticated(answer), self.admit)

    def _authenticated(self, answer: SignedAnswer) -> Answer:

        async def authenticated(request: Request) -> Reply:
            exchange = request.exchange
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
                    cause_of(request),
                )
                exchange.peer, exchange.is_proven = origin.server_name.name, True
                exchange.mark("authentication")
                self._heard(origin.server_name)
                return await answer(request, origin, content)
            except ProtocolError as problem:
                if length and failure_of(problem) in _READ and not exchange.is_proven:
                    client = request.getClientAddress().host
                    self._unproven.charge(client, 1 + length // _TOKEN_BYTES)
                if not request.is_refused:
                    self._note(request, headers, problem)
                raise

        return authenticated

    def _note(
        self, request: Request, headers: Sequence[str], problem: ProtocolError
    ) -> None:
        """Record a refused request."""
        exchange = request.exchange
        if exchange.is_proven:
            exchange.reason = "content"
        else:
            exchange.peer = claimed_origin(headers)
            exchange.reason = failure_of(problem)
        self._refusals.record(request, problem)


def _headers(request: Request) -> list[str]:
    lines = request.requestHeaders.getRawHeaders(b"Authorization", [])
    return [line.decode("ascii", "replace") for line in lines]


def cause_of(request: Request) -> Cause:
    """The client of a request, to which work is charged."""
    return Cause(request.getClientAddress().host)


def _body(request: Request) -> Body:
    """The body of a request; raises `NotJson` if it has a Content-Encoding."""
    encoding = request.getHeader(b"Content-Encoding")
    if encoding not in {None, b"identity"}:
        raise NotJson(
            f"the body has the Content-Encoding {quote(encoding)}; send the JSON "
            "without one"
        )
    content = request.content
    if content is None:
        return Body(0, bytes)

    def read() -> bytes:
        if content.closed:
            raise ProtocolError("the client disconnected before its body was read")
        content.seek(0)
        data: bytes = content.read()
        return data

    return Body(content.seek(0, os.SEEK_END), read)
