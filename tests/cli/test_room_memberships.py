"""`homeserver room join`, `knock`, `leave`, `invite`, `invites`: asked and printed."""

import json
from pathlib import Path

import pytest

from tests.support.canned_control import CannedControl
from tests.support.commands import failed, run

ROOM = "!r:b.test"
AT = "/v1/rooms/%21r%3Ab.test"
CHANGED = {"event_id": "$e", "verdict": "accepted", "reason": "no\nrule refuses it"}
JOINED: dict[str, object] = {
    "room_id": ROOM,
    "room_version": "12",
    "through": "c.test",
    "failures": [{"reason": "b.test: answers\n503"}],
    "left_out": [{"event_id": "$9", "reason": "no\nsignature"}],
}
USER = "@bob:a.test"
CHANGES: list[tuple[list[str], list[str], dict[str, object]]] = [
    (["knock"], [], {}),
    (
        ["knock"],
        ["--user", USER, "--via", "b.test", "--via", "c.test", "--reason", "why"],
        {"user_id": USER, "via": ["b.test", "c.test"], "reason": "why"},
    ),
    (["leave", USER], [], {"user_id": USER}),
    (
        ["leave", USER],
        ["--sender", "@a:a.test", "--via", "b.test", "--reason", "why"],
        {"user_id": USER, "sender": "@a:a.test", "via": ["b.test"], "reason": "why"},
    ),
    (["invite", USER], [], {"user_id": USER}),
    (
        ["invite", USER],
        ["--sender", "@a:a.test", "--reason", "why"],
        {"user_id": USER, "sender": "@a:a.test", "reason": "why"},
    ),
]


@pytest.mark.parametrize(("words", "options", "body"), CHANGES)
def test_changes(
    path: Path,
    control: CannedControl,
    words: list[str],
    options: list[str],
    body: dict[str, object],
) -> None:
    """The options go to the daemon; the event is a line, or the JSON of the answer."""
    name, *who = words
    control.answers[f"POST {AT}/{name}"] = 200, CHANGED
    command = ["room", name, "-c", path, ROOM, *who, *options]
    assert run(*command).stdout == "$e: accepted, no\\nrule refuses it\n"
    assert json.loads(run(*command, "--json").stdout) == CHANGED
    assert [asked for _, _, asked in control.asked] == [body, body]


def test_join(path: Path, control: CannedControl) -> None:
    """The room is a line; what failed and what was left out are told beside it."""
    control.answers[f"POST {AT}/join"] = 200, JOINED
    command = ["room", "join", "-c", path, ROOM, "--displayname", "Bob"]
    done = run(*command)
    assert done.stdout == "!r:b.test: version 12, through c.test\n"
    assert done.stderr.splitlines() == [
        "b.test: answers\\n503",
        "left out: $9: no\\nsignature",
    ]
    assert json.loads(run(*command, "--json").stdout) == JOINED
    assert [asked for _, _, asked in control.asked] == [{"displayname": "Bob"}] * 2


def test_join_of_a_room_of_its_own(path: Path, control: CannedControl) -> None:
    """A room that the server is in is joined through no other."""
    joined: dict[str, object] = JOINED | {
        "through": None,
        "failures": [],
        "left_out": [],
    }
    control.answers[f"POST {AT}/join"] = 200, joined
    done = run("room", "join", "-c", path, ROOM)
    assert (done.stdout, done.stderr) == ("!r:b.test: version 12\n", "")


def test_invites(path: Path, control: CannedControl) -> None:
    """Each invite is a line, or its JSON."""
    invite = {"room_id": ROOM, "user_id": USER, "event": {"sender": "@a\n:b.test"}}
    control.answers["GET /v1/invites"] = 200, {"invites": [invite]}
    done = run("room", "invites", "-c", path)
    assert done.stdout == "!r:b.test: @bob:a.test, by @a\\n:b.test\n"
    done = run("room", "invites", "-c", path, "--json")
    assert json.loads(done.stdout) == invite


@pytest.mark.parametrize("words", [["knock", ROOM], ["invites"]])
def test_refused(path: Path, control: CannedControl, words: list[str]) -> None:
    """What the daemon refuses ends the command with its reason."""
    refusal = {"errcode": "M_FORBIDDEN", "error": "not that one"}
    control.answers[f"POST {AT}/knock"] = 403, refusal
    control.answers["GET /v1/invites"] = 403, refusal
    name, *rest = words
    status, said = failed(run("room", name, "-c", path, *rest))
    assert (status, said) == (1, "not that one\n")
