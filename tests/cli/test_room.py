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
        (["graph", ROOM, "--format", "dot", "--json"], "--format and --json are two"),
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


def test_a_mistake_that_the_daemon_finds(path: Path, control: CannedControl) -> None:
    """What the caller has written wrongly ends with 2, whichever side finds it."""
    refusal = {"errcode": "M_INVALID_PARAM", "error": "not a room ID: 'x'"}
    control.answers["GET /v1/rooms/x/members"] = 400, refusal
    done = run("room", "members", "-c", path, "x")
    assert failed(done) == (2, "not a room ID: 'x'\n")


def test_graph_of_a_peer(path: Path, control: CannedControl) -> None:
    """A peer's text ends neither a string of the drawing nor a line."""
    event = {
        "event_id": '$"];x[',
        "type": 'm"\n\\',
        "state_key": None,
        "depth": 1,
        "origin_server_ts": 1,
        "verdict": "accepted",
        "reason": "no rule refuses it",
        "prev_events": ["$0"],
    }
    control.answers[f"GET {AT}/graph"] = 200, {"events": [event], "next": None}
    drawn = run("room", "graph", "-c", path, ROOM, "--format", "dot").stdout
    lines = drawn.splitlines()
    assert lines[0] == "digraph room {"
    assert lines[1].startswith(r'  "$\"];x[" [label="$\"];x[ m\"')
    assert lines[2:] == [r'  "$\"];x[" -> "$0";', "}"]
    control.answers[f"GET {AT}/graph"] = 200, {"events": [event], "next": None}
    drawn = run("room", "graph", "-c", path, ROOM, "--format", "svg").stdout
    assert drawn.startswith("<svg ")
    assert '<title>$"];x[</title>' in drawn
    text = run("room", "graph", "-c", path, ROOM).stdout
    assert text.count("\n") == 1
    control.answers[f"GET {AT}/graph"] = 200, {"events": [event], "next": None}
    shown = run("room", "graph", "-c", path, ROOM, "--json").stdout
    assert json.loads(shown) == event


def test_backfill(path: Path, control: CannedControl) -> None:
    """What was fetched is listed, and who had nothing is told beside it."""
    event = {"event_id": "$1", "type": "m.x", "verdict": "rejected"}
    done = {
        "room_id": ROOM,
        "through": "b.test",
        "events": [event],
        "is_complete": True,
        "failures": [{"server_name": "c.test", "reason": "it\nsays no"}],
    }
    control.answers[f"POST {AT}/backfill"] = 200, done
    words = ("--from", "$9", "--limit", "5", "--via", "c.test", "--via", "b.test")
    shown = run("room", "backfill", "-c", path, ROOM, *words)
    assert shown.stdout == "$1 m.x: rejected\n"
    assert shown.stderr.count("\n") == 2
    assert "nothing is missing" in shown.stderr
    [(_, _, body)] = control.asked
    assert body == {"from": "$9", "limit": 5, "via": ["c.test", "b.test"]}
    shown = run("room", "backfill", "-c", path, ROOM, "--json")
    assert json.loads(shown.stdout) == done


def test_events(path: Path, control: CannedControl) -> None:
    """The events of a room are shown to the end."""
    event = {"type": "m.x", "sender": "@a\n:a.test"}
    shown = {"event_id": "$1", "verdict": "accepted", "event": event}
    control.answers[f"GET {AT}/events"] = 200, {"events": [shown], "next": 4}
    done = run("room", "events", "-c", path, ROOM, "--after", "4")
    assert done.stdout.startswith("$1 m.x by @a")
    assert done.stdout.count("\n") == 1
    [(asked, _, _)] = control.asked
    assert "after=4" in asked
    done = run("room", "events", "-c", path, ROOM, "--after", "4", "--json")
    assert json.loads(done.stdout) == shown
