"""Three endpoints of one name on one PostgreSQL, of which one is killed."""

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import copy

from homeserver.config.reader import load
from homeserver.control.client import ControlClient
from scripts.processes import (
    LOOPBACK,
    Endpoint,
    first_line,
    free_ports,
    make_endpoint,
    running_nameserver,
)
from tests.support.eventually import HANGING_SECONDS
from tests.support.postgres_server import Server
from tests.support.receivers import Receiver, receiving

DESTINATIONS = 6  # two for each endpoint
PDUS = 12  # for each destination

DNS = """
[dns]
servers = ["{nameserver}"]

[sending]
first_retry_seconds = 0.2
max_retry_seconds = 1
"""


@contextmanager
def cluster(
    folder: Path, url: str, configuration: str
) -> Iterator[tuple[list[Endpoint], Endpoint]]:
    """Three endpoints called `alpha.test` and one called `beta.test`; none runs yet."""
    [port] = free_ports(1)
    configuration += DNS.format(nameserver=f"{LOOPBACK}:{port}")
    shared = configuration + f"\n[storage]\nurl = {json.dumps(url)}\n"
    alphas = [
        make_endpoint(folder / f"alpha{number}", "alpha.test", shared)
        for number in range(3)
    ]
    for each in alphas[1:]:  # one name has one identity
        for file in ("signing.key", "tls.key", "tls.crt"):
            copy(alphas[0].folder / file, each.folder / file)
    beta = make_endpoint(folder / "beta", "beta.test", configuration)
    zone = [f"{name} A {LOOPBACK}" for name in ("alpha.test", "beta.test")]
    zone += [
        f"_matrix._tcp.{each.name} SRV 10 1 {each.port} {each.name}"
        for each in (*alphas, beta)
    ]
    with running_nameserver(f"{LOOPBACK}:{port}", zone, folder / "dns.log"):
        yield alphas, beta


class Held:
    """Receivers that answer nothing until they are released."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        """One for each transaction that has come whole."""

        self.released = threading.Event()

    def behave(self) -> int:
        """As `Behave`."""
        self.begun.release()
        self.released.wait(HANGING_SECONDS)
        return 200


def check(receiver: Receiver) -> None:
    """Each PDU is there, in order, and in one transaction, which is always the same."""
    bodies: dict[str, bytes] = {}
    for arrival in receiver.arrivals:
        assert bodies.setdefault(arrival.txn_id, arrival.body) == arrival.body
    pdus = [pdu for body in bodies.values() for pdu in json.loads(body)["pdus"]]
    assert [pdu["number"] for pdu in pdus] == list(range(PDUS))


def queue(
    clients: Sequence[ControlClient], receivers: Sequence[Receiver], numbers: range
) -> None:
    """Owe each receiver these PDUs, through one endpoint after the other."""
    for number in numbers:
        for index, receiver in enumerate(receivers):
            pdu = {"number": number, "signatures": {}}
            client = clients[(index + number) % len(clients)]
            client.post("v1", "send", receiver.name, content={"pdus": [pdu]})


def test_one_of_three_is_killed(tmp_path: Path, postgres: Server) -> None:
    """Inbound goes on through the others, which also take over what it owed.

    Nothing is lost, and nothing is in two different transactions.
    """
    held = Held()
    with ExitStack() as stack:
        receivers, configuration = stack.enter_context(
            receiving(tmp_path, free_ports(DESTINATIONS), held.behave)
        )
        alphas, beta = stack.enter_context(
            cluster(tmp_path, postgres.new_store(), configuration)
        )
        processes = [stack.enter_context(each.running()) for each in alphas]
        for process in (*processes, stack.enter_context(beta.running())):
            first_line(process)
        clients = [
            ControlClient.of_config(each.configuration, load(each.configuration))
            for each in alphas
        ]
        stack.callback(held.released.set)
        # Each endpoint begins at once with what was handed to it.
        queue(clients, receivers, range(1))
        for _ in receivers:
            assert held.begun.acquire(timeout=HANGING_SECONDS)
        queue(clients, receivers, range(1, PDUS // 2))
        sent = [beta.ask("send", "alpha.test", "--edu", edu(n)) for n in range(3)]
        processes[0].kill()
        killed = time.monotonic()
        processes[0].wait()
        held.released.set()
        queue(clients[1:], receivers, range(PDUS // 2, PDUS))
        sent += [beta.ask("send", "alpha.test", "--edu", edu(n)) for n in range(3, 6)]
        assert all(state["state"] == "delivered" for [state] in sent)
        while any(peer["queued"] for peer in alphas[1].ask("peers")):
            assert time.monotonic() < killed + HANGING_SECONDS
            time.sleep(0.2)
        logging.getLogger(__name__).info(
            "all is delivered %.1f seconds after the kill", time.monotonic() - killed
        )
        received = alphas[2].ask("received", "--origin", "beta.test")
    numbers = [edu["content"]["number"] for each in received for edu in each["edus"]]
    assert numbers == list(range(6))
    for receiver in receivers:
        check(receiver)
    # Those of the killed one came twice: to nobody's harm, as they are the same.
    repeated = [len(each.arrivals) - len(ids(each)) for each in receivers]
    assert set(repeated) == {0, 1}


def ids(receiver: Receiver) -> set[str]:
    """The transactions that a receiver knows."""
    return {arrival.txn_id for arrival in receiver.arrivals}


def edu(number: int) -> str:
    """An EDU that can be told from others."""
    return json.dumps({"edu_type": "m.test", "content": {"number": number}})
