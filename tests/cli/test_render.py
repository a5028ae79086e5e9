"""What a person reads of what the commands found."""

from typing import Any

import pytest

from homeserver.cli import render

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


@pytest.mark.parametrize(
    ("result", "lines"),
    [row[1:] for row in RESOLUTIONS],
    ids=[row[0] for row in RESOLUTIONS],
)
def test_resolution(result: dict[str, Any], lines: list[str]) -> None:
    """A resolution is a line for each step, and one for each route in its order."""
    assert render.resolution(result) == "\n".join(lines)


TRANSACTION: dict[str, Any] = {
    "id": 7,
    "origin": "a.example",
    "txn_id": "1",
    "received_ts": 1_600_000_000_999,
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
HEAD = "7: 2020-09-13 12:26:40 transaction '1' of a.example, signed by ed25519:a"

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
        {"problems": ["not so"], "remarks": ["it came before", "\x1b[31m"]},
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


@pytest.mark.parametrize(
    ("members", "lines"),
    [row[1:] for row in TRANSACTIONS],
    ids=[row[0] for row in TRANSACTIONS],
)
def test_received(members: dict[str, Any], lines: list[str]) -> None:
    """A transaction is a line for itself, and its items with our verdicts."""
    assert render.received(TRANSACTION | members) == "\n".join(lines)


DOCUMENTS: list[tuple[str, Any, Any, list[str]]] = [
    ("neither", None, None, ["v1: the server has none", "v2: the server has none"]),
    (
        "one",
        {"document": {"a": "ä"}, "problems": []},
        None,
        [
            r'v1: {"a": "\u00e4"}',
            "v1: every check passed",
            "v2: the server has none",
        ],
    ),
    (
        "problems",
        {"document": {}, "problems": ["no"]},
        {"document": {}, "problems": ["\x1b[31m", "\n"]},
        [
            "v1: {}",
            "v1: wrong: no",
            "v2: {}",
            r"v2: wrong: \x1b[31m",
            r"v2: wrong: \n",
        ],
    ),
]


@pytest.mark.parametrize(
    ("v1", "v2", "lines"),
    [row[1:] for row in DOCUMENTS],
    ids=[row[0] for row in DOCUMENTS],
)
def test_keys(v1: object, v2: object, lines: list[str]) -> None:
    """Key documents are shown after who served them, each with what is wrong."""
    result = {
        "server_name": "a.example",
        "verified_by": "certificate",
        "route": SRV_ROUTE,
        "certificate_sha256": "0a" * 32,
        "v1": v1,
        "v2": v2,
    }
    assert render.keys(result).split("\n") == [
        "a.example: reached at b.example port 8448",
        "verified by certificate",
        f"certificate SHA-256 {'0a' * 32}",
        *lines,
    ]


def test_keys_of_version_2_alone() -> None:
    """Version 1 is not said to be missing where it was not asked for."""
    result = {
        "server_name": "a.example",
        "verified_by": "certificate",
        "route": SRV_ROUTE,
        "certificate_sha256": "0a" * 32,
        "v2_only": True,
        "v1": None,
        "v2": None,
    }
    assert render.keys(result).split("\n")[3:] == [
        "v1: not asked for",
        "v2: the server has none",
    ]


def test_documents() -> None:
    """The documents of a result are those of both versions, in this order."""
    result: dict[str, Any] = {"v2": None, "v1": {"document": {}, "problems": []}}
    assert render.documents(result) == [{"document": {}, "problems": []}, None]


UNKNOWN: dict[str, Any] = {
    "server_name": "a.example",
    "verified_by": None,
    "pinned_keys": {},
    "certificate_sha256": None,
    "first_verified_ts": None,
    "last_verified_ts": None,
    "pinned_certificate_sha256": None,
    "keys": {},
    "queued": 0,
    "oldest_id": None,
    "failures": 0,
    "next_attempt_ts": None,
    "last_error": None,
    "rejected": 0,
    "dropped": 0,
}
VERIFIED = {
    "verified_by": "key-document",
    "certificate_sha256": "0a" * 32,
    "first_verified_ts": 1_500_000_000_000,
    "last_verified_ts": 1_600_000_000_999,
}

PEERS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("never verified", {}, ["a.example: never verified"]),
    (
        "trusted by the operator",
        {"pinned_certificate_sha256": "0b" * 32},
        [
            "a.example: never verified",
            f"  trusted by the operator: certificate SHA-256 {'0b' * 32}",
        ],
    ),
    (
        "keys",
        {
            "keys": {
                "ed25519:1": {
                    "key": "AA",
                    "since_ts": 1_500_000_000_000,
                    "valid_until_ts": 1_600_000_000_999,
                },
                "ed25519:2": {"key": "AB", "since_ts": None, "valid_until_ts": None},
            }
        },
        [
            "a.example: never verified",
            "  key ed25519:1 AA, since 2017-07-14 02:40:00, until 2020-09-13 12:26:40",
            "  key ed25519:2 AB, an old one",
        ],
    ),
    (
        "verified",
        VERIFIED,
        [
            "a.example: key-document",
            "  last verified 2020-09-13 12:26:40",
            f"  certificate SHA-256 {'0a' * 32}",
        ],
    ),
    (
        "pinned",
        VERIFIED | {"pinned_keys": {"ed25519:a": "AAAA", "ed25519:b": "BBBB"}},
        [
            "a.example: key-document",
            "  last verified 2020-09-13 12:26:40",
            f"  certificate SHA-256 {'0a' * 32}",
            "  pinned ed25519:a AAAA",
            "  pinned ed25519:b BBBB",
        ],
    ),
    (
        "queued",
        {"queued": 2, "oldest_id": 7},
        ["a.example: never verified", "  2 entries queued, the oldest has ID 7"],
    ),
    (
        "failing",
        {
            "queued": 1,
            "oldest_id": 7,
            "failures": 3,
            "next_attempt_ts": 1_600_000_000_000,
            "last_error": "answers \x1b[31m",
        },
        [
            "a.example: never verified",
            "  1 entry queued, the oldest has ID 7",
            "  3 failures, next attempt 2020-09-13 12:26:40",
            r"  last error: answers \x1b[31m",
        ],
    ),
    (
        "being tried again",
        {"queued": 1, "oldest_id": 7, "failures": 1, "last_error": "no"},
        [
            "a.example: never verified",
            "  1 entry queued, the oldest has ID 7",
            "  1 failure, next attempt under way",
            "  last error: no",
        ],
    ),
    (
        "rejected and dropped",
        {"rejected": 2, "dropped": 3, "last_error": "answers 400"},
        [
            "a.example: never verified",
            "  2 transactions rejected",
            "  3 entries dropped",
            "  last error: answers 400",
        ],
    ),
]


