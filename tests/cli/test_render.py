"""What a person reads of what the commands found.

Rules: each thing is a line, and each problem; what a peer has sent never reaches the
terminal as a control character.
"""

from typing import Any

from homeserver.cli import render
from tests.support.shown_times import HOUR, NOW
from tests.support.tables import cases

STEP = {"step": "srv", "asked": "_matrix._tcp.a.example", "found": "no such record"}
ROUTE = {
    "host": "a.example",
    "port": 8448,
    "host_header": "a.example",
    "certificate_name": "a.example",
    "srv_priority": None,
    "srv_weight": None,
}
SRV_ROUTE = {**ROUTE, "host": "b.example", "srv_priority": 0, "srv_weight": 5}

TO_A = "Host: a.example, certificate for a.example"

RESOLUTIONS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("nothing", {"steps": [], "routes": []}, [""]),
    (
        "failed",
        {"steps": [STEP], "error": "no answer"},
        ["srv: _matrix._tcp.a.example: no such record"],
    ),
    (
        "one route",
        {"steps": [STEP], "routes": [ROUTE]},
        [
            "srv: _matrix._tcp.a.example: no such record",
            f"route 1: connect to a.example port 8448, {TO_A}",
        ],
    ),
    (
        "two SRV routes",
        {"steps": [], "routes": [SRV_ROUTE, {**SRV_ROUTE, "srv_priority": 10}]},
        [
            f"route 1: connect to b.example port 8448 (priority 0, weight 5), {TO_A}",
            f"route 2: connect to b.example port 8448 (priority 10, weight 5), {TO_A}",
        ],
    ),
    (
        "addresses",
        {
            "steps": [],
            "routes": [
                {**ROUTE, "addresses": ["192.0.2.1", "2001:db8::1"]},
                {**ROUTE, "host": "192.0.2.1", "addresses": ["192.0.2.1"]},
                {**ROUTE, "addresses": [], "problem": "it has \x1b none"},
            ],
        },
        [
            f"route 1: connect to a.example port 8448, {TO_A}; 192.0.2.1, 2001:db8::1",
            f"route 2: connect to 192.0.2.1 port 8448, {TO_A}",
            rf"route 3: connect to a.example port 8448, {TO_A}: it has \x1b none",
        ],
    ),
    (
        "terminal escapes of a name server",
        {
            "steps": [{**STEP, "found": "1 1 8448 \x1b[31m.\n"}],
            "routes": [{**ROUTE, "host": "\x1b[31m."}],
        },
        [
            r"srv: _matrix._tcp.a.example: 1 1 8448 \x1b[31m.\n",
            rf"route 1: connect to \x1b[31m. port 8448, {TO_A}",
        ],
    ),
]


@cases("result lines", RESOLUTIONS)
def test_resolution(result: dict[str, Any], lines: list[str]) -> None:
    """A resolution is a line for each step, and one for each route in its order."""
    assert render.resolution(result, NOW) == "\n".join(lines)


TRANSACTION: dict[str, Any] = {
    "id": 7,
    "origin": "a.example",
    "txn_id": "1",
    "received_ts": NOW - 3 * HOUR,
    "verified_by": {"key_id": "ed25519:a", "client_certificate": None},
    "pdus": [],
    "edus": [],
    "problems": [],
}
PDU: dict[str, Any] = {
    "event_id": None,
    "room_version": "11",
    "room_version_source": "default",
    "verdict": "accepted",
    "event": {},
}
HEAD = "7: 3 h ago transaction '1' of a.example, signed by ed25519:a"

TRANSACTIONS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("empty", {}, [HEAD]),
    (
        "a client certificate",
        {"verified_by": {"key_id": "ed25519:a", "client_certificate": "0a"}},
        [HEAD + " and its TLS client certificate"],
    ),
    (
        "PDUs and EDUs",
        {
            "pdus": [
                PDU | {"event_id": "$a", "event": {"a": "ä"}},
                PDU | {"verdict": "rejected: no", "room_version_source": None},
            ],
            "edus": [{"edu_type": "m.typing"}, {"edu_type": "m.receipt"}],
        },
        [
            HEAD,
            "  PDU $a: accepted",
            "    room version 11, by default",
            r'    {"a": "\u00e4"}',
            "  PDU without an event ID: rejected: no",
            "    {}",
            '  EDU {"edu_type": "m.typing"}',
            '  EDU {"edu_type": "m.receipt"}',
        ],
    ),
    (
        "problems",
        {"edus": [{}], "problems": ["EDU 0 is not so", "\x1b[31m"]},
        [HEAD, "  EDU {}", "  problem: EDU 0 is not so", r"  problem: \x1b[31m"],
    ),
    (
        "remarks",
        {
            "problems": ["not so"],
            "remarks": [{"text": "it came before"}, {"text": "\x1b[31m"}],
        },
        [
            HEAD,
            "  problem: not so",
            "  remark: it came before",
            r"  remark: \x1b[31m",
        ],
    ),
    (
        "terminal escapes of a peer",
        {
            "txn_id": "\x1b[31m",
            "pdus": [
                PDU
                | {
                    "event_id": "$\x1b[31m\n:a.example",
                    "verdict": "rejected: \x1b[31m",
                    "event": {"\x1b[31m": "\x1b[31m\n"},
                }
            ],
            "edus": [{"\x9b": "\n'\\"}],
        },
        [
            HEAD.replace("'1'", r"'\x1b[31m'"),
            r"  PDU $\x1b[31m\n:a.example: rejected: \x1b[31m",
            "    room version 11, by default",
            r'    {"\u001b[31m": "\u001b[31m\n"}',
            r"""  EDU {"\u009b": "\n'\\"}""",
        ],
    ),
]


