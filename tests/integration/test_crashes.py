"""A daemon that is killed while servers send to it loses nothing and doubles nothing.

Twice here, alone and with three workers, of which also one alone is killed. Fifty
times, told how often a transaction was repeated:

    KILLS=50 pytest --log-cli-level=INFO tests/integration/test_crashes.py
"""

import logging
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from threading import Semaphore

import pytest

from homeserver.protocol.canonical_json import Json, as_list, encode
from homeserver.protocol.identifiers import ServerName
from scripts.processes import Endpoint, first_line, make_endpoint
from tests.support.http_connection import request
from tests.support.pdus import message
from tests.support.raw_client import talking
from tests.support.senders import PDUS, Sender, make_known
from tests.support.signed_requests import Peer, signing_key
from tests.support.worker_processes import kill_all, workers_of

KILLS = int(os.environ.get("KILLS", "2"))
SENDERS = 4
ALPHA = ServerName.parse("alpha.test")


GAMMA = Peer(ServerName.parse("gamma.test"), signing_key("g_1", b"9"))


def put(port: int, content: Json) -> bytes:
    """The reply to the one transaction of gamma, with some content."""
    target = "/_matrix/federation/v1/send/1"
    header = GAMMA.authorize("PUT", target, content, destination=ALPHA)
    with talking(port) as talk:
        lines = [f"Authorization: {header}"]
        talk.send(request("PUT", target, lines, encode(content)))
        answer = talk.answer()
    assert answer.status == 200
    return answer.body


def test_contents_of_one_transaction_id(tmp_path: Path) -> None:
    """Over kill -9, each content keeps its reply, and nothing is recorded twice."""
    alpha = make_endpoint(tmp_path / "alpha", ALPHA.name, "")
    pdus = [message(peer=GAMMA, content={"body": str(number)}) for number in range(3)]
    contents: list[Json] = [{"pdus": pdus[:number]} for number in (1, 2, 3)]
    replies: list[bytes] = []
    received: list[Json] = []
    for number in range(4):
        with alpha.running() as process:
            first_line(process)
            if not number:
                make_known(alpha.folder / "homeserver.db", ALPHA, GAMMA)
            answered = [put(alpha.port, each) for each in contents[: number + 1]]
            assert answered[: len(replies)] == replies
            replies = answered
            received = alpha.ask("received")
            process.kill()
            process.wait()
    assert [len(as_list(each["pdus"], "PDUs")) for each in received] == [1, 1, 1]
    remarks = [str(each["remarks"]) for each in received]
    assert ["was used before" in each for each in remarks] == [False, True, True]
    assert alpha.log.read_text().count("was used before with other content") == 2


def kill_under_load(
    alpha: Endpoint, senders: list[Sender], tally: Semaphore, random: Random
) -> None:
    """Kill the daemon again and again while the servers send, and let it end well.

    It is killed the moment that a transaction gets its 200, and one of its workers some
    time before.
    """
    for number in range(KILLS + 1):
        with alpha.running() as process:
            first_line(process)
            while tally.acquire(blocking=False):
                pass  # those of before
            for _ in range(random.randint(1, 20)):
                assert tally.acquire(timeout=60)
            if workers := workers_of(process):
                os.kill(random.choice(workers), signal.SIGKILL)
                for _ in range(random.randint(1, 20)):
                    assert tally.acquire(timeout=60)
            if number < KILLS:
                kill_all(process)
            else:
                for sender in senders:
                    sender.end()


# Where the daemon ends between a connection and its handshake, `SSLContext.wrap_socket`
# raises and leaves the socket to the collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
@pytest.mark.parametrize("workers", [1, 3])
def test_what_was_acknowledged_is_there_once(tmp_path: Path, workers: int) -> None:
    """After each kill -9, each transaction that got its 200 is in the store once."""
    alpha = make_endpoint(
        tmp_path / "alpha", ALPHA.name, f"\n[run]\nworkers = {workers}\n"
    )
    tally = Semaphore(0)
    senders = [Sender(number, ALPHA, alpha.port, tally) for number in range(SENDERS)]
    store = alpha.folder / "homeserver.db"
    with alpha.running() as process:
        first_line(process)
        make_known(store, ALPHA, *[sender.peer for sender in senders])
    for sender in senders:
        sender.start()
    try:
        kill_under_load(alpha, senders, tally, Random(1))
    finally:
        for sender in senders:
            sender.give_up()
    taken = {
        (sender.peer.server_name.name, each.txn_id): each
        for sender in senders
        for each in sender.taken
    }
    assert len(taken) == sum(len(sender.taken) for sender in senders) > KILLS
    repeated = [each for each in taken.values() if each.attempts > 1]
    assert len(repeated) >= KILLS
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute(
            "SELECT origin, txn_id, reply, edus, count(*), count(DISTINCT event_id),"
            " max(verdict), min(event) FROM received_transactions"
            " JOIN received_pdus ON transaction_id = id GROUP BY id"
        ).fetchall()
    # Each is there once, with the reply that it got and with its own events, once.
    assert len(rows) == len(taken)
    for origin, txn_id, reply, edus, pdus, events, verdict, event in rows:
        each = taken[origin, txn_id]
        assert (reply, verdict) == (each.reply, "accepted")
        assert pdus == events == PDUS
        assert f'"{each.body}"' in event
        assert f'"{each.body}"' in edus
    log = alpha.log.read_text()
    logging.getLogger(__name__).info(
        "%d taken, %d repeated, %d of them after the commit",
        *(len(taken), len(repeated), log.count("known already")),
    )
