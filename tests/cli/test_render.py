"""What a person reads of what the commands found."""

from typing import Any

import pytest

from homeserver.cli import render
from homeserver.cli.times import duration, relative
from tests.support.tables import cases

# In milliseconds since 1970.
NOW = 1_600_000_000_000
HOUR = 3_600_000

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
    "first_verified_ts": NOW - 9 * HOUR,
    "last_verified_ts": NOW - 300_000,
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
                    "since_ts": NOW - 49 * HOUR,
                    "valid_until_ts": NOW + 12_999,
                },
                "ed25519:3": {
                    "key": "AC",
                    "since_ts": NOW - 1,
                    "valid_until_ts": NOW - 24 * HOUR,
                },
                "ed25519:2": {"key": "AB", "since_ts": None, "valid_until_ts": None},
            }
        },
        [
            "a.example: never verified",
            "  key ed25519:1 AA, stored 2 days ago, valid for 12 s more",
            "  key ed25519:3 AC, stored 0 s ago, expired 24 h ago",
            "  key ed25519:2 AB, an old one",
        ],
    ),
    (
        "verified",
        VERIFIED,
        [
            "a.example: key-document",
            "  last verified 5 min ago",
            f"  certificate SHA-256 {'0a' * 32}",
        ],
    ),
    (
        "pinned",
        VERIFIED | {"pinned_keys": {"ed25519:a": "AAAA", "ed25519:b": "BBBB"}},
        [
            "a.example: key-document",
            "  last verified 5 min ago",
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
            "next_attempt_ts": NOW + 12_500,
            "last_error": "answers \x1b[31m",
        },
        [
            "a.example: never verified",
            "  1 entry queued, the oldest has ID 7",
            "  3 failures, next attempt in 12 s",
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


@cases("members lines", PEERS)
def test_peer(members: dict[str, Any], lines: list[str]) -> None:
    """A peer is shown with how it was verified, what is pinned, and what it is owed."""
    assert render.peer(UNKNOWN | members, NOW).split("\n") == lines


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


DELIVERED = {"state": "delivered", "txn_id": "1-2", "reply": {"pdus": {}}}


def test_delivered() -> None:
    """A delivery is shown with its reply and what is wrong with it."""
    remarks = [{"text": "the reply has no `pdus`"}, {"text": "it says \x1b[31m"}]
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
        f"dropped 2 h ago: {STALE}",
    ),
    (
        {"state": "dropped", "error": None, "dropped_by": "peers --drop"},
        "dropped 2 h ago by `homeserver peers --drop`",
    ),
]


@pytest.mark.parametrize(("members", "line"), NOT_DELIVERED)
def test_not_delivered(members: dict[str, Any], line: str) -> None:
    """What was not delivered is shown with why, and whether it still may be."""
    state = {"id": 7, "dropped_ts": NOW - 2 * HOUR} | members
    assert render.not_delivered(state, NOW) == line


BACK_OFF = UNKNOWN | {
    "failures": 4,
    "next_attempt_ts": NOW + 12_500,
    "last_error": "answers \x1b[31m",
}


def test_back_off() -> None:
    """A back-off is shown with its length, its failures and its reason."""
    shown = r"in back-off for 12 s more after 4 failures: answers \x1b[31m"
    assert render.back_off(BACK_OFF, NOW) == shown
    assert render.back_off(BACK_OFF | {"failures": 0}, NOW) is None
    assert render.back_off(BACK_OFF | {"next_attempt_ts": None}, NOW) is None
    state = {"id": 7, "state": "queued", "error": None}
    assert render.not_delivered(state, NOW, BACK_OFF) == (
        f"not delivered yet, it stays queued under ID 7: {shown}; `--now` tries at once"
    )
    assert render.not_delivered(state, NOW, UNKNOWN).endswith(
        ": no attempt has ended yet"
    )


def test_nothing_after_a_colon() -> None:
    """Where there is no reason, there is no colon either."""
    for known in (BACK_OFF | {"last_error": None}, BACK_OFF | {"last_error": ""}):
        shown = "in back-off for 12 s more after 4 failures"
        assert render.back_off(known, NOW) == shown
    rejected = {"id": 7, "state": "rejected", "error": ""}
    assert render.not_delivered(rejected, NOW) == "rejected, it is not sent again"


DURATIONS = [
    (0.0, "0 s"),
    (0.9, "0 s"),
    (119.9, "119 s"),
    (120.0, "2 min"),
    (7199.0, "119 min"),
    (7200.0, "2 h"),
    (86_400.0, "24 h"),
    (172_799.0, "47 h"),
    (172_800.0, "2 days"),
    (1e9, "11574 days"),
]


@pytest.mark.parametrize(("seconds", "shown"), DURATIONS)
def test_duration(seconds: float, shown: str) -> None:
    """A duration is a whole number of the unit in which it is easily read."""
    assert duration(seconds) == shown


def test_relative() -> None:
    """A time is that long ago, or in that time."""
    assert relative(NOW - 24 * HOUR, NOW) == "24 h ago"
    assert relative(NOW + 12_000, NOW) == "in 12 s"
    assert relative(NOW, NOW) == "in 0 s"


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
