"""Signed requests whose keys come late, and clients that are gone meanwhile.

The request of a client that is gone before it is proven is dropped. A body gives way
where others need the room.
"""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from homeserver.protocol.identifiers import ServerName
from tests.support.coroutines import result_of
from tests.support.federation_side import SEND, Endpoint
from tests.support.http_connection import Connection, request
from tests.support.signed_requests import THEM, KnownKeys, LateKeys


def test_a_body_gives_way_while_its_keys_are_fetched() -> None:
    """A request that waits for keys is answered with 503 where others need the room."""
    keys = LateKeys(THEM)
    endpoint = Endpoint(keyring=keys, max_body_bytes=1000, max_arriving_bytes=1000)
    header = "Authorization: " + THEM.authorize("PUT", SEND, {"pdus": []})
    waiting = Connection(endpoint.site)
    waiting.send(request("PUT", SEND, [header], b"x" * 900))
    assert waiting.answers() == []
    other = Connection(endpoint.site, "192.0.2.2")
    other.send(request("PUT", SEND, [header, "Content-Length: 500"]), b"x" * 400)
    [answer] = waiting.answers()
    assert answer.error == (503, "M_LIMIT_EXCEEDED")
    assert waiting.is_closed
    keys.fetched.callback(None)
    endpoint.clock.advance(1)
    assert len(waiting.answers()) == 1
    [refused] = result_of(endpoint.refusals.after(0, None, 9, 0))
    assert refused.status == 503
    for each in (waiting, other):
        each.lose()


class WaitingTests(SynchronousTestCase):
    """Requests whose keys have to be waited for."""

    def test_client_that_is_gone(self) -> None:
        """Of a client that is gone before its keys are there, nothing is recorded."""
        keyring = LateKeys(THEM)
        endpoint = Endpoint(keyring=keyring)
        connection = Connection(endpoint.site)
        header = THEM.authorize("PUT", SEND, {"pdus": []})
        connection.send(
            request("PUT", SEND, [f"Authorization: {header}"], b'{"pdus":[]}')
        )
        connection.lose()
        keyring.fetched.callback(None)
        self.assertEqual(endpoint.received, [])
        endpoint.clock.advance(1)
        [refusal] = self.successResultOf(
            Deferred.fromCoroutine(endpoint.refusals.after(0, None, 9, 0))
        )
        self.assertIn("disconnected before", refusal.error)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_client_that_is_gone_when_it_is_proven(self) -> None:
        """The transaction of a client that is gone after its proof is received."""

        class SlowProof(KnownKeys):
            proof: Deferred[None] = Deferred()

            async def prove(self, server_name: ServerName) -> None:
                await self.proof

        keyring = SlowProof(THEM)
        endpoint = Endpoint(keyring=keyring)
        connection = Connection(endpoint.site)
        header = THEM.authorize("PUT", SEND, {"pdus": []})
        connection.send(
            request("PUT", SEND, [f"Authorization: {header}"], b'{"pdus":[]}')
        )
        connection.lose()
        keyring.proof.callback(None)
        self.assertEqual(len(endpoint.received), 1)
        self.assertEqual(self.flushLoggedErrors(), [])