@pytest.mark.parametrize(
    ("members", "lines"), [row[1:] for row in PEERS], ids=[row[0] for row in PEERS]
)
def test_peer(members: dict[str, Any], lines: list[str]) -> None:
    """A peer is shown with how it was verified, what is pinned, and what it is owed."""
    assert render.peer(UNKNOWN | members).split("\n") == lines


def test_health() -> None:
    """The bounds stand below the status, where they were asked for."""
    assert render.health({"status": "ok"}) == "ok"
    bound = {"name": "b", "what": "doors", "use": 1, "limit": 5, "refusals": 2}
    assert render.health({"status": "ok", "bounds": [bound]}) == (
        "ok\nb: 1 of 5 doors, 2 refused"
    )


DELIVERED = {"state": "delivered", "txn_id": "1-2", "reply": {"pdus": {}}}


def test_delivered() -> None:
    """A delivery is shown with its reply and what is wrong with it."""
    remarks = ["the reply has no `pdus`", "it says \x1b[31m"]
    assert render.delivered(DELIVERED | {"remarks": remarks}).split("\n") == [
        "delivered: 1-2",
        '{"pdus": {}}',
        "remark: the reply has no `pdus`",
        r"remark: it says \x1b[31m",
    ]


STALE = "what it says was stale before it could be delivered"

# (members of the state, the line)
NOT_DELIVERED: list[tuple[dict[str, Any], str]] = [
    (
        {"state": "queued", "error": None},
        "not delivered yet, it stays queued under ID 7: no attempt has ended yet",
    ),
    (
        {"state": "sending", "error": "answers \x1b[31m"},
        r"not delivered yet, it stays queued under ID 7: answers \x1b[31m",
    ),
    ({"state": "rejected", "error": "no"}, "rejected, it is not sent again: no"),
    (
        {"state": "dropped", "error": "no", "dropped_by": "age"},
        f"dropped at 2020-09-13 12:26:40: {STALE}",
    ),
    (
        {"state": "dropped", "error": None, "dropped_by": "peers --drop"},
        "dropped at 2020-09-13 12:26:40 by `homeserver peers --drop`",
    ),
]


@pytest.mark.parametrize(("members", "line"), NOT_DELIVERED)
def test_not_delivered(members: dict[str, Any], line: str) -> None:
    """What was not delivered is shown with why, and whether it still may be."""
    state = {"id": 7, "dropped_ts": 1_600_000_000_000} | members
    assert render.not_delivered(state) == line


def test_back_off() -> None:
    """A back-off is shown with its reason and its end."""
    known = UNKNOWN | {
        "failures": 3,
        "next_attempt_ts": 1_600_000_000_000,
        "last_error": "answers \x1b[31m",
    }
    assert render.back_off(known) == (
        "a.example is in back-off until 2020-09-13 12:26:40 after 3 failures: "
        r"answers \x1b[31m"
    )


def test_failure() -> None:
    """Where keys could not be fetched, what was remembered is shown, and hints."""
    hint = {"code": "document-key", "text": "it is \x07 ignored"}
    assert render.failure({"hints": [hint]}) == ["hint: it is \\x07 ignored"]


def test_refusal() -> None:
    """A refused request is shown with who it says it is of, and why."""
    refused = {
        "id": 7,
        "refused_ts": 0,
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
    assert render.refusal(refused) == (
        "7: 1970-01-01 00:00:00 PUT /x\\x1b of a.example (not proven) at 192.0.2.1: "
        "401 M_UNAUTHORIZED, bad_signature\n  it does not verify\n"
        "  hint: sign it: it has 'put', and should have 'PUT'"
    )
    unknown = render.refusal(refused | {"hints": None})
    assert unknown.endswith("\n  too many were refused at once to look for a hint")
    assert render.refusal(refused | {"hints": []}).endswith("it does not verify")
    assert "of a server that is not named (not" in render.refusal(
        refused | {"origin": None}
    )
    assert "of a.example at 192.0.2.1" in render.refusal(refused | {"proven": True})
