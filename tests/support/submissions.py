"""What is handed over to be sent, and the queue that takes it."""

from collections.abc import Sequence

from homeserver.control.submit import Submitter
from homeserver.control.views import Submission
from homeserver.outbound.delivery.outgoing import Outgoing
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.shapes import read
from tests.support.coroutines import result_of
from tests.support.signed_requests import THEM, identity, signing_key

FIRST, SECOND = signing_key("a_1", b"1"), signing_key("a_2", b"2")

PDU: Json = {
    "type": "m.room.message",
    "room_id": "!r:us.example",
    "sender": "@a:us.example",
    "content": {"body": "hello"},
    "origin_server_ts": 1_700_000_000_000,
    "depth": 3,
    "prev_events": [],
    "auth_events": [],
}


class Tray(Outgoing):
    """Takes what is queued."""

    def __init__(self) -> None:
        self.queued: list[tuple[ServerName, Sequence[Json], Sequence[Json]]] = []

    async def enqueue(
        self,
        destination: ServerName,
        pdus: Sequence[Json],
        edus: Sequence[Json],
        txn_id: str | None = None,
    ) -> int:
        """Take one entry; its number from 1."""
        self.queued.append((destination, pdus, edus))
        return len(self.queued)


def submit(content: Json, destination: ServerName = THEM.server_name) -> Tray:
    """Hand something over; where it is then."""
    tray = Tray()
    ours = identity([FIRST, SECOND])
    number = result_of(
        Submitter(lambda: ours, tray).submit(destination, read(Submission, content))
    )
    assert number == len(tray.queued) == 1
    return tray


def completed(pdu: Json, version: str | None = None) -> Json:
    """What becomes of one PDU."""
    chosen: Json = {} if version is None else {"room_version": version}
    [(_, [queued], _)] = submit({"pdus": [pdu], **chosen}).queued
    return queued
