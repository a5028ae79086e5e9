"""`homeserver send`: what it asks of the daemon, and what it refuses itself."""

import json
from pathlib import Path

import pytest

from tests.support.canned_control import CannedControl
from tests.support.commands import EDU, STATE, failed, run

TRANSACTIONS: list[tuple[list[str], str, str]] = [
    ([], "{}", "there is nothing to send; give --pdu, --edu or --transaction"),
    ([], '{"pdus": [], "edus": []}', "there is nothing to send; give --pdu, --edu or"),
    ([], '{"pdus": {}}', "`pdus` is not a list"),
    ([], "[]", "{file}: the body is not a JSON object"),
    ([], "{", "{file}: not JSON: "),
    (["--pdu", "{"], "{}", "--pdu: not JSON: "),
    (["--edu", "{}", "--edu", ""], "{}", "--edu: not JSON: "),
    (
        ["--room-version", "12"],
        '{"edus": [{}], "room_version": "99"}',
        "--room-version is 12, but '99' in FILE",
    ),
]


@pytest.mark.parametrize(("options", "text", "message"), TRANSACTIONS)
def test_bad_transaction(
    path: Path, control: CannedControl, options: list[str], text: str, message: str
) -> None:
    """What cannot be sent is refused before the daemon is asked."""
    file = path.parent / "transaction.json"
    file.write_text(text)
    done = run("send", "-c", path, "b.test", "--transaction", file, *options)
    status, said = failed(done)
    assert status == 2
    assert said.startswith(message.replace("{file}", str(file)))
    assert control.asked == []


def test_nothing_to_send(path: Path, control: CannedControl) -> None:
    """A transaction of nothing is not queued."""
    assert failed(run("send", "-c", path, "b.test"))[0] == 2
    assert control.asked == []


def test_transaction_as_it_is(path: Path, control: CannedControl) -> None:
    """What is in a file goes to the daemon whole, which refuses what is unknown."""
    refusal = {"errcode": "M_BAD_JSON", "error": "the body has no member 'pdu'"}
    control.answers["POST /v1/send/b.test"] = 400, refusal
    file = path.parent / "transaction.json"
    content = {"pdu": 1, "edus": [1], "pdus": [], "room_version": "99"}
    file.write_text(json.dumps(content))
    done = run("send", "-c", path, "b.test", "--transaction", file, "--edu", "2")
    assert failed(done) == (2, "the body has no member 'pdu'\n")
    [(_, _, sent)] = control.asked
    assert sent == content | {"edus": [1, 2]}


def test_default_room_version(path: Path, control: CannedControl) -> None:
    """Without a room version the daemon chooses; with one, it is told."""
    run("send", "-c", path, "b.test", "--edu", EDU)
    run("send", "-c", path, "b.test", "--edu", EDU, "--room-version", "2014")
    bodies = [body for request, _, body in control.asked if "POST" in request]
    assert ["room_version" in each for each in bodies] == [False, True]
    assert bodies[1]["room_version"] == "2014"


def test_chosen_transactions(path: Path, control: CannedControl) -> None:
    """An ID and a repetition are members of the body."""
    run("send", "-c", path, "b.test", "--edu", EDU, "--txn-id", "mine")
    run("send", "-c", path, "b.test", "--again", "6")
    bodies = [body for request, _, body in control.asked if "POST" in request]
    assert [each.get("txn_id") for each in bodies] == ["mine", None]
    assert [each.get("again") for each in bodies] == [None, 6]


NOT_ONE_THING: list[tuple[list[str], str]] = [
    (["--again", "6", "--edu", EDU], "--again sends a transaction unchanged"),
    (["--again", "6", "--spoil", "path"], "--again sends a transaction unchanged"),
    (["--again", "6", "--txn-id", "x"], "--again sends a transaction unchanged"),
    (["--wait", "6", "--txn-id", "x"], "--wait sends nothing"),
    (["--wait", "6", "--again", "6"], "--wait sends nothing"),
    (["--txn-id", "x"], "there is nothing to send"),
    (["--again", "x"], "--again: "),
]


@pytest.mark.parametrize(("options", "message"), NOT_ONE_THING)
def test_not_one_thing(
    path: Path, control: CannedControl, options: list[str], message: str
) -> None:
    """Options that do not go together are refused before the daemon is asked."""
    status, said = failed(run("send", "-c", path, "b.test", *options))
    assert (status, said.startswith(message), control.asked) == (2, True, [])


def test_back_off(path: Path, control: CannedControl) -> None:
    """An entry that waits for the end of a back-off says how long, and why."""
    later = 4_000_000_000_000
    known = {"failures": 4, "next_attempt_ts": later, "last_error": "answers 503"}
    control.answers["GET /v1/peers/b.test"] = 200, known
    control.answers["GET /v1/send/b.test/6"] = 200, STATE
    done = run("send", "-c", path, "b.test", "--edu", EDU, "--timeout", "0")
    status, said = failed(done)
    first, last = said.splitlines()
    assert status == 1
    assert first.startswith("b.test is in back-off for ")
    end = "days more after 4 failures: answers 503"
    assert first.endswith(f"{end}; queued under ID 6; `--now` tries at once")
    assert last.startswith("not delivered yet, it stays queued under ID 6: in back-off")
    assert last.endswith(f"{end}; `--now` tries at once")


JUDGED: list[tuple[dict[str, object], bool | None, int, str]] = [
    ({"state": "rejected", "error": "answers 401"}, True, 0, ""),
    ({"state": "rejected", "error": "answers 400"}, False, 1, "not as expected: rejec"),
    ({"state": "delivered", "reply": {}}, True, 0, ""),
    (
        {"state": "delivered", "reply": {}},
        False,
        1,
        "not as expected: it was delivered",
    ),
    (
        {"state": "dropped", "dropped_ts": 1, "dropped_by": "x"},
        None,
        1,
        "it is not known whether that is right: dropped",
    ),
]


@pytest.mark.parametrize(("members", "as_expected", "status", "said"), JUDGED)
def test_mistakes(
    path: Path,
    control: CannedControl,
    members: dict[str, object],
    as_expected: object,
    status: int,
    said: str,
) -> None:
    """With mistakes, the command succeeds if the server did what is right."""
    state = STATE | {"txn_id": "1", "expected": ["X."], "as_expected": as_expected}
    control.answers["GET /v1/send/b.test/6"] = 200, state | members
    done = run("send", "-c", path, "b.test", "--edu", EDU, "--spoil", "path")
    assert done.exit_code == status
    assert done.stdout.startswith("expected: X.\n")
    is_told = f"as expected: it was {members['state']}\n" in done.stdout
    assert is_told is (as_expected is True)
    assert done.stderr.startswith(said)
    assert bool(done.stderr) is bool(said)
    [body] = [body for request, _, body in control.asked if "POST" in request]
    assert body["spoil"] == ["path"]
