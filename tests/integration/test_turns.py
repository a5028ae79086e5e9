"""How long a transaction of fifty PDUs keeps all others from having their turn.

By CPU time, in ratio to what the whole transaction costs: machines are shared. What a
clock says of it, with PDUs of another size:

    SIZE=1000 pytest --log-cli-level=INFO tests/integration/test_turns.py
"""

import gc
import logging
import os
import threading
import time
from pathlib import Path
from random import Random

from twisted.internet.task import LoopingCall

from homeserver.app.endpoint import Endpoint
from homeserver.config import reader
from homeserver.identity import identity
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.transactions import MAX_PDUS
from scripts.processes import make_endpoint
from tests.support.http_connection import request
from tests.support.pdus import message
from tests.support.raw_client import talking
from tests.support.senders import make_known
from tests.support.signed_requests import Peer, signing_key
from tests.support.waiting import reactor, wait

SIZE = int(os.environ.get("SIZE", "60000"))  # of each PDU; it may have 65536 bytes
TRANSACTIONS = 5

ALPHA = ServerName.parse("alpha.test")
BETA = Peer(ServerName.parse("beta.test"), signing_key("b_1", b"5"))


def put(number: int) -> bytes:
    """A transaction as large as it may be, signed."""
    pdus = [
        message(peer=BETA, content={"body": "x" * SIZE}, depth=number * MAX_PDUS + each)
        for each in range(MAX_PDUS)
    ]
    content: Json = {"pdus": pdus}
    target = f"/_matrix/federation/v1/send/{number}"
    header = BETA.authorize("PUT", target, content, destination=ALPHA)
    return request("PUT", target, [f"Authorization: {header}"], encode(content))


def send(port: int, transactions: list[bytes], statuses: list[int]) -> None:
    """Send transactions one after the other."""
    with talking(port) as talk:
        for data in transactions:
            talk.send(data)
            statuses.append(talk.answer().status)


class Ticks:
    """The longest time from one millisecond's tick of the reactor to the next."""

    def __init__(self) -> None:
        self.wall = 0.0
        self.cpu = 0.0
        """Of the reactor's thread."""

        self._last = (time.perf_counter(), time.thread_time())
        self._loop = LoopingCall(self._tick)
        self._loop.start(0.001).addErrback(lambda _: None)

    def stop(self) -> None:
        """Tick no more."""
        self._loop.stop()

    def _tick(self) -> None:
        wall, cpu = self._last
        self._last = (time.perf_counter(), time.thread_time())
        self.wall = max(self.wall, self._last[0] - wall)
        self.cpu = max(self.cpu, self._last[1] - cpu)


def test_large_transaction_lets_others_have_their_turn(tmp_path: Path) -> None:
    """The reactor's longest step is a small part of what a transaction costs."""
    made = make_endpoint(tmp_path / "alpha", ALPHA.name, '[log]\nlevel = "error"\n')
    path = made.configuration
    config = reader.load(path)
    alpha = Endpoint(path, config, identity.load_all(path, config), reactor, Random(1))
    transactions = [put(number) for number in range(TRANSACTIONS)]
    statuses: list[int] = []
    wait(alpha.start())
    try:
        make_known(made.folder / "homeserver.db", ALPHA, BETA)
        client = threading.Thread(target=send, args=(made.port, transactions, statuses))
        gc.freeze()  # what the tests have in memory is not looked through meanwhile
        begun = time.process_time()
        ticks = Ticks()
        client.start()
        while client.is_alive():
            reactor.iterate(0.001)  # it waits for so long, whatever is due
        ticks.stop()
        cost = (time.process_time() - begun) / TRANSACTIONS
    finally:
        gc.unfreeze()
        wait(alpha.stop())
    assert statuses == [200] * TRANSACTIONS
    logging.getLogger(__name__).info(
        "%d bytes: longest step %.1f ms (%.1f ms of CPU time), a transaction %.1f ms",
        *(SIZE, ticks.wall * 1000, ticks.cpu * 1000, cost * 1000),
    )
    assert ticks.cpu < cost / 4
