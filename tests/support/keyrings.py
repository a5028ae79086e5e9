"""A keyring over a store in memory, whose fetches end when the test says so."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.identity.identity import Identity
from homeserver.keys.keyring import Keyring, KeyringLimits
from homeserver.keys.signed_event import SignedEvent
from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.client import FederationClient, KeysAnswer
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import KeyId, ServerName, parse_key_id
from homeserver.protocol.key_documents import KeyDocument, OldVerifyKey
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.peers import PeerStore
from tests.support import key_documents
from tests.support.certificates import issue_for
from tests.support.key_documents import key_document, signing_key
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME

A, B, OWN = map(ServerName.parse, ["a.example", "b.example", "own.example"])
K1, K2, K3 = (parse_key_id(f"ed25519:{number}") for number in "123")

NOW = 1_600_000_000_000
HOUR = 3600 * 1000
DAY = 24 * HOUR

OWN_KEY = signing_key(K1, b"own")
OWN_OLD_KEY = OldVerifyKey(signing_key(K2, b"own").verify_key, NOW - HOUR)
IDENTITY = Identity(OWN, [OWN_KEY], [OWN_OLD_KEY], issue_for("own.example").value)

UNREACHABLE = Unreachable(A, ["no route"])
REFUSED = Refused(A, 404, "M_UNRECOGNIZED", "'what?'")


def key(key_id: KeyId) -> VerifyKey:
    """The one key of that ID."""
    return signing_key(key_id).verify_key


def document(
    *key_ids: KeyId,
    until: int | None = NOW + HOUR,
    old: Iterable[tuple[KeyId, int]] = (),
    server_name: ServerName = A,
) -> KeyDocument:
    """A document of current keys, and of old ones with when they expired."""
    return key_documents.key_document(
        server_name,
        [signing_key(key_id) for key_id in key_ids],
        until,
        [OldVerifyKey(key(key_id), expired_ts) for key_id, expired_ts in old],
    )


REBUILT = key_document(A, [signing_key(K1, b"rebuilt")], NOW + HOUR)
"""Another key under the ID of the one in `document(K1)`."""

CONFLICT = "`homeserver peers --forget a.example` forgets the stored key"


class Client(FederationClient):
    """A client whose fetches wait for the test to answer them."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.causes: list[Cause] = []
        self._waiting: list[Deferred[KeysAnswer]] = []
        self.peer = VerifiedPeer(A, "certificate", b"DER")
        """The server that answers."""

    async def fetch_keys_v1(self, server_name: ServerName, cause: Cause) -> KeysAnswer:
        """As `FederationClient`."""
        self.causes.append(cause)
        return await self._fetch(f"v1 of {server_name}")

    async def fetch_keys_v2(self, server_name: ServerName, cause: Cause) -> KeysAnswer:
        """As `FederationClient`."""
        self.causes.append(cause)
        return await self._fetch(f"v2 of {server_name}")

    def answer(self, result: KeyDocument | Exception) -> None:
        """End the oldest fetch that has not ended."""
        waiting = self._waiting.pop(0)
        if isinstance(result, KeyDocument):
            peer = replace(self.peer, server_name=result.server_name)
            waiting.callback(KeysAnswer(result, None, peer))
        elif isinstance(result, Refused) and result.is_unrecognized:
            waiting.callback(KeysAnswer(None, result.explanation, self.peer))
        else:
            waiting.errback(result)

    async def _fetch(self, asked: str) -> KeysAnswer:
        self.asked.append(asked)
        self._waiting.append(Deferred())
        return await self._waiting[-1]


class KeyringCase(SynchronousTestCase):
    """A keyring that begins with no keys but our own."""

    def setUp(self) -> None:
        """Put it together."""
        self.clock = Clock()
        self.clock.advance(NOW / 1000)
        self.database = MemoryDatabase()
        self.peers = PeerStore(self.database, OUR_NAME, self.clock)
        self.client = Client()
        self.identity = IDENTITY
        self.fetched: list[str] = []
        """What came of each fetch."""

        self.limits = KeyringLimits(self.clock)
        self.keyring = Keyring(
            lambda: self.identity,
            self.peers,
            self.client,
            self.clock,
            self.limits,
            self.fetched.append,
        )

    def store(self, stored: KeyDocument) -> None:
        """Let a document be known already."""
        self.successResultOf(
            Deferred.fromCoroutine(self.peers.record_keys(stored, NOW))
        )

    def ask(
        self, key_id: KeyId = K1, server_name: ServerName = A
    ) -> Deferred[VerifyKey]:
        """Ask for a key of a request."""
        return Deferred.fromCoroutine(
            self.keyring.request_key(server_name, key_id, OURSELVES)
        )

    def ask_for_event(
        self, *key_ids: KeyId, at: int = NOW, version: str = "12"
    ) -> Deferred[dict[KeyId, VerifyKey]]:
        """Ask for keys of an event."""
        event = SignedEvent(key_ids, at, ROOM_VERSIONS[version])
        return self.ask_for_events(event).addCallback(itemgetter(0))

    def ask_for_events(
        self, *events: SignedEvent, server_name: ServerName = A
    ) -> Deferred[Sequence[Mapping[KeyId, VerifyKey]]]:
        """Ask for the keys of several events together."""
        found = self.keyring.event_keys(server_name, events, OURSELVES)
        return Deferred.fromCoroutine(found)

    def prove(self, server_name: ServerName = A) -> None:
        """Let a request of a server be proven."""
        proving = Deferred.fromCoroutine(self.keyring.prove(server_name))
        self.successResultOf(proving)

    def refusal(self, asked: Deferred[VerifyKey]) -> str:
        """Why there is no key, as the operator learns it."""
        problem = self.failureResultOf(asked, Unauthorized).value
        assert isinstance(problem, Unauthorized)
        return problem.explanation.in_full
