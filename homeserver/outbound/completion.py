"""The end of one request: its response in time, or why there is none.

Rules: whatever the connection does is `Unreachable`, and is written into the exchange.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import defer, error
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import (
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)

from homeserver.net.connection_errors import describe
from homeserver.net.exchange import Exchange
from homeserver.net.time_limit import within
from homeserver.net.twisted_private import RequestNotSent
from homeserver.outbound.transport.connector import Unreachable, VerifiedConnection
from homeserver.outbound.transport.response import Response, ResponseTooLarge
from homeserver.protocol.identifiers import ServerName

TRANSPORT_ERRORS = (
    error.ConnectionClosed,
    defer.CancelledError,
    defer.TimeoutError,
    RequestGenerationFailed,
    RequestNotSent,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseTooLarge,
)

Send = Callable[[], Coroutine[Any, Any, tuple[Response, VerifiedConnection]]]
"""Sends one request, and reads its response."""


async def complete(
    send: Send,
    destination: ServerName,
    asked: str,
    exchange: Exchange,
    seconds: float,
    clock: IReactorTime,
) -> tuple[Response, VerifiedConnection]:
    """What `send` returns in so many seconds; raises `Unreachable`.

    `asked` is the method and the target of the request.
    """
    exchange.peer = destination.name
    try:
        return await within(seconds, clock, send())
    except TRANSPORT_ERRORS as problem:
        way = ""
        if exchange.is_proven:
            way = f"{exchange.via}: {exchange.address}: "
        failure = Unreachable(
            destination,
            [f"{way}{asked}: {describe(problem)}"],
            "no_answer" if exchange.is_proven else "not_verified",
        )
        _note_failure(exchange, failure)
        raise failure from None
    except Unreachable as problem:
        _note_failure(exchange, problem)
        raise


def _note_failure(exchange: Exchange, problem: Unreachable) -> None:
    exchange.reason = problem.reasons[0] if problem.reasons else problem.reason
    exchange.error = str(problem)
