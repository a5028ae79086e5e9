"""A notary over a store in memory, whose fetches end when the test says so."""

import copy
import sqlite3
from collections.abc import Sequence
from typing import Any, TypeVar

import signedjson.key
import signedjson.sign
from twisted.internet.defer import Deferred

from homeserver.inbound.notary import Notary, Query
from homeserver.net.cause import OURSELVES, Cause
from homeserver.protocol.canonical_json import Json, encode, parse_object
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import KeyDocument, build_v2
from homeserver.protocol.signing import SigningKey
from homeserver.storage.engine.interface import Job, StoreUnavailable
from homeserver.storage.engine.sqlite import SqliteConnection
from homeserver.storage.key_documents import DocumentStore
from tests.support.keyrings import NOW, OWN, OWN_KEY, UNREACHABLE, A, KeyringCase
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME

_T = TypeVar("_T")

OWN_DOCUMENT: Json = build_v2(OWN, [OWN_KEY], [], NOW + 86_400_000)


def is_signed_by(document: Json, server_name: ServerName, key: SigningKey) -> bool:
    """Whether the reference implementation finds a signature that verifies."""
    verify_key = signedjson.key.decode_verify_key_bytes(
        key.key_id, bytes(key.key.verify_key)
    )
    try:
        signedjson.sign.verify_signed_json(document, server_name.name, verify_key)
    except signedjson.sign.SignatureVerifyException:
        return False
    return True


def signers(document: Json) -> dict[str, list[str]]:
    """The servers that have signed, by key IDs."""
    signatures: Any = document["signatures"]
    return {name: sorted(of_one) for name, of_one in signatures.items()}


def without_signatures(document: Json) -> Json:
    """What was signed."""
    return {
        name: member
        for name, member in copy.deepcopy(document).items()
        if name not in {"signatures", "unsigned"}
    }


class Unreliable(MemoryDatabase):
    """A database that fails when the test says so."""

    fails = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(SqliteConnection(connection, ":memory:"))
        self.loses: dict[int, Json] = {}
        """Documents that are gone after so many reads more."""

    def __del__(self) -> None:
        """Leave the connection to whose it is."""

    async def read(self, job: Job[_T]) -> _T:
        """As `MemoryDatabase`, or not."""
        if self.fails:
            raise StoreUnavailable("broken")
        result = await super().read(job)
        self.loses = {reads - 1: document for reads, document in self.loses.items()}
        if 0 in self.loses:
            text = encode(self.loses.pop(0)).decode("utf-8")
            self.connection.execute(
                "DELETE FROM key_documents WHERE document = ?", (text,)
            )
        return result


class NotaryCase(KeyringCase):
    """A notary that knows no server."""

    def setUp(self) -> None:
        """Put it together."""
        super().setUp()
        self.shelf = Unreliable(self.database.connection)
        """What the notary reads from; the keyring has a way of its own."""

        self.notary = Notary(
            lambda: self.identity,
            lambda: encode(OWN_DOCUMENT),
            DocumentStore(self.shelf, OUR_NAME),
            self.keyring,
            self.clock,
        )

    def query(
        self,
        *queries: Query | ServerName,
        minimum: int | None = None,
        cause: Cause = OURSELVES,
    ) -> Deferred[list[Json]]:
        """Ask for keys, all of them where a name alone is given."""
        asked = [
            Query(each, {}, minimum) if isinstance(each, ServerName) else each
            for each in queries
        ]
        return Deferred.fromCoroutine(self.notary.answer(asked, cause)).addCallback(
            _documents
        )

    def known(self, *queries: Query | ServerName) -> list[Json]:
        """What is answered at once, without asking anybody."""
        before = list(self.client.asked)
        found = self.successResultOf(self.query(*queries))
        self.assertEqual(self.client.asked, before)
        return found

    def keys(
        self,
        key_ids: Sequence[str],
        server_name: ServerName = A,
        until: int | None = None,
    ) -> Query:
        """A question about keys that have to be valid until then."""
        return Query(server_name, dict.fromkeys(key_ids, until), until)

    def assert_are(self, found: list[Json], *expected: KeyDocument) -> None:
        """See to it that these documents were handed out, in any order."""
        self.assertCountEqual(
            [encode(without_signatures(each)) for each in found],
            [encode(without_signatures(each.document)) for each in expected],
        )

    def assert_asks(self, *queries: Query | ServerName) -> None:
        """See to it that a server is asked before there is an answer."""
        before = len(self.client.asked)
        asked = self.query(*queries)
        self.assertNoResult(asked)
        self.assertGreater(len(self.client.asked), before)
        while len(self.client._waiting):
            self.client.answer(UNREACHABLE)
        self.successResultOf(asked)
        self.clock.advance(301)

    def store_at(self, stored: KeyDocument, now_ts: int) -> None:
        """Let a document have come at some time."""
        recording = self.peers.record_keys(stored, now_ts)
        self.successResultOf(Deferred.fromCoroutine(recording))


def _documents(body: bytes) -> list[Json]:
    answer = parse_object(body)
    assert answer.keys() == {"server_keys"}
    documents: Any = answer["server_keys"]
    return list(documents)
