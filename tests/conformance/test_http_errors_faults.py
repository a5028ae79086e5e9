"""H: each check has a fault that turns it red."""

from collections.abc import Callable

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.protocol.bodies import ReadBody, read_body
from tests.conformance.faulty import (
    Row,
    answers_with,
    changed_reply,
    fault_test,
    patched,
)
from tests.support.conformance_stage import Fault
from tests.support.logged_errors import PlantedError

_V1 = "/_matrix/federation/v1"
_SEND = f"{_V1}/send"
_ERRORS = "homeserver.protocol.errors"
_CHECKS = "homeserver.conformance.checks.http_errors"


def _refuses(template: str, status: int, when: Callable[[Request], bool]) -> Fault:
    body = b'{"errcode":"M_UNKNOWN","error":"no"}'
    return changed_reply(template, lambda _, __: Reply(body, status), when)


def _has(name: bytes) -> Callable[[Request], bool]:
    return lambda request: request.getHeader(name) is not None


def _lacks(name: bytes) -> Callable[[Request], bool]:
    return lambda request: request.getHeader(name) is None


def _one_request() -> Fault:
    """A server that answers one request of a connection well."""
    channels: list[object] = []

    def is_second(request: Request) -> bool:
        is_known = request.channel in channels
        channels.append(request.channel)
        return is_known

    return _refuses(f"{_V1}/version", 503, is_second)


def _shallow(data: bytes) -> ReadBody:
    if b"[" * 1000 in data:
        raise PlantedError
    return read_body(data)


ROWS: list[Row] = [
    (
        "another code for a path",
        patched({f"{_ERRORS}.Unrecognized.errcode": "M_UNKNOWN"}),
        {"H01", "H02", "H04"},
    ),
    (
        "404 for a method",
        patched({f"{_ERRORS}.MethodNotAllowed.status": 404}),
        {"H03"},
    ),
    (
        "refusals as HTML",
        patched(
            {"homeserver.http.reply._headers": lambda _: {"Content-Type": "text/html"}}
        ),
        {"H05"},
    ),
    ("media type needed", _refuses(_SEND, 415, _lacks(b"Content-Type")), {"H06"}),
    ("no chunks", _refuses(_SEND, 411, _has(b"Transfer-Encoding")), {"H07"}),
    ("no expectations", _refuses(_SEND, 417, _has(b"Expect")), {"H08"}),
    ("one request a connection", _one_request(), {"H10"}),
    (
        "silent on what is malformed",
        patched(
            {
                "homeserver.http.site._Channel.refuse_malformed": lambda _: None,
                f"{_CHECKS}.LONG_SECONDS": 2.0,
            }
        ),
        {"H11", "H12"},
    ),
    ("slower than the limit", patched({f"{_CHECKS}.IDLE_SECONDS": 0.0}), {"H13"}),
    (
        "breaks on deep JSON",
        patched({"homeserver.inbound.authentication.read_body": _shallow}),
        {"H14"},
    ),
    (
        "breaks beyond ASCII",
        _refuses(f"{_V1}/query", 500, lambda request: b"%C3" in request.uri),
        {"H17"},
    ),
    ("nothing in a refusal", answers_with(f"{_V1}/event/", 404, b""), {"H18"}),
    (
        "a page in a refusal",
        answers_with("/_matrix/federation/v2/send_join/", 400, b"<html>"),
        {"H18"},
    ),
]

test_a_fault_turns_its_checks_red = fault_test(ROWS, ["H"])
