"""What a person reads of a peer, and of what is delivered to it or is not."""

from typing import Any

import pytest

from homeserver.cli import render
from tests.support.shown_times import HOUR, NOW
from tests.support.tables import cases

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
