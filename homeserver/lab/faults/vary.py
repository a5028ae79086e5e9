"""What is legal and unusual: a server that fails on it is wrong.

Rules: those of `fault`. A message means the same; its bytes, or the way to it, are
others. Signatures hold. `departing` has what they do to requests of our servers.

Specification: RFC 8259, RFC 9110 and RFC 9112; Server-server API, "API standards".
"""

from collections.abc import Callable, Mapping
from typing import Any

from homeserver.http.reply import Reply
from homeserver.lab.faults import json_variants
from homeserver.lab.faults.documents import ROUTES as KEY_ROUTES
from homeserver.lab.faults.documents import Signer
from homeserver.lab.faults.fault import Act, Case, Continue, Fault, flag, with_body
from homeserver.lab.faults.wire import Wire, wire_of
from homeserver.protocol.canonical_json import encode, parse_object
from homeserver.protocol.errors import ProtocolError

MORE_MEMBERS = {"org.example.unknown": {"more": [1, None, {"": ""}]}}

MORE_HEADERS = [(b"Vary", b"Accept"), (b"Vary", b"Origin"), (b"X-Unknown", b"")]

RIGHT = "It takes it as it takes the usual form."


def _text(change: Callable[[bytes], bytes]) -> Act:
    async def act(_: object, go_on: Continue, __: Case) -> Reply:
        reply = await go_on()
        return with_body(reply, change(reply.body))

    return act


def _on_the_wire(change: Callable[[Wire], object]) -> Act:
    async def act(_: object, go_on: Continue, case: Case) -> Reply:
        reply = await go_on()
        change(wire_of(case))
        return reply

    return act


async def _extend(_: object, go_on: Continue, case: Case) -> Reply:
    reply = await go_on()
    try:
        answer = parse_object(reply.body) | MORE_MEMBERS
    except ProtocolError:
        return reply  # no object
    if reply.status == 200 and case.request.exchange.route.startswith(KEY_ROUTES):
        answer = Signer(case).signed(answer)
    return with_body(reply, encode(answer))


def _set(**members: Any) -> Callable[[Wire], object]:
    def change(wire: Wire) -> None:
        for name, value in members.items():
            setattr(wire, name, value)

    return change


def _row(name: str, summary: str, act: Act) -> tuple[str, Fault[Act]]:
    full = f"vary.{name}"
    return full, Fault(summary, RIGHT, flag(full), act, directions=("in", "out"))


async def _leave(_: object, go_on: Continue, __: Case) -> Reply:
    return await go_on()


VARY_FAULTS: Mapping[str, Fault[Act]] = dict(
    [
        _row(
            "white-space",
            "The JSON has white space wherever it may have some.",
            _text(json_variants.space_out),
        ),
        _row(
            "escapes",
            r"Each character of each string of the JSON is written with `\u`.",
            _text(json_variants.escape),
        ),
        _row(
            "member-order",
            "The members of each JSON object are in another order.",
            _text(json_variants.reorder),
        ),
        _row(
            "extra-members",
            "The JSON object of a response has a member that nothing knows; a key "
            "document is signed with it.",
            _extend,
        ),
        _row(
            "header-case",
            "The names of the headers are in small letters.",
            _on_the_wire(_set(in_small_letters=True)),
        ),
        _row(
            "header-order",
            "The headers are in another order.",
            _on_the_wire(_set(in_reverse=True)),
        ),
        _row(
            "several-headers",
            "There are several headers of one name, and one without a value.",
            _on_the_wire(_set(more_headers=MORE_HEADERS)),
        ),
        _row(
            "chunked",
            "The body comes in chunks of seven bytes.",
            _on_the_wire(_set(has_chunks=True)),
        ),
        _row(
            "http-1.0",
            "The message is one of HTTP/1.0, and the connection ends after a response.",
            _on_the_wire(_set(version=b"HTTP/1.0")),
        ),
        (
            "vary.trailing-slash",
            Fault(
                "The path of a request of the server ends with a slash, as paths of "
                "2014 did; it is signed so.",
                RIGHT,
                flag("vary.trailing-slash"),
                _leave,
                directions=("out",),
            ),
        ),
    ]
)
"""Those of messages, in the order in which they act on responses."""
