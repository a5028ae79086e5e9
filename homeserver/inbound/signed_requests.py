"""Signed requests: authentication before a route's answer is called.

Rules: the signature is verified over the target as it is on the wire. Every refusal is
recorded (`gate`), with what the peer has to change where that is found: a diagnosis
comes after the refusal and never undoes it.

Specification: Server-server API, "Request Authentication".
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from msgspec.structs import replace

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.inbound.authentication import (
    Authenticator,
    Body,
    ProvenOrigin,
    failure_of,
)
from homeserver.inbound.diagnoses import Diagnoses, Evidence, is_by_signature
from homeserver.inbound.gate import XMatrixGate
from homeserver.inbound.head_remarks import remarks_on_head
from homeserver.inbound.request_counts import RequestCounts
from homeserver.net.cause import Cause
from homeserver.net.tls.shown_certificate import ShownCertificate
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.diagnosis.request_parts import (
    MAX_BODY_BYTES,
    ReceivedRequest,
)
from homeserver.protocol.errors import NotJson, ProtocolError, quote
from homeserver.protocol.identifiers import ServerName

SignedAnswer = Callable[[Request, ProvenOrigin, Json | None], Awaitable[Reply]]
"""Answers an authenticated request, with its body."""

# The failures that are found after the body was read.
_AFTER_READING = frozenset({"malformed_body", "bad_signature"})


class SignedRequests:
    """Answers the authenticated requests to one of our servers."""

    def __init__(
        self,
        gate: XMatrixGate,
        authenticator: Authenticator,
        heard: Callable[[ServerName], object],
        diagnoses: Diagnoses,
    ) -> None:
        """`heard` is called with each authenticated origin, as that server is up."""
        self.gate = gate
        self._authenticator = authenticator
        self._heard = heard
        self._diagnoses = diagnoses
        self.counts = RequestCounts()

    async def answer(self, request: Request, answer: SignedAnswer) -> Reply:
        """The reply of `answer` to an authenticated request; raises `ProtocolError`."""
        exchange = request.exchange
        transport = request.channel.transport  # a request that has ended has no channel
        body: Body | None = None
        try:
            body = _body(request)
            origin, content = await self._authenticator.authenticate(
                request.method.decode("ascii", "replace"),
                request.uri.decode("ascii", "replace"),
                request.x_matrix,
                body,
                ShownCertificate.on(transport),
                cause_of(request),
            )
            exchange.peer, exchange.is_proven = origin.server_name.name, True
            exchange.mark("authentication")
            remarks = remarks_on_head(request.x_matrix, self.gate.own_name, transport)
            exchange.remarks = [*exchange.remarks, *remarks]
            origin = replace(origin, remarks=exchange.remarks)
            self._heard(origin.server_name)
            self.counts.add(origin.server_name, exchange.method, exchange.route)
            return await answer(request, origin, content)
        except ProtocolError as problem:
            if request.is_refused:
                raise
            if exchange.is_proven or body is None:
                raise self.gate.refuse(request, problem) from None
            raise await self._unproven_request(request, body, problem) from None

    async def _unproven_request(
        self,
        request: Request,
        body: Body,
        problem: ProtocolError,
    ) -> ProtocolError:
        """Refuse a request whose origin is not proven; returns what to raise."""
        address = request.getClientAddress().host
        if body.length and failure_of(problem) in _AFTER_READING:
            self.gate.charge(address, body.length)
        if not is_by_signature(problem):
            return self.gate.refuse(request, problem)
        evidence = self._evidence(request, body)
        hints = await self._diagnoses.of_request(evidence, address)
        if hints is not None:
            request.exchange.hints = hints
            return self.gate.refuse(request, problem)
        return self.gate.refuse(request, problem, evidence)

    def _evidence(self, request: Request, body: Body) -> Evidence:
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
                self.gate.own_name,
                [] if host is None else [host.decode("ascii", "replace")],
            ),
            request.x_matrix.readable,
        )


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
