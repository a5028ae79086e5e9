"""Faults of HTTP: of any answer, whatever it is about.

Rules: those of `fault`. They stand in the order in which they act: the first ones wrap
the later ones, and the last ones do no work.
"""

import gzip
from collections.abc import Mapping
from http import HTTPStatus
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.task import deferLater

from homeserver.http.reply import Reply, error_reply
from homeserver.lab.faults.fault import (
    Act,
    Case,
    Continue,
    Fault,
    Unanswered,
    flag,
    json_value,
    seconds,
    text,
    whole,
    with_body,
    with_headers,
)
from homeserver.lab.faults.wire import wire_of
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.errors import BadJson

_MAX_LENGTH = 2**40  # of a body that is announced and not sent
_OURS = ("content-length", "transfer-encoding", "connection")

_RETRIES = "It retries later, with the same transaction ID and the same bytes."
_FAILS = "It takes the request as failed, and stays up."


async def _gone(case: Case) -> None:
    """Wait until the client has gone."""
    ended: Deferred[None] = case.request.notifyFinish()
    ended.addErrback(lambda _: None)
    await ended


def _transport(case: Case) -> ITCPTransport:
    return cast("ITCPTransport", case.request.channel.transport)


async def _delay(value: object, go_on: Continue, case: Case) -> Reply:
    await deferLater(case.clock, cast("float", value))
    return await go_on()


async def _drop_request(_: object, __: Continue, case: Case) -> Reply:
    _transport(case).abortConnection()
    raise Unanswered


async def _drop_reply(_: object, go_on: Continue, case: Case) -> Reply:
    await go_on()
    _transport(case).abortConnection()
    raise Unanswered


async def silence(_: object, __: Continue, case: Case) -> Reply:
    """Answer nothing, for as long as the client waits."""
    await _gone(case)
    raise Unanswered


