"""Faults of the document at `/.well-known/matrix/server`.

Rules: those of `fault`. They take the place of what the server is told to serve.

Specification: Server-server API, "Resolving server names".
"""

from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import parse_qs

from homeserver.http.reply import Reply, error_reply, json_reply
from homeserver.lab.faults.fault import (
    Act,
    Case,
    Continue,
    Fault,
    flag,
    text,
    whole,
    with_headers,
)
from homeserver.lab.faults.http import silence

PATH = "/.well-known/matrix/server"

_LARGE = 10_000_000  # bytes; the documents have about thirty
_MAX_REDIRECTS = 100  # clients follow ten or thirty

_NO_DELEGATION = "It takes the name as not delegated, and goes on with SRV records."
_FOLLOWS = "It follows some redirects, and then takes the name as not delegated."


def _answered(build: Callable[[object], Reply]) -> Act:
    async def act(value: object, _: Continue, __: Case) -> Reply:
        return build(value)

    return act


def _redirected(location: str) -> Reply:
    return Reply(b"{}", 302, {"Location": location})


async def _redirect(value: object, go_on: Continue, case: Case) -> Reply:
    query = case.request.uri.partition(b"?")[2].decode("ascii", "replace")
    text_of_hop = parse_qs(query).get("hop", ["0"])[0]
    hop = int(text_of_hop) if text_of_hop.isascii() and text_of_hop.isdigit() else 0
    if hop >= cast("int", value):
        return await go_on()
    return _redirected(f"{PATH}?hop={hop + 1}")


async def _redirect_http(_: object, __: Continue, case: Case) -> Reply:
    host = case.request.getHeader(b"Host") or case.server.encode("ascii")
    return _redirected(f"http://{host.decode('ascii', 'replace')}{PATH}")


async def _cache(value: object, go_on: Continue, _: Case) -> Reply:
    return with_headers(await go_on(), Cache_Control=str(value))


def _plain(
    name: str, summary: str, act: Act, right: str = _NO_DELEGATION
) -> tuple[str, Fault[Act]]:
    full = f"well-known.{name}"
    return full, Fault(summary, right, flag(full), act, routes=(PATH,))


WELL_KNOWN_FAULTS: Mapping[str, Fault[Act]] = {
    **dict(
        [
            _plain("silence", "There is no answer.", silence),
            _plain(
                "404",
                "The answer is 404.",
                _answered(lambda _: error_reply(404, "M_NOT_FOUND", "a rule says so")),
            ),
            _plain(
                "500",
                "The answer is 500.",
                _answered(lambda _: error_reply(500, "M_UNKNOWN", "a rule says so")),
            ),
            _plain(
                "not-json",
                "The body is a page of HTML.",
                _answered(
                    lambda _: Reply(
                        b"<html></html>", headers={"Content-Type": "text/html"}
                    )
                ),
            ),
            _plain(
                "wrong-type",
                "`m.server` is a number.",
                _answered(lambda _: json_reply({"m.server": 8448})),
            ),
            _plain(
                "too-large",
                "The document has ten megabytes.",
                _answered(lambda _: json_reply({"m.server": "a" * _LARGE})),
            ),
            _plain(
                "redirect-loop",
                "The document leads to itself.",
                _answered(lambda _: _redirected(PATH)),
                _FOLLOWS,
            ),
            _plain(
                "redirect-http",
                "The document leads to one without TLS.",
                _redirect_http,
                "It does not trust what comes without TLS.",
            ),
        ]
    ),
    "well-known.redirect": Fault(
        "So many redirects lead to the document.",
        _FOLLOWS,
        whole("well-known.redirect", 1, _MAX_REDIRECTS),
        _redirect,
        "number",
        (PATH,),
    ),
    "well-known.cache": Fault(
        "`Cache-Control` is this text.",
        "It keeps the document for at most two days, and not for ever.",
        text("well-known.cache"),
        _cache,
        "text",
        (PATH,),
    ),
    "well-known.m.server": Fault(
        "The document delegates to this text, even if it is no server name.",
        "It takes a name that is malformed as no delegation.",
        text("well-known.m.server"),
        _answered(lambda value: json_reply({"m.server": value})),
        "text",
        (PATH,),
    ),
}
"""In the order in which they act."""
