"""An endpoint that is killed while it joins rooms and sends and receives events.

Nothing that was acknowledged is lost, and after each kill the rooms in its store are
whole. Twice here, alone and with workers, of which also one alone is killed. By hand,
told how much happened:

    KILLS=100 pytest --log-cli-level=INFO tests/integration/test_room_crashes.py
"""

import json
import logging
import os
import signal
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from threading import Event, Semaphore, Thread

import pytest

from homeserver.control.client import ControlError
from scripts.processes import LOOPBACK, Endpoint, first_line, free_ports, make_endpoint
from tests.support.consistent_rooms import check_consistent
from tests.support.coroutines import result_of
from tests.support.eventually import HANGING_SECONDS, eventually
from tests.support.room_clients import Side
from tests.support.stopped_endpoints import StoppedEndpoint
from tests.support.worker_processes import kill_all, workers_of

KILLS = int(os.environ.get("KILLS", "2"))

_CONFIGURATION = """
[network]
allow = ["127.0.0.0/8", "::1"]

[sending]
first_retry_seconds = 0.2
max_retry_seconds = 0.5
"""


class Users:
    """Clients that go on and on, whatever becomes of the endpoint that they ask."""

    def __init__(self, alpha: Side, beta: Side, room_id: str) -> None:
        self.alpha, self.beta, self.room_id = alpha, beta, room_id
        self.said: list[str] = []
        """The messages of alpha that were acknowledged."""

        self.heard: list[str] = []
        """Those of beta."""

        self.joined: list[str] = []
        """The rooms of beta whose join was acknowledged."""

        self.tally = Semaphore(0)
        """A permit for each that was acknowledged."""

        self.may_ask = Event()
        self._is_over = False
        works = (self._say, self._hear, self._join)
        self._threads = [Thread(target=self._repeat, args=[work]) for work in works]

    def start(self) -> None:
        """Begin."""
        for each in self._threads:
            each.start()

    def end(self) -> None:
        """End, and wait for it."""
        self._is_over = True
        self.may_ask.set()
        for each in self._threads:
            each.join()

    def _repeat(self, work: Callable[[], None]) -> None:
        while not self._is_over:
            self.may_ask.wait()
            try:
                work()
                self.tally.release()
            except ControlError:
                continue  # it was killed meanwhile: nothing is acknowledged

    def _say(self) -> None:
        self.said.append(self.alpha.say(self.room_id, "from alpha"))

    def _hear(self) -> None:
        self.heard.append(self.beta.say(self.room_id, "from beta"))

    def _join(self) -> None:
        room_id = self.beta.create("12")
        self.alpha.post(room_id, "join", via=[self.beta.name])
        self.joined.append(room_id)


def endpoint(folder: Path, configuration: str = "") -> Endpoint:
    """The files of an endpoint on the loopback interface."""
    [port] = free_ports(1)
    name, where = f"localhost:{port}", f"{LOOPBACK}:{port}"
    return make_endpoint(folder, name, _CONFIGURATION + configuration, where)


def check_store(alpha: Endpoint, users: Users) -> int:
    """Check the rooms in the store of an endpoint that does not run; how many."""
    stopped = StoppedEndpoint(alpha)
    rooms = stopped.rooms
    with closing(stopped.connection):
        found = result_of(rooms.store.room_ids())
        for room_id in found:
            room = result_of(rooms.known(room_id))
            check_consistent(room)
            assert room.has_member(rooms.server_name)
        assert set(users.joined) <= set(found)
        return len(found)


@pytest.fixture(params=["sqlite", "sqlite, 3 workers", "postgres, 2 workers"])
def configuration(request: pytest.FixtureRequest) -> str:
    """Where the endpoint that is killed has its store, and how many workers it has."""
    engine, _, workers = request.param.partition(", ")
    tables = f"[run]\nworkers = {workers[:1]}\n" if workers else ""
    if engine == "postgres":
        url = request.getfixturevalue("postgres").new_store()
        tables += f"[storage]\nurl = {json.dumps(url)}\n"
    return tables


def test_killed_in_rooms(tmp_path: Path, configuration: str) -> None:
    """What was acknowledged is there, here and at the other server."""
    alpha = endpoint(tmp_path / "alpha", configuration)
    beta = endpoint(tmp_path / "beta")
    random = Random(1)
    one, two = Side(alpha), Side(beta)
    with beta.running() as other:
        first_line(other)
        room_id = two.create("11")
        users = Users(one, two, room_id)
        with alpha.running() as process:
            first_line(process)
            one.post(room_id, "join", via=[beta.name])
        users.start()
        try:
            for _ in range(KILLS):
                with alpha.running() as process:
                    first_line(process)
                    users.may_ask.set()
                    if running := workers_of(process):
                        os.kill(random.choice(running), signal.SIGKILL)
                    while users.tally.acquire(blocking=False):
                        pass  # those of before
                    for _ in range(random.randint(1, 30)):
                        assert users.tally.acquire(timeout=HANGING_SECONDS)
                    eventually(lambda: users.joined)
                    kill_all(process)
                users.may_ask.clear()
                check_store(alpha, users)
        finally:
            users.end()
        with alpha.running() as process:
            first_line(process)
            users.said.append(one.say(room_id, "the end"))
            for side in (one, two):
                for each in users.said:
                    eventually(partial(side.has, room_id, each))
            users.heard.append(two.say(room_id, "the end"))
            for each in users.heard:
                eventually(partial(one.has, room_id, each))
            assert one.state(room_id) == two.state(room_id)
    rooms = check_store(alpha, users)
    assert users.said
    assert users.joined
    logging.getLogger(__name__).info(
        "%d kills, %d said, %d heard, %d joins, %d rooms",
        *(KILLS, len(users.said), len(users.heard), len(users.joined), rooms),
    )