async def _truncate(_: object, go_on: Continue, case: Case) -> Reply:
    reply = await go_on()
    channel = case.request.channel  # a finished request does not know it any more
    case.request.notifyFinish().addCallbacks(
        lambda _: channel.loseConnection(), lambda _: None
    )
    cut = with_body(reply, reply.body[: len(reply.body) // 2])
    return with_headers(cut, Content_Length=str(len(reply.body)))


async def _delay_body(value: object, go_on: Continue, case: Case) -> Reply:
    reply = await go_on()
    wire_of(case).body_delay = cast("float", value)
    return reply


async def _chunked_cut(_: object, go_on: Continue, case: Case) -> Reply:
    reply = await go_on()
    wire = wire_of(case)
    wire.has_chunks = wire.is_cut = True
    return reply


async def _interim(_: object, go_on: Continue, case: Case) -> Reply:
    reply = await go_on()
    wire_of(case).has_interim = True
    return reply


async def _wrong_length(value: object, go_on: Continue, _: Case) -> Reply:
    return with_headers(await go_on(), Content_Length=str(value))


async def _add_retry_after(value: object, go_on: Continue, _: Case) -> Reply:
    return with_headers(await go_on(), Retry_After=str(value))


async def _header(value: object, go_on: Continue, _: Case) -> Reply:
    reply = await go_on()
    headers = cast("Mapping[str, str]", value)
    return Reply(reply.body, reply.status, {**reply.headers, **headers})


async def _gzip(_: object, go_on: Continue, __: Case) -> Reply:
    reply = await go_on()
    packed = with_body(reply, gzip.compress(reply.body, mtime=0))
    return with_headers(packed, Content_Encoding="gzip")


async def _wrong_type(_: object, go_on: Continue, __: Case) -> Reply:
    return with_headers(await go_on(), Content_Type="text/html")


async def _bad_json(_: object, go_on: Continue, __: Case) -> Reply:
    reply = await go_on()
    return with_body(reply, reply.body[:-1])


async def _empty(_: object, go_on: Continue, __: Case) -> Reply:
    return with_body(await go_on(), b"")


async def _body(value: object, go_on: Continue, _: Case) -> Reply:
    return with_body(await go_on(), encode(value))


async def _errcode(value: object, go_on: Continue, _: Case) -> Reply:
    reply = await go_on()
    status = max(reply.status, 400)
    return error_reply(status, str(value), "a rule of the lab says so")


async def _redirect(value: object, _: Continue, __: Case) -> Reply:
    return Reply(b"{}", 307, {"Location": str(value)})


async def _answer_status(value: object, _: Continue, __: Case) -> Reply:
    status = cast("int", value)
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "a status without a name"
    return error_reply(status, "M_UNKNOWN", f"{phrase}: a rule of the lab says so")


def _check_headers(value: object) -> object:
    if not isinstance(value, dict) or not value:
        raise BadJson("`http.header` is an object of headers")
    for name, each in value.items():
        text("http.header")(each)
        if not all(c.isalnum() or c in "-_" for c in name) or not name.isascii():
            raise BadJson("`http.header`: the name of a header has letters and `-`")
        if name.lower() in _OURS:
            raise BadJson(f"`http.header`: {name} has a fault of its own")
    return value


def _plain(name: str, summary: str, right: str, act: Act) -> tuple[str, Fault[Act]]:
    return name, Fault(summary, right, flag(name), act)


HTTP_FAULTS: Mapping[str, Fault[Act]] = {
    "http.delay": Fault(
        "The answer is delayed by this number of seconds, before any work is done.",
        "It waits up to its time-out, and serves others meanwhile.",
        seconds("http.delay"),
        _delay,
        "seconds",
    ),
    **dict(
        [
            _plain(
                "http.silence",
                "There is no answer, and no work is done.",
                "It gives up after its time-out, and retries later.",
                silence,
            ),
            _plain(
                "http.drop-request",
                "The connection ends before any work is done.",
                _RETRIES,
                _drop_request,
            ),
            _plain(
                "http.drop-reply",
                "The work is done, and the connection ends without an answer.",
                _RETRIES,
                _drop_reply,
            ),
            _plain(
                "http.truncate",
                "The connection ends after half of the body.",
                _RETRIES,
                _truncate,
            ),
        ]
    ),
    "http.delay-body": Fault(
        "The head comes at once, and the body after this number of seconds.",
        "It waits up to its time-out, and serves others meanwhile.",
        seconds("http.delay-body"),
        _delay_body,
        "seconds",
    ),
    **dict(
        [
            _plain(
                "http.chunked-cut",
                "The body comes in chunks, and the connection ends in one of them.",
                _RETRIES,
                _chunked_cut,
            ),
            _plain(
                "http.100-continue",
                "A response `100 Continue` comes first, although nothing asked for it.",
                "It skips interim responses.",
                _interim,
            ),
        ]
    ),
    "http.wrong-length": Fault(
        "`Content-Length` is this number; the body stays as it is.",
        _FAILS,
        whole("http.wrong-length", 0, _MAX_LENGTH),
        _wrong_length,
        "bytes",
    ),
    "http.retry-after": Fault(
        "The answer says `Retry-After`, in seconds.",
        "It sends nothing to the server for so long.",
        whole("http.retry-after", 0, 10**9),
        _add_retry_after,
        "seconds",
    ),
    "http.header": Fault(
        "The answer has these headers too.",
        "It ignores what it does not know.",
        _check_headers,
        _header,
        "an object of headers",
    ),
    **dict(
        [
            _plain(
                "http.gzip",
                "The body is packed, although nothing asked for that.",
                "It unpacks the body, or takes the request as failed.",
                _gzip,
            ),
            _plain(
                "http.wrong-type",
                "`Content-Type` is `text/html`.",
                "It reads the body all the same, or takes the request as failed.",
                _wrong_type,
            ),
            _plain("http.bad-json", "The body lacks its last byte.", _FAILS, _bad_json),
            _plain("http.empty", "The body is empty.", _FAILS, _empty),
        ]
    ),
    "http.body": Fault(
        "The body is this JSON.", _FAILS, json_value("http.body"), _body, "JSON"
    ),
    "http.errcode": Fault(
        "The answer is an error with this code, and status 400 if it was none.",
        "It goes by the status, and knows no code that it does not expect.",
        text("http.errcode"),
        _errcode,
        "text",
    ),
    "http.redirect": Fault(
        "The answer is a redirect to this URL, and no work is done.",
        "It follows no redirect in federation.",
        text("http.redirect"),
        _redirect,
        "URL",
    ),
    "http.status": Fault(
        "The answer is an error with this status, and no work is done.",
        "It retries after 5xx and 429, and gives other requests up.",
        whole("http.status", 200, 599),
        _answer_status,
        "status",
    ),
}
"""In the order in which they act."""
