"""A daemon that is killed while it sends loses nothing of what it owes.

Three times here, alone and with three workers, of which also one alone is killed. A
hundred times, with twenty destinations and five thousand PDUs:

    KILLS=100 DESTINATIONS=20 PDUS=250 pytest --log-cli-level=INFO \
        tests/integration/test_queue_crashes.py
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest

from homeserver.config.reader import load
from homeserver.control.client import ControlClient, ControlError
from scripts.processes import Endpoint, first_line, free_ports, make_endpoint
from tests.support.receivers import Receiver, receiving
from tests.support.worker_processes import kill_all, workers_of

KILLS = int(os.environ.get("KILLS", "3"))
DESTINATIONS = int(os.environ.get("DESTINATIONS", "4"))
PDUS = int(os.environ.get("PDUS", "60"))  # for each destination

LIMIT_SECONDS = 60.0  # for what takes one; machines are shared

RETRIES = """
[sending]
first_retry_seconds = 0.05
max_retry_seconds = 0.4
"""


class Feeder(threading.Thread):
    """Owes one destination its PDUs, one after the other, through the control API."""

    def __init__(self, client: ControlClient, destination: str, ends: float) -> None:
        super().__init__(name=f"feeder of {destination}")
        self.repeated: set[object] = set()
        """The PDUs that may or may not have been queued before."""

        self.allowed = threading.Semaphore(0)
        """One for each that it may queue now."""

        self._client = client
        self._destination = destination
        self._ends = ends

    def run(self) -> None:
        """Queue them, in this thread."""
        for number in range(PDUS):
            pdu = {"number": number, "signatures": {}}
            self.allowed.acquire()
            while time.monotonic() < self._ends:
                try:
                    self._client.post(
                        "v1", "send", self._destination, content={"pdus": [pdu]}
                    )
                except ControlError:
                    self.repeated.add(number)
                    time.sleep(0.02)
                else:
                    break


def kill_under_load(
    alpha: Endpoint,
    receivers: Sequence[Receiver],
    feed: Callable[[], None],
    rng: Random,
) -> int:
    """Kill the daemon again and again, while destinations go up and down.

    Each time once something has arrived; how often one of them went down.
    """
    down = 0
    for _ in range(KILLS):
        feed()
        with alpha.running() as process:
            first_line(process)
            seen = sum(len(each.arrivals) for each in receivers)
            deadline = time.monotonic() + 3  # or nobody is there whom anything is owed
            while (
                sum(len(each.arrivals) for each in receivers) == seen
                and time.monotonic() < deadline
            ):
                time.sleep(0.001)
            if workers := workers_of(process):
                os.kill(rng.choice(workers), signal.SIGKILL)
            for receiver in rng.sample(receivers, len(receivers) // 2):
                if rng.random() < 0.4:
                    receiver.down()
                    down += 1
                else:
                    receiver.up()
                time.sleep(rng.uniform(0, 0.05))
            kill_all(process)
    return down


def check(receiver: Receiver, repeated: set[object]) -> None:
    """Each PDU came, in order; a transaction was the same however often it came."""
    bodies: dict[str, bytes] = {}
    for arrival in receiver.arrivals:
        assert bodies.setdefault(arrival.txn_id, arrival.body) == arrival.body
    assert len(set(bodies.values())) == len(bodies)
    # As one sees it who takes each transaction once, in the order of the first time.
    once = {arrival.txn_id: arrival for arrival in reversed(receiver.arrivals)}
    numbers = [
        pdu["number"] for arrival in reversed(once.values()) for pdu in arrival.pdus
    ]
    taken = [
        number
        for index, number in enumerate(numbers)
        if not (index and number == numbers[index - 1] and number in repeated)
    ]
    assert taken == list(range(PDUS))


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_owed_arrives(tmp_path: Path, workers: int) -> None:
    """After each kill -9, what is owed goes on with the same bytes, in order."""
    rng = Random(1)
    # Most say 200; some say nothing after they have taken it, or fail.
    answers = [200] * 6 + [None, None, 500, 429]
    with ExitStack() as stack:
        receivers, configuration = stack.enter_context(
            receiving(tmp_path, free_ports(DESTINATIONS), lambda: rng.choice(answers))
        )
        configuration += f"{RETRIES}\n[run]\nworkers = {workers}\n"
        alpha = make_endpoint(tmp_path / "alpha", "alpha.test", configuration)
        client = ControlClient.of_config(alpha.configuration, load(alpha.configuration))
        ends = time.monotonic() + LIMIT_SECONDS + 10 * KILLS
        feeders = [Feeder(client, each.name, ends) for each in receivers]
        for feeder in feeders:
            feeder.start()
            stack.callback(feeder.join)
            stack.callback(feeder.allowed.release, PDUS)  # lest it waits for ever

        def feed() -> None:
            for feeder in feeders:
                feeder.allowed.release(PDUS // (KILLS + 1) + 1)

        down = kill_under_load(alpha, receivers, feed, rng)
        feed()
        with alpha.running() as process:
            first_line(process)
            for receiver in receivers:
                receiver.up()
            for feeder in feeders:
                feeder.join()
            while alpha.ask("peers") and any(p["queued"] for p in alpha.ask("peers")):
                assert time.monotonic() < ends
                time.sleep(0.1)
    for feeder, receiver in zip(feeders, receivers, strict=True):
        check(receiver, feeder.repeated)
    arrivals = [arrival for each in receivers for arrival in each.arrivals]
    transactions = {arrival.txn_id for arrival in arrivals}
    logging.getLogger(__name__).info(
        "%d transactions arrived %d times; %d destinations went down",
        *(len(transactions), len(arrivals), down),
    )
