"""Answers requests: whatever an answer returns or raises becomes a response.

Rules: what is raised becomes a response here and nowhere else: a peer's fault with its
reason, an unavailable store as 503, everything else as a 500 without a reason. The
exchange of a request without a response is closed here, that of another one by its
connection, once the response has left.

Specification: Server-server API, "API standards".
"""

from collections.abc import Awaitable

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.http.reply import (
    NO_REPLY,
    SERVER,
    Reply,
    error_reply,
    internal_error,
    refusal,
)
from homeserver.http.request import Request
from homeserver.http.router import Answer
from homeserver.net.exchange import Exchange
from homeserver.net.handled import handled
from homeserver.protocol.errors import ProtocolError
from homeserver.storage.engine.interface import StoreUnavailable

_SERVER = SERVER.encode()

_log = Logger()


def respond(request: Request, exchange: Exchange, answer: Answer) -> None:
    """Respond with what `answer` returns: at once, or when its coroutine is done."""
    try:
        reply = answer(request)
    except Exception as problem:  # noqa: BLE001 - each of them is answered
        reply = _error(exchange, problem)
    if isinstance(reply, Reply):
        _end(request, exchange, reply)
        return
    Deferred.fromCoroutine(_respond_later(request, exchange, reply)).addErrback(
        lambda failure: _log.failure("a response was not sent", failure)
    )


async def _respond_later(
    request: Request, exchange: Exchange, answer: Awaitable[Reply]
) -> None:
    gone: list[object] = []
    request.notifyFinish().addErrback(gone.append)
    try:
        reply = await answer
    except Exception as problem:  # noqa: BLE001 - each of them is answered
        reply = _error(exchange, problem)
    exchange.is_gone = bool(gone)
    _end(request, exchange, reply)


def _error(exchange: Exchange, problem: Exception) -> Reply:
    if isinstance(problem, ProtocolError):
        return refusal(exchange, handled(problem))
    if isinstance(problem, StoreUnavailable):
        handled(problem)
        exchange.errcode, exchange.error = "M_UNKNOWN", str(problem)
        return error_reply(503, "M_UNKNOWN", "the store is not available")
    # The log has the reason; the peer gets none.
    _log.failure("internal error", Failure(problem))
    return internal_error(exchange)


def _end(request: Request, exchange: Exchange, reply: Reply) -> None:
    if request.is_refused:
        return  # it was answered, to make room, while its answer was being made
    if reply is NO_REPLY:
        exchange.close()
    elif exchange.is_gone:
        exchange.close(reply.status)
    else:
        request.is_answered = True
        _write(request, reply)


def _write(request: Request, reply: Reply) -> None:
    request.setResponseCode(reply.status)
    headers = request.responseHeaders
    headers.setRawHeaders(b"Server", [_SERVER])
    headers.setRawHeaders(b"Content-Type", [b"application/json"])
    # With a length, the body is never chunked: servers of 2014 read no chunks.
    headers.setRawHeaders(b"Content-Length", [b"%d" % len(reply.body)])
    for name, value in reply.headers.items():
        request.setHeader(name.encode("ascii"), value.encode("ascii"))
    request.write(reply.body)
    request.finish()
