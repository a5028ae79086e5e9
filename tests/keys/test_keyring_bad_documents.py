"""Bad key documents: nothing of them is believed, and nothing is stored."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest
from twisted.internet.interfaces import IProtocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from homeserver.keys.keyring import Keyring
from homeserver.net.cause import Cause
from homeserver.net.exchange import Exchange
from homeserver.outbound.agent import FederationAgent, OutgoingRequest
from homeserver.outbound.client import FederationClient
from homeserver.outbound.transport.connector import VerifiedConnection
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.discovery import Route
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import MAX_DOCUMENT_BYTES, V1_PATH, V2_PATH
from tests.support.bad_key_documents import (
    BAD_DOCUMENTS,
    DOMAIN,
    KEY,
    BadDocument,
    document,
    signed,
)
from tests.support.keyrings import KeyringCase

LINK = VerifiedConnection(
    Route("domain", 8448, "domain", "domain"),
    "192.0.2.1",
    VerifiedPeer(DOMAIN, "certificate", b"\x00\x01\x02"),
)
PATHS = {1: V1_PATH, 2: V2_PATH}
ABSENT = KeyId("ed25519:absent")


@dataclass
class Response:
    """A response that is all there."""

    code: int
    body: bytes
    headers: Headers = field(default_factory=Headers)
    transport: StringTransport = field(default_factory=StringTransport)

    def deliverBody(self, protocol: IProtocol) -> None:
        """As `IResponse`."""
        protocol.makeConnection(self.transport)
        for start in range(0, len(self.body), 16384):
            if not self.transport.disconnected:
                protocol.dataReceived(self.body[start : start + 16384])
        protocol.connectionLost(Failure(ResponseDone()))


class Agent:
    """An agent that gets the same documents from every server."""

    def __init__(self, documents: dict[str, bytes]) -> None:
        """`documents` is {target: body}; whatever else is asked for is not there."""
        self._documents = documents

    async def send(
        self,
        name: ServerName,
        outgoing: OutgoingRequest,
        cause: Cause,
        exchange: Exchange,
        connected: Callable[[VerifiedConnection], object] = lambda _: None,
    ) -> tuple[IResponse, VerifiedConnection]:
        """As `FederationAgent`."""
        found = self._documents.get(outgoing.target.decode("ascii"))
        response = Response(404, b"{}") if found is None else Response(200, found)
        return cast("IResponse", response), LINK


class Asking(KeyringCase):
    """A keyring that asks by the real client."""

    def runTest(self) -> None:
        """Nothing: it is used by functions."""

    def serve(self, documents: dict[str, bytes]) -> None:
        """Let these be what servers answer from now on."""
        agent = cast("FederationAgent", Agent(documents))
        client = FederationClient(agent, lambda: self.identity, self.clock)
        self.keyring = Keyring(
            lambda: self.identity, self.peers, client, self.clock, self.limits
        )

    def dump(self) -> list[str]:
        """All that is in the store, but for when what was used."""
        lines = self.database.connection.iterdump()
        return [line for line in lines if 'INTO "known_names"' not in line]

    def stored(self) -> int:
        """How many keys and documents are in the store."""
        connection = self.database.connection
        return sum(
            count
            for table in ("server_keys", "key_documents", "peers")
            for [count] in connection.execute(f"SELECT count(*) FROM {table}")
        )


@pytest.fixture
def asking() -> Asking:
    """A keyring that knows no server."""
    case = Asking()
    case.setUp()
    return case


OVERSIZED = [
    BadDocument(
        "five megabytes",
        version,
        signed({**document(version), "padding": "x" * 5_000_000}),
        f"over {MAX_DOCUMENT_BYTES} bytes",
    )
    for version in (1, 2)
]

# Those that are too large are refused before anybody has counted their keys.
SMALL = [bad for bad in BAD_DOCUMENTS if len(bad.data) <= MAX_DOCUMENT_BYTES]
LARGE = [
    BadDocument(bad.name, bad.version, bad.data, OVERSIZED[0].said)
    for bad in BAD_DOCUMENTS
    if len(bad.data) > MAX_DOCUMENT_BYTES
]


@pytest.mark.parametrize("bad", [*SMALL, *LARGE, *OVERSIZED], ids=str)
def test_nothing_is_stored(bad: BadDocument, asking: Asking) -> None:
    """A server with a bad document has no keys here; the error names the mistake."""
    asking.serve({PATHS[bad.version]: bad.data})
    said = asking.refusal(asking.ask(KEY.key_id, DOMAIN))
    assert bad.said in said
    assert asking.stored() == 0


@pytest.mark.parametrize("bad", [*SMALL, *LARGE, *OVERSIZED], ids=str)
def test_what_was_known_stays(bad: BadDocument, asking: Asking) -> None:
    """A bad document changes nothing of what its server said before."""
    asking.serve({PATHS[bad.version]: signed(document(bad.version))})
    found = asking.successResultOf(asking.ask(KEY.key_id, DOMAIN))
    assert found == KEY.verify_key
    asking.prove(DOMAIN)
    before = asking.dump()
    asking.serve({PATHS[bad.version]: bad.data})
    asking.clock.advance(3600)
    asking.refusal(asking.ask(ABSENT, DOMAIN))
    assert asking.dump() == before
    assert asking.successResultOf(asking.ask(KEY.key_id, DOMAIN)) == found


@pytest.mark.parametrize("version", [1, 2])
def test_a_good_document_is_stored(version: int, asking: Asking) -> None:
    """The document that the bad ones are made from has its key taken."""
    asking.serve({PATHS[version]: signed(document(version))})
    found = asking.successResultOf(asking.ask(KEY.key_id, DOMAIN))
    assert found == KEY.verify_key
    assert asking.stored() == 0  # until it has proven something
    asking.prove(DOMAIN)
    # The peer, its key, and the document of version 2.
    assert asking.stored() == version + 1
