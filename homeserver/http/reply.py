"""Replies in JSON, and errors in the form that Matrix gives all errors.

Rules: every error has a JSON body. A `ProtocolError` becomes a reply here and nowhere
else.

Specification: Server-server API, "API standards"; Client-server API, "Standard error
response".
"""

from collections.abc import Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from homeserver import __version__
from homeserver.net.exchange import Exchange
from homeserver.protocol.canonical_json import Json, encode, parse_object
from homeserver.protocol.errors import LimitExceeded, MethodNotAllowed, ProtocolError

SERVER = f"homeserver/{__version__}"

# A sentence with two hints, each with two texts. The log has the whole reason.
_MAX_ERROR_BYTES = 2048


class Reply(Struct, frozen=True):
    """The reply to a request."""

    body: bytes
    """JSON, unless `headers` has another `Content-Type`."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


NO_REPLY = Reply(b"", 0)
"""Stands for a reply where nothing is sent."""


def json_reply(value: Json, status: int = 200) -> Reply:
    """A JSON object as a reply."""
    return Reply(encode(value), status)


def refusal(exchange: Exchange, problem: ProtocolError) -> Reply:
    """The reply to a request that broke a rule; the reason goes into its exchange."""
    exchange.errcode = problem.errcode
    exchange.error = problem.explanation.in_full
    reply = error_reply(
        problem.status, problem.errcode, str(problem), _headers(problem)
    )
    if not problem.members:
        return reply
    return replace(reply, body=encode({**parse_object(reply.body), **problem.members}))


def _headers(problem: ProtocolError) -> dict[str, str]:
    if isinstance(problem, LimitExceeded):
        return {"Retry-After": str(problem.retry_after)}
    if isinstance(problem, MethodNotAllowed):
        return {"Allow": ", ".join(problem.allowed)}
    return {}


def internal_error(exchange: Exchange) -> Reply:
    """The reply to a request that failed here, without the reason: the log has it."""
    exchange.errcode, exchange.error = "M_UNKNOWN", "internal error"
    return error_reply(500, exchange.errcode, exchange.error)


def error_reply(
    status: int, errcode: str, why: str, headers: Mapping[str, str] | None = None
) -> Reply:
    """An error; its reason is shortened until the body fits into two kilobytes."""
    body = encode({"errcode": errcode, "error": why})
    while len(body) > _MAX_ERROR_BYTES:
        why = why[: len(why) * 3 // 4]
        body = encode({"errcode": errcode, "error": f"{why}..."})
    return Reply(body, status, headers or {})
