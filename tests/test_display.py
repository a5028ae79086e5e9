"""What a person reads of a resolution and of a received transaction."""

from typing import Any

import pytest

from homeserver import display

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
    assert display.resolution(result) == "\n".join(lines)


TRANSACTION: dict[str, Any] = {
    "id": 7,
    "origin": "a.example",
    "txn_id": "1",
    "received_ts": 1_600_000_000_999,
    "verified_by": {"key_id": "ed25519:a", "client_certificate": None},
    "pdus": [],
    "edus": [],
}
HEAD = "7: 2020-09-13 12:26:40 transaction '1' of a.example, signed by ed25519:a"

TRANSACTIONS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("empty", {}, [HEAD]),
    (
        "PDUs and EDUs",
        {
            "pdus": [
                {"event_id": "$a", "verdict": "accepted", "event": {"a": "ä"}},
                {"event_id": None, "verdict": "rejected: no", "event": {}},
            ],
            "edus": [{"edu_type": "m.typing"}, {"edu_type": "m.receipt"}],
        },
        [
            HEAD,
            "  PDU $a: accepted",
            r'    {"a": "\u00e4"}',
            "  PDU without an event ID: rejected: no",
            "    {}",
            '  EDU {"edu_type": "m.typing"}',
            '  EDU {"edu_type": "m.receipt"}',
        ],
    ),
    (
        "terminal escapes of a peer",
        {
            "txn_id": "\x1b[31m",
            "pdus": [
                {
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
    assert display.received(TRANSACTION | members) == "\n".join(lines)
