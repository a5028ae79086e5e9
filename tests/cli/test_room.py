"""`homeserver room`: what it asks of the daemon, and what it refuses itself."""

import json
from pathlib import Path

import pytest

from tests.support.canned_control import CannedControl
from tests.support.commands import failed, run

ROOM = "!r:a.test"
AT = "/v1/rooms/%21r%3Aa.test"
SENT = {"event_id": "$e", "verdict": "accepted", "reason": "no rule refuses it"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["create", "--room-version", "99"], "--room-version: "),
        (["send", ROOM, "x", "{"], "the content is not JSON: "),
        (["state", ROOM, "--before"], "--before needs --at EVENT"),
        (["graph", ROOM, "--dot", "--json"], "--dot and --json are two forms"),
    ],
)
def test_refused(
    path: Path, control: CannedControl, words: list[str], message: str
) -> None:
    """What cannot be meant is refused before the daemon is asked."""
    status, said = failed(run("room", words[0], "-c", path, *words[1:]))
    assert (status, said.startswith(message)) == (2, True)
    assert control.asked == []


def test_fork(path: Path, control: CannedControl) -> None:
    """What an event has in place of the usual goes to the daemon."""
    control.answers[f"POST {AT}/events"] = 200, SENT
    options = ["--prev-event", "$1", "--prev-event", "$2", "--depth", "7"]
    done = run(
        *("room", "send", "-c", path, ROOM, "m.room.topic", '{"topic": "x"}'),
        *("--state-key", "", "--sender", "@a:a.test", *options),
    )
    assert done.stdout == "$e: accepted, no rule refuses it\n"
    [(_, _, body)] = control.asked
    assert body == {
        "type": "m.room.topic",
        "content": {"topic": "x"},
        "state_key": "",
        "sender": "@a:a.test",
        "prev_events": ["$1", "$2"],
        "depth": 7,
    }


def test_refused_by_the_daemon(path: Path, control: CannedControl) -> None:
    """What the rules do not allow is told in a line."""
    refusal = {"errcode": "M_FORBIDDEN", "error": "rule 5: the sender is not joined"}
    control.answers[f"POST {AT}/events"] = 403, refusal
    status, said = failed(run("room", "send", "-c", path, ROOM, "x"))
    assert (status, "rule 5: the sender is not joined" in said) == (1, True)


def test_graph_of_a_peer(path: Path, control: CannedControl) -> None:
    """A peer's text ends neither a string of the drawing nor a line."""
    event = {
        "event_id": '$"];x[',
        "type": 'm"\n\\',
        "depth": 1,
        "verdict": "accepted",
        "prev_events": ["$0"],
    }
    control.answers[f"GET {AT}/graph"] = 200, {"events": [event], "next": None}
    lines = run("room", "graph", "-c", path, ROOM, "--dot").stdout.splitlines()
    assert lines[0] == "digraph room {"
    assert lines[1].startswith(r'  "$\"];x[" [label="m\"')
    assert lines[2:] == [r'  "$\"];x[" -> "$0";', "}"]
    text = run("room", "graph", "-c", path, ROOM).stdout
    assert text.count("\n") == 1
    control.answers[f"GET {AT}/graph"] = 200, {"events": [event], "next": None}
    shown = run("room", "graph", "-c", path, ROOM, "--json").stdout
    assert json.loads(shown) == event
