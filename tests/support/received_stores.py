"""The received transactions of one server, in each engine, as its tests see them."""

from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import RoomId, ServerName
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.judged_pdus import JudgedPdu
from homeserver.storage.notifier import Changes
from homeserver.storage.pages import ListedTransaction
from homeserver.storage.received import ReceivedStore, ReceivedTransaction
from tests.support.as_json import as_json
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.postgres_server import PostgresDatabase

_T = TypeVar("_T")

A, B = map(ServerName.parse, ["a.example", "b.example"])
ROOM, OTHER_ROOM = RoomId("!room:a.example"), RoomId("!other:a.example")


def create(room_id: RoomId, room_version: str) -> JudgedPdu:
    """An accepted create event."""
    room = room_id, room_version
    return JudgedPdu(None, room_version, "accepted", b"{}", created_room=room)


def transaction(
    origin: ServerName,
    txn_id: str,
    pdus: Sequence[JudgedPdu] = (),
    edus: Sequence[Json] = (),
) -> ReceivedTransaction:
    """A transaction, whose reply names it."""
    reply = f"reply to {txn_id} of {origin}".encode()
    return ReceivedTransaction(
        origin, txn_id, 1000, "ed25519:a", None, pdus, edus, [], reply
    )


class ReceivedStoreTestCase(SynchronousTestCase):
    """An empty store, in SQLite."""

    database: ImmediateDatabase

    @pytest.fixture(autouse=True)
    def _open(self) -> None:
        self.database = MemoryDatabase()

    def setUp(self) -> None:
        """Begin with an empty store."""
        self.clock = Clock()
        self.changes = Changes(self.clock)
        self.store = ReceivedStore(self.database, OUR_NAME, self.changes)

    def done(self, call: Coroutine[Deferred[Any], Any, _T]) -> _T:
        """What a call that is done at once returns."""
        return self.successResultOf(Deferred.fromCoroutine(call))

    def record(self, *received: ReceivedTransaction) -> list[bytes | None]:
        """Record transactions; the replies to them."""
        return [self.done(self.store.record(each)) for each in received]

    def reply_to(self, origin: ServerName, txn_id: str) -> bytes | None:
        """The recorded reply."""
        return self.done(self.store.reply_to(origin, txn_id))

    def after(
        self, after: int = 0, origin: ServerName | None = None, limit: int = 100
    ) -> list[Json]:
        """What is there, without waiting."""
        return [*map(as_json, self.done(self.store.after(after, origin, limit, 0)))]

    def names(
        self, after: int = 0, origin: ServerName | None = None, limit: int = 100
    ) -> list[object]:
        """The transaction IDs of what is there."""
        return [each["txn_id"] for each in self.after(after, origin, limit)]

    def wait(
        self, origin: ServerName | None = None
    ) -> Deferred[list[ListedTransaction]]:
        """Wait ten seconds for what is there or comes."""
        return Deferred.fromCoroutine(self.store.after(0, origin, 100, 10))

    def room_versions(self, *room_ids: RoomId) -> dict[RoomId, str]:
        """The recorded versions of rooms."""
        return self.done(self.store.room_versions(room_ids))


class InPostgres:
    """The same, in PostgreSQL: to be named before the test case."""

    database: ImmediateDatabase

    @pytest.fixture(autouse=True)
    def _open(self, postgres_database: PostgresDatabase) -> None:
        postgres_database.empty()
        self.database = postgres_database
