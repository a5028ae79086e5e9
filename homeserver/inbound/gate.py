"""The gate of signed routes: authentication before a route's answer is called.

Rules: the signature is verified over the target as it is on the wire. The head of a
request is checked first, so that most bad requests are refused before their body is
sent. Every refusal is recorded, with what the peer has to change where that is found:
a diagnosis comes after the refusal and never undoes it.

Specification: Server-server API, "Request Authentication".
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from twisted.internet.interfaces import IReactorTime

from homeserver.http.rate_limit import TokenBuckets
from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.inbound.authentication import (
    Authenticator,
    Body,
    ProvenOrigin,
    claimed_origin,
    failure_of,
    readable,
)
from homeserver.inbound.client_certificates import ShownCertificate
from homeserver.inbound.diagnoses import Diagnoses, Evidence, is_by_signature
from homeserver.inbound.refusals import Refusals
from homeserver.net.cause import Cause
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.diagnosis.hint import Hint, as_sentence
from homeserver.protocol.diagnosis.request_parts import (
    MAX_BODY_BYTES,
    ReceivedRequest,
)
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


def count_unproven(
    clock: IReactorTime, trusts: Callable[[str], bool] = lambda _: False
) -> TokenBuckets:
    """The budgets of clients for bodies that fail authentication, for all our servers.

    The clients that `trusts` names have no limit.
    """
    return TokenBuckets(
        _UNPROVEN, _UNPROVEN_PER_SECOND, clock, "unproven bodies", trusts
    )


class XMatrixGate:
    """Admits authenticated requests, and records the refused ones."""

    def __init__(
        self,
        authenticator: Authenticator,
        refusals: Refusals,
        heard: Callable[[ServerName], object],
        diagnoses: Diagnoses,
        unproven: TokenBuckets,
    ) -> None:
        """`heard` is called with each authenticated origin, as that server is up.

        `unproven` is charged for the bodies that fail authentication.
        """
        self._authenticator = authenticator
        self._refusals = refusals
        self._heard = heard
        self._diagnoses = diagnoses
        self._unproven = unproven

    def admit(self, request: Request) -> None:
        """Raise `ProtocolError` for a request whose head is not acceptable."""
        headers = authorizations_of(request)
        try:
            self._authenticator.check_head(headers)
            self._unproven.check(request.getClientAddress().host)
        except ProtocolError as problem:
            raise self._refuse(request, headers, problem) from None

    async def answer(self, request: Request, answer: SignedAnswer) -> Reply:
        """The reply of `answer` to an authenticated request; raises `ProtocolError`."""
        exchange = request.exchange
        headers = authorizations_of(request)
        body: Body | None = None
        try:
            body = _body(request)
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
            if request.is_refused:
                raise
            if exchange.is_proven or body is None:
                raise self._refuse(request, headers, problem) from None
            raise await self._unproven_request(
                request, headers, body, problem
            ) from None

    async def _unproven_request(
        self,
        request: Request,
        headers: Sequence[str],
        body: Body,
        problem: ProtocolError,
    ) -> ProtocolError:
        """Refuse a request whose origin is not proven; returns what to raise."""
        address = request.getClientAddress().host
        if body.length and failure_of(problem) in _READ:
            self._unproven.charge(address, 1 + body.length // _TOKEN_BYTES)
        if not is_by_signature(problem):
            return self._refuse(request, headers, problem)
        evidence = self._evidence(request, headers, body)
        hints = await self._diagnoses.of_request(evidence, address)
        if hints is not None:
            request.exchange.hints = hints
            return self._refuse(request, headers, problem)
        return self._refuse(request, headers, problem, evidence)

    def _evidence(
        self, request: Request, headers: Sequence[str], body: Body
    ) -> Evidence:
        host = request.getHeader(b"Host")
        data = bytes(MAX_BODY_BYTES + 1)  # that it is too large is all that matters
        if body.length <= MAX_BODY_BYTES:
            with suppress(ProtocolError):  # the client is gone, and its body
                data = body.read()
        return Evidence(
            ReceivedRequest(
                request.method.decode("ascii", "replace"),
                request.uri.decode("ascii", "replace"),
                data,
                self._authenticator.own_name,
                [] if host is None else [host.decode("ascii", "replace")],
            ),
            readable(headers),
        )

    def _refuse(
        self,
        request: Request,
        headers: Sequence[str],
        problem: ProtocolError,
        evidence: Evidence | None = None,
    ) -> ProtocolError:
        """Record a refused request; returns the problem with what has to change.

        The hints on `evidence` are not known yet.
        """
        exchange = request.exchange
        if exchange.is_proven:
            exchange.reason = "content"
        else:
            exchange.peer = claimed_origin(headers)
            exchange.reason = failure_of(problem)
        exchange.hints = exchange.hints or self._diagnoses.of_head(
            headers, readable(headers), self._authenticator.own_name, problem
        )
        self._refusals.record(request, problem, evidence)
        return _with_hints(problem, exchange.hints)


def _with_hints(problem: ProtocolError, hints: Sequence[Hint]) -> ProtocolError:
    """The same problem, with hints at the end of what is told."""
    if not hints:
        return problem
    said = as_sentence(hints)
    why = problem.explanation
    return type(problem)(why.public + said, why.in_full + said)


def authorizations_of(request: Request) -> list[str]:
    """The values of the `Authorization` headers of a request."""
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
