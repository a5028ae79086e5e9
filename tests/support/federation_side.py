"""The federation side of one server, put together in memory."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock

from homeserver.config.values import Events, Profile
from homeserver.http.arriving import ArrivingBodies
from homeserver.http.router import Route, Router
from homeserver.inbound.authentication import Authenticator, Body
from homeserver.inbound.diagnoses import Diagnoses
from homeserver.inbound.diagnosis_budget import DiagnosisBudget
from homeserver.inbound.gate import XMatrixGate, count_unproven
from homeserver.inbound.key_publisher import KeyPublisher
from homeserver.inbound.pdu_checks import PduChecker
from homeserver.inbound.refusal_queue import RefusalQueue
from homeserver.inbound.refusals import Refusals
from homeserver.inbound.routes import federation_routes, key_routes
from homeserver.inbound.signed_requests import SignedRequests
from homeserver.inbound.transactions import TransactionReceiver
from homeserver.inbound.turns import Turns
from homeserver.keys.keyring import Keyring
from homeserver.net.cause import Cause
from homeserver.net.cooperate import Pace
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.events.edus import polled_users
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import Database
from homeserver.storage.notifier import Changes
from homeserver.storage.received import ReceivedStore
from homeserver.storage.refusals import RefusalStore
from tests.support.as_json import as_json
from tests.support.coroutines import result_of
from tests.support.http_connection import Answer, ask, site
from tests.support.memory_database import MemoryDatabase
from tests.support.one_server import OneServer, OnlyServer
from tests.support.our_names import OUR_NAME
from tests.support.signed_requests import (
    ANY_CERTIFICATE,
    OTHERS,
    THEM,
    KnownKeys,
    Peer,
    identity,
)

NOW = 1_800_000_000.0  # seconds since 1970

SEND = "/_matrix/federation/v1/send/1"
QUERY = "/_matrix/federation/v1/query"
PROFILE = f"{QUERY}/profile?user_id=@a:us.example"

PROFILES = {
    "@a:us.example": Profile("Ä", "mxc://us.example/a"),
    "@b:us.example": Profile(displayname="B"),
}


_T = TypeVar("_T")


def at_once(work: Callable[[], _T]) -> Deferred[_T]:
    """Call what is called in a thread elsewhere."""
    return execute(work)


def body_of(data: bytes) -> Body:
    """The body of a request."""
    return Body(len(data), lambda: data)


class Endpoint:
    """A site that answers as this server does, and what it received."""

    def __init__(
        self,
        *,
        keyring: Keyring | None = None,
        database: Database | None = None,
        profiles: Mapping[str, Profile] | None = None,
        delegate_to: ServerName | None = None,
        max_body_bytes: int = 100_000,
        max_arriving_bytes: int = 2**30,
        refusals: RefusalStore | None = None,
        is_trusted: bool = False,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.identity = identity()
        self.heard: list[ServerName] = []
        """The origins that were proven, in order."""

        self.polled: list[tuple[ServerName, list[str]]] = []
        keyring = keyring or KnownKeys(THEM, OTHERS)
        budget = DiagnosisBudget(self.clock, lambda _: is_trusted)
        pace = Pace(self.clock)
        delegated = [] if delegate_to is None else [delegate_to.name]
        diagnoses = Diagnoses(keyring.candidates, budget, self.clock, pace, delegated)
        store = refusals or RefusalStore(MemoryDatabase(), OUR_NAME)
        self.waiting_refusals = RefusalQueue(self.clock)
        self.refusals = Refusals(
            store, self.waiting_refusals, self.clock, diagnoses.later
        )
        self.unproven = count_unproven(self.clock)
        self._received = ReceivedStore(
            database or MemoryDatabase(), OUR_NAME, Changes(self.clock)
        )
        self.signed_requests = SignedRequests(
            XMatrixGate(OUR_NAME, self.refusals, diagnoses, self.unproven),
            Authenticator(lambda: self.identity, keyring, ANY_CERTIFICATE, at_once),
            self.heard.append,
            diagnoses,
        )
        publisher = KeyPublisher(lambda: self.identity, 86400, self.clock)
        server = OneServer(
            self.signed_requests,
            TransactionReceiver(
                self._received,
                PduChecker(
                    self._received, keyring, self.clock, pace, Events(), diagnoses
                ),
                self._note_polled,
                self.clock,
                Turns(self.clock, pace),
            ),
            publisher,
            profiles=profiles or {},
            delegate_to=delegate_to,
        )
        servers = OnlyServer(server)
        self.server = server
        bodies = ArrivingBodies("federation", max_arriving_bytes)
        self.site = site(
            Router(
                [
                    *key_routes(servers, None),
                    *federation_routes(servers),
                    *self.more_routes(servers),
                ],
                servers.note_claim,
            ),
            max_body_bytes=max_body_bytes,
            clock=self.clock,
            bodies=bodies,
            refused=self.refusals.note,
        )

    def more_routes(self, servers: OnlyServer) -> list[Route]:
        """Further routes of the site."""
        return []

    async def _note_polled(
        self, asker: ServerName, edus: Sequence[Json], _: Cause
    ) -> None:
        polled = [str(user) for edu in edus for user in polled_users(edu)]
        if polled:
            self.polled.append((asker, polled))

    @property
    def received(self) -> list[Json]:
        """The recorded transactions, oldest first."""
        return [*map(as_json, result_of(self._received.after(0, None, 1000, 0)))]


def ask_signed(
    endpoint: Endpoint,
    method: str,
    target: str,
    content: Json | None = None,
    peer: Peer = THEM,
) -> Answer:
    """The answer to a request that a peer has signed."""
    header = "Authorization: " + peer.authorize(method, target, content)
    body = None if content is None else encode(content)
    return ask(endpoint.site, method, target, [header], body)
