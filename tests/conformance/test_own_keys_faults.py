"""K and V: each check has a fault that turns it red."""

from typing import Any

import msgspec

from homeserver.http.reply import Reply
from homeserver.http.request import Request
from homeserver.net.wall_clock import wall_seconds
from tests.conformance.faulty import (
    Row,
    answers_with,
    changed_json,
    changed_reply,
    fault_test,
)
from tests.support.conformance_stage import Fault
from tests.support.waiting import reactor

_KEYS = "/_matrix/key/v2/server"
_VERSION = "/_matrix/federation/v1/version"
_HALF_HOUR_MS = 1800 * 1000


def _with(**members: object) -> Fault:
    return changed_json(_KEYS, lambda document: {**document, **members})


def _html(reply: Reply, _: Request) -> Reply:
    return Reply(reply.body, reply.status, {"Content-Type": "text/html"})


def _has_authorization(request: Request) -> bool:
    return request.getHeader(b"Authorization") is not None


def _without_signature(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "signatures": {document["server_name"]: {}}}


def _padded(document: dict[str, Any]) -> dict[str, Any]:
    keys = {
        k: {"key": each["key"] + "="} for k, each in document["verify_keys"].items()
    }
    return {**document, "verify_keys": keys}


ROWS: list[Row] = [
    ("key document as HTML", changed_reply(_KEYS, _html), {"K01"}),
    ("key document not signed", changed_json(_KEYS, _without_signature), {"K02"}),
    ("key document of another name", _with(server_name="other.test"), {"K02"}),
    (
        "key document valid for half an hour",
        _with(valid_until_ts=int(wall_seconds(reactor) * 1000) + _HALF_HOUR_MS),
        {"K02", "K03"},
    ),
    (
        "old keys without a time",
        _with(old_verify_keys={"ed25519:old": {"key": "A" * 43}}),
        {"K02", "K04"},
    ),
    ("keys with padding", changed_json(_KEYS, _padded), {"K02", "K05"}),
    (
        "key document for the authorized alone",
        changed_reply(_KEYS, lambda _, __: Reply(b"{}", 401), _has_authorization),
        {"K08"},
    ),
    ("no version", answers_with(_VERSION, 404), {"V01"}),
    (
        "version is a number",
        answers_with(_VERSION, 200, msgspec.json.encode({"server": {"version": 1}})),
        {"V01"},
    ),
]

test_a_fault_turns_its_checks_red = fault_test(ROWS, ["K", "V"])
