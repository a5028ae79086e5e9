"""A receiver of transactions in memory, and what it has recorded."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.config.values import Events
from homeserver.inbound.authentication import ProvenOrigin
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.inbound.turns import Turns
from homeserver.keys.keyring import Keyring
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json, parse_object
from homeserver.protocol.events.edus import polled_users
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Database
from homeserver.storage.notifier import Changes
from homeserver.storage.received import ReceivedStore
from tests.support.as_json import as_json
from tests.support.coroutines import result_of
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.signed_requests import OTHERS, THEM, KnownKeys, Peer

NOW = 1_800_000_000.0

EDU: Json = {"edu_type": "x.test", "content": {"typing": True}}

NAMED: Json = {"origin": THEM.server_name.name, "origin_server_ts": 1}
"""What each transaction has beside its content."""


def edu(number: int) -> Json:
    """An EDU of its own."""
    return {"edu_type": "x.test", "content": {"number": number}}


def origin(peer: Peer = THEM) -> ProvenOrigin:
    """A peer whose request was proven."""
    return ProvenOrigin(peer.server_name, peer.key.key_id)


class Inbox:
    """A receiver, and what it recorded."""

    def __init__(
        self,
        keyring: Keyring | None = None,
        database: Database | None = None,
        default_room_version: str = "11",
        *,
        unsigned_2014: bool = True,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.clock.advance(NOW)
        self.polled: list[tuple[ServerName, list[str]]] = []
        self.keyring = keyring or KnownKeys(THEM, OTHERS)
        self.store = ReceivedStore(
            database or MemoryDatabase(), OUR_NAME, Changes(self.clock)
        )
        events = Events(ROOM_VERSIONS[default_room_version], unsigned_2014)
        pace = Pace(self.clock)
        self.turns = Turns(self.clock, pace)
        self.receiver = TransactionReceiver(
            self.store,
            PduChecker(self.store, self.keyring, self.clock, pace, events),
            self._note_polled,
            self.clock,
            self.turns,
        )

    async def _note_polled(
        self, asker: ServerName, edus: Sequence[Json], _: Cause
    ) -> None:
        polled = [str(user) for edu in edus for user in polled_users(edu)]
        if polled:
            self.polled.append((asker, polled))

    def begin(self, txn_id: str, content: Json, peer: Peer = THEM) -> Deferred[bytes]:
        """Hand a transaction over; the reply to it, when there is one."""
        receiving = Deferred.fromCoroutine(
            self.receiver.receive(origin(peer), txn_id, {**NAMED, **content}, OURSELVES)
        )
        return receiving.addCallback(lambda receipt: receipt.reply)

    def take(self, txn_id: str, *pdus: Json, peer: Peer = THEM) -> Json:
        """Hand a transaction over; the reply to it."""
        content: Json = {**NAMED, "pdus": list(pdus)}
        receiving = self.receiver.receive(origin(peer), txn_id, content, OURSELVES)
        return parse_object(result_of(receiving).reply)

    @property
    def transactions(self) -> list[Json]:
        """What was recorded, oldest first."""
        return [*map(as_json, result_of(self.store.after(0, None, 1000, 0)))]

    @property
    def pdus(self) -> list[Json]:
        """All PDUs that were recorded."""
        listed: list[Json] = []
        for transaction in self.transactions:
            assert isinstance(transaction["pdus"], list)
            listed += transaction["pdus"]
        return listed
