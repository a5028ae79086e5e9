"""Servers that send transactions, and repeat each one until it is taken."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from tests.support.http_connection import request
from tests.support.pdus import message
from tests.support.raw_client import Talk, talking
from tests.support.signed_requests import Peer, signing_key

PDUS = 30  # in each transaction: to write them takes longer than to answer


def make_known(store: Path, own: ServerName, *peers: Peer) -> None:
    """Put the keys of servers into our store, so that they are not fetched."""
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.executemany(
            "INSERT INTO server_keys (server_name, peer, key_id, key, valid_until_ts)"
            " VALUES (?, ?, ?, ?, ?)",
            [
                (
                    own.name,
                    peer.server_name.name,
                    peer.key.key_id,
                    peer.key.verify_key.key,
                    4_000_000_000_000,
                )
                for peer in peers
            ],
        )


@dataclass(frozen=True)
class Taken:
    """A transaction that got its 200."""

    txn_id: str
    body: str
    """Of its events, which no other one has."""

    reply: bytes
    attempts: int


class Sender(threading.Thread):
    """One server; it sends one transaction after the other until it is told to end."""

    def __init__(
        self,
        number: int,
        destination: ServerName,
        port: int,
        tally: threading.Semaphore,
    ) -> None:
        """`tally` is released for each transaction that is taken."""
        super().__init__(name=f"sender {number}")
        self.peer = Peer(
            ServerName.parse(f"sender{number}.test"),
            signing_key("s_1", bytes([number + 1])),
        )
        self.taken: list[Taken] = []
        self._destination = destination
        self._port = port
        self._tally = tally
        self._ends = threading.Event()
        self._gives_up = threading.Event()

    def run(self) -> None:
        """Send, in this thread."""
        while not self._ends.is_set():
            self._send(f"t{len(self.taken)}")

    def end(self) -> None:
        """End when the transaction that is on its way is taken."""
        self._ends.set()
        self.join()

    def give_up(self) -> None:
        """End, whatever becomes of what is on its way."""
        self._gives_up.set()
        self.end()

    def _send(self, txn_id: str) -> None:
        target = f"/_matrix/federation/v1/send/{txn_id}"
        text = f"{txn_id} of {self.peer.server_name}"
        content: Json = {
            "pdus": [
                message(peer=self.peer, content={"body": text}, depth=number)
                for number in range(PDUS)
            ],
            "edus": [{"edu_type": "x.test", "content": {"body": text}}],
        }
        header = self.peer.authorize(
            "PUT", target, content, destination=self._destination
        )
        data = request("PUT", target, [f"Authorization: {header}"], encode(content))
        attempts = 0
        while not self._gives_up.is_set():
            attempts += 1
            try:
                with talking(self._port) as talk:
                    reply = _ask(talk, data)
            except (OSError, EOFError):  # nobody is there, or not for long enough
                self._gives_up.wait(0.01)
                continue
            self._tally.release()
            self.taken.append(Taken(txn_id, text, reply, attempts))
            return


def _ask(talk: Talk, data: bytes) -> bytes:
    talk.send(data)
    answer = talk.answer()
    if answer.status != 200:
        raise EOFError
    return answer.body
