"""What `send` and `peers` tell of what does not go its way."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from scripts.processes import PROGRAM, Endpoint, first_line, free_ports, make_endpoint
from tests.support.eventually import HANGING_SECONDS, eventually
from tests.support.receivers import Receiver, receiving

EDU = '{"edu_type": "m.test", "content": {}}'
TYPING = '{"edu_type": "m.typing", "content": {}}'

# Whoever fails is tried again when somebody wants it.
PATIENCE = """
[sending]
first_retry_seconds = 3000
"""


@pytest.fixture
def answers() -> list[int]:
    """The statuses that the receiver answers with, one after the other; then 200."""
    return []


@pytest.fixture
def pair(tmp_path: Path, answers: list[int]) -> Iterator[tuple[Endpoint, Receiver]]:
    """A daemon that runs, and a server that it sends to."""

    def behave() -> int:
        return answers.pop(0) if answers else 200

    with receiving(tmp_path, free_ports(1), behave) as ([receiver], configuration):
        alpha = make_endpoint(
            tmp_path / "alpha", "alpha.test", configuration + PATIENCE
        )
        with alpha.running() as process:
            first_line(process)
            yield alpha, receiver


def test_rejected(pair: tuple[Endpoint, Receiver], answers: list[int]) -> None:
    """What is rejected is told at once, with why; and what follows goes."""
    alpha, receiver = pair
    for status in (400, 413):
        answers.append(status)
        done = alpha.call("send", receiver.name, "--edu", EDU)
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert line.startswith("rejected, it is not sent again: ")
        assert f"answers {status}" in line
    [state] = alpha.ask("send", receiver.name, "--edu", EDU)
    assert state["state"] == "delivered"
    [peer] = alpha.ask("peers")
    assert (peer["queued"], peer["rejected"]) == (0, 2)
    assert "2 transactions rejected" in alpha.call("peers").stdout


PDU = (
    '{"type": "m.x", "room_id": "!r:alpha.test", "sender": "@a:alpha.test", "content": '
    '{}, "origin_server_ts": 1, "depth": 1, "prev_events": [], "auth_events": []}'
)


def test_remarks(pair: tuple[Endpoint, Receiver]) -> None:
    """A reply that says nothing of a PDU is a delivery, but not for --strict."""
    alpha, receiver = pair
    done = alpha.call("send", receiver.name, "--pdu", PDU)
    assert done.returncode == 0
    *_, remark = done.stdout.splitlines()
    assert remark == "remark: the reply does not name PDU 0"
    done = alpha.call("send", receiver.name, "--pdu", PDU, "--strict")
    assert done.returncode == 1
    assert done.stdout.startswith("delivered: ")
    assert done.stderr == (
        "delivered, but the reply has a problem: the reply does not name PDU 0\n"
    )
    assert alpha.call("send", receiver.name, "--edu", EDU, "--strict").returncode == 0


def test_sent_again(pair: tuple[Endpoint, Receiver]) -> None:
    """A transaction of a chosen ID goes twice, with the same bytes."""
    alpha, receiver = pair
    sent = alpha.ask("send", receiver.name, "--edu", EDU, "--txn-id", "mine")
    again = alpha.ask("send", receiver.name, "--again", str(sent[0]["id"]))
    assert [each["txn_id"] for each in [*sent, *again]] == ["mine", "mine"]
    assert len(receiver.arrivals) == 2
    assert receiver.arrivals[0] == receiver.arrivals[1]
    done = alpha.call("send", receiver.name, "--again", "99")
    assert done.returncode == 1
    assert "nothing of ID 99 was queued" in done.stderr


def test_not_now(pair: tuple[Endpoint, Receiver], answers: list[int]) -> None:
    """What may be taken later stays queued, until it is tried again."""
    alpha, receiver = pair
    answers.append(503)
    alpha.call("send", receiver.name, "--edu", EDU, "--timeout", "0")
    eventually(lambda: failures(alpha) == 1)
    done = alpha.call("send", receiver.name, "--wait", "1", "--timeout", "0")
    assert done.returncode == 1
    _, line = done.stderr.splitlines()
    assert line.startswith("not delivered yet, it stays queued under ID 1: ")
    assert "answers 503" in line
    assert alpha.call("peers", "--retry", receiver.name).returncode == 0
    [state] = alpha.ask("send", receiver.name, "--edu", EDU)
    assert state["state"] == "delivered"
    assert len(receiver.arrivals) == 2


def test_dropped(pair: tuple[Endpoint, Receiver]) -> None:
    """A command that waits for a dropped transaction ends with an error."""
    alpha, receiver = pair
    receiver.down()
    alpha.call("send", receiver.name, "--edu", EDU, "--timeout", "0")
    waiting = subprocess.Popen(
        [PROGRAM, "send", "-c", alpha.configuration, receiver.name, "--edu", TYPING],
        stderr=subprocess.PIPE,
        text=True,
    )
    make_old(alpha.folder / "homeserver.db")
    receiver.up()
    alpha.call("peers", "--retry", receiver.name)
    _, said = waiting.communicate(timeout=HANGING_SECONDS)
    assert waiting.returncode == 1
    *_, line = said.splitlines()
    assert re.match(r"dropped [0-9]+ s ago: ", line)
    assert line.endswith("what it says was stale before it could be delivered")
    [peer] = alpha.ask("peers")
    assert (peer["queued"], peer["dropped"]) == (0, 1)
    assert "1 entry dropped" in alpha.call("peers").stdout
    assert len(receiver.arrivals) == 1


def test_back_off(pair: tuple[Endpoint, Receiver], answers: list[int]) -> None:
    """A command that meets a back-off reports it, and --now ends it."""
    alpha, receiver = pair
    answers += [503, 503]
    first = alpha.call("send", receiver.name, "--edu", EDU, "--timeout", "1")
    assert " is in back-off" not in first.stderr
    eventually(lambda: failures(alpha) == 1)
    second = alpha.call("send", receiver.name, "--edu", EDU, "--timeout", "0")
    told, _ = second.stderr.splitlines()
    assert told.startswith(f"{receiver.name} is in back-off for ")
    assert " min more after 1 failure: " in told
    assert told.endswith(
        "answers 503 M_UNKNOWN; queued under ID 2; `--now` tries at once"
    )
    third = alpha.call("send", receiver.name, "--wait", "2", "--now", "--timeout", "1")
    assert third.returncode == 1
    assert third.stderr.startswith("not delivered yet, it stays queued under ID 2: ")
    assert " is in back-off" not in third.stderr
    eventually(lambda: not answers and failures(alpha) == 1)
    [state] = alpha.ask("send", receiver.name, "--wait", "1", "--now")
    assert (state["id"], state["state"]) == (1, "delivered")
    done = alpha.call("send", receiver.name, "--wait", "1")
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "delivered")


def test_interrupted(pair: tuple[Endpoint, Receiver]) -> None:
    """Ctrl-C ends the wait alone; the entry stays, and how to wait on is said."""
    alpha, receiver = pair
    receiver.down()
    alpha.call("send", receiver.name, "--edu", EDU, "--timeout", "1")
    words = ["send", "-c", str(alpha.configuration), receiver.name, "--edu", EDU]
    # An interrupt while Python connects leaves it a socket, of which it would warn.
    quiet = {**os.environ, "PYTHONWARNINGS": ""}
    with subprocess.Popen(
        [str(PROGRAM), *words], stderr=subprocess.PIPE, text=True, env=quiet
    ) as waiting:
        assert waiting.stderr is not None
        assert "queued under ID 2" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        _, said = waiting.communicate(timeout=HANGING_SECONDS)
    assert waiting.returncode == 130
    again = f"homeserver send -c {alpha.configuration} {receiver.name} --wait 2"
    assert said.splitlines()[-1] == f"stays queued as 2; `{again}` waits for it"
    [peer] = alpha.ask("peers")
    assert peer["queued"] == 2


def test_wait_that_cannot_be(pair: tuple[Endpoint, Receiver]) -> None:
    """Waiting for what was never queued, or while sending, is an error."""
    alpha, receiver = pair
    done = alpha.call("send", receiver.name, "--wait", "77")
    assert done.returncode == 1
    assert done.stderr == f"nothing of ID 77 was queued for {receiver.name}\n"
    done = alpha.call("send", receiver.name, "--wait", "1", "--edu", EDU)
    assert done.returncode == 2
    done = alpha.call("send", receiver.name, "--wait", "x")
    assert done.returncode == 2
    assert done.stderr == "--wait: 'x' is no ID of a queued entry\n"


def test_wedge(pair: tuple[Endpoint, Receiver], answers: list[int]) -> None:
    """What is never taken is dropped by its ID, and what is behind it goes."""
    alpha, receiver = pair
    answers += [500] * 5
    alpha.call("send", receiver.name, "--edu", EDU, "--timeout", "0")
    eventually(lambda: failures(alpha) == 1)
    alpha.call("send", receiver.name, "--edu", EDU, "--timeout", "0")
    [peer] = alpha.ask("peers")
    assert (peer["queued"], peer["oldest_id"]) == (2, 1)
    answers.clear()
    done = alpha.call("peers", "--drop", receiver.name, "1")
    assert (done.returncode, done.stdout) == (
        0,
        f"dropped: 1 entry for {receiver.name}\n",
    )
    [state] = alpha.ask("send", receiver.name, "--wait", "2")
    assert state["state"] == "delivered"
    waited = alpha.call("send", receiver.name, "--wait", "1")
    assert waited.returncode == 1
    assert waited.stderr.endswith(" by `homeserver peers --drop`\n")
    again = alpha.call("peers", "--drop", receiver.name, "1")
    assert again.returncode == 1
    assert again.stderr == (
        f"entry 1 for {receiver.name} was dropped; there is nothing to drop\n"
    )
    assert alpha.call("peers", "--drop", receiver.name, "x").returncode == 2
    assert alpha.call("peers", "--drop", "no_name", "1").returncode == 2
    assert len(receiver.arrivals) == 1


def test_transaction_under_way_is_cut_off(tmp_path: Path) -> None:
    """A transaction that hangs is cut off when it is dropped, by its connection."""
    hanging, is_over = threading.Event(), threading.Event()

    def behave() -> int:
        if not hanging.is_set():
            hanging.set()
            is_over.wait(HANGING_SECONDS)
        return 200

    with receiving(tmp_path, free_ports(1), behave) as ([receiver], configuration):
        alpha = make_endpoint(
            tmp_path / "alpha", "alpha.test", configuration + PATIENCE
        )
        with alpha.running() as process:
            first_line(process)
            alpha.call("send", receiver.name, "--edu", EDU, "--timeout", "0")
            assert hanging.wait(HANGING_SECONDS)
            alpha.call("send", receiver.name, "--edu", EDU, "--timeout", "0")
            done = alpha.call("peers", "--drop-all", receiver.name)
            assert done.stdout == f"dropped: 2 entries for {receiver.name}\n"
            [state] = alpha.ask("send", receiver.name, "--edu", EDU)
            assert state["state"] == "delivered"
            # Had the first one not been cut off, it would have failed, or arrived.
            [arrival] = receiver.arrivals
            assert json.loads(arrival.body)["edus"] == [json.loads(EDU)]
            [peer] = alpha.ask("peers")
            assert (peer["dropped"], peer["failures"]) == (2, 0)
            is_over.set()


def failures(alpha: Endpoint) -> int:
    """How many attempts at its one destination have failed in a row."""
    [peer] = alpha.ask("peers")
    return int(peer["failures"])


def make_old(store: Path) -> None:
    """Let what is ephemeral have been queued long ago, once there is any."""
    sql = "UPDATE outbound_entries SET queued_ts = 0 WHERE ephemeral > 0 RETURNING id"
    with closing(sqlite3.connect(store, isolation_level=None)) as connection:
        eventually(lambda: connection.execute(sql).fetchall())