@cases("members lines", TRANSACTIONS)
def test_received(members: dict[str, Any], lines: list[str]) -> None:
    """A transaction is a line for itself, and its items with our verdicts."""
    assert render.received(TRANSACTION | members, NOW) == "\n".join(lines)


DOCUMENTS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("neither", {}, ["v1: the server has none", "v2: the server has none"]),
    (
        "version 2 alone",
        {"v2_only": True},
        ["v1: not asked for", "v2: the server has none"],
    ),
    (
        "one",
        {"v1": {"document": {"a": "ä"}, "problems": []}},
        [
            r'v1: {"a": "\u00e4"}',
            "v1: every check passed",
            "v2: the server has none",
        ],
    ),
    (
        "problems",
        {
            "v1": {"document": {}, "problems": ["no"]},
            "v2": {"document": {}, "problems": ["\x1b[31m", "\n"]},
        },
        [
            "v1: {}",
            "v1: no",
            "v2: {}",
            r"v2: \x1b[31m",
            r"v2: \n",
        ],
    ),
]


@cases("members lines", DOCUMENTS)
def test_keys(members: dict[str, Any], lines: list[str]) -> None:
    """Key documents are shown after who served them, each with what is wrong."""
    result = {
        "server_name": "a.example",
        "verified_by": "certificate",
        "route": SRV_ROUTE,
        "certificate_sha256": "0a" * 32,
        "v1": None,
        "v2": None,
    } | members
    assert render.keys(result, NOW).split("\n") == [
        "a.example: reached at b.example port 8448",
        "verified by certificate",
        f"certificate SHA-256 {'0a' * 32}",
        *lines,
    ]


def test_health() -> None:
    """The bounds stand below the status, where they were asked for."""
    assert render.health({"status": "ok"}) == "ok"
    bound = {"name": "b", "what": "doors", "use": 1, "limit": 5, "refusals": 2}
    assert render.health({"status": "ok", "bounds": [bound]}) == (
        "ok\nb: 1 of 5 doors, 2 refused"
    )
    remarks = ["the certificate has expired", "\x1b[31m"]
    assert render.health({"status": "ok", "remarks": remarks}).split("\n") == [
        "ok",
        "remark: the certificate has expired",
        r"remark: \x1b[31m",
    ]


def test_failure() -> None:
    """Where keys could not be fetched, what was remembered is shown, and hints."""
    hint = {"code": "document-key", "text": "it is \x07 ignored"}
    assert render.failure({"hints": [hint]}, NOW) == ["hint: it is \\x07 ignored"]


def test_refusal() -> None:
    """A refused request is shown with who it says it is of, and why."""
    refused = {
        "id": 7,
        "refused_ts": NOW - 90_000,
        "address": "192.0.2.1",
        "origin": "a.example",
        "proven": False,
        "method": "PUT",
        "path": "/x\x1b",
        "status": 401,
        "errcode": "M_UNAUTHORIZED",
        "error": "it does not verify",
        "reason": "bad_signature",
        "hints": [
            {"code": "method", "text": "sign it", "received": "put", "expected": "PUT"}
        ],
    }
    assert render.refusal(refused, NOW) == (
        "7: 90 s ago PUT /x\\x1b of a.example (not proven) at 192.0.2.1: "
        "401 M_UNAUTHORIZED, bad_signature\n  it does not verify\n"
        "  hint: sign it: it has 'put', and should have 'PUT'"
    )
    unknown = render.refusal(refused | {"hints": None}, NOW)
    assert unknown.endswith("\n  too many were refused at once to look for a hint")
    assert render.refusal(refused | {"hints": []}, NOW).endswith("it does not verify")
    assert "of an unknown server (not" in render.refusal(
        refused | {"origin": None}, NOW
    )
    assert "of a.example at 192.0.2.1" in render.refusal(
        refused | {"proven": True}, NOW
    )
