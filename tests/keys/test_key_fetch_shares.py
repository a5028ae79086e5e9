"""Whose fetch of keys goes first where there are more than there may be."""

from twisted.internet.defer import Deferred

from homeserver.keys.keyring import Keyring, KeyringLimits
from homeserver.net.cause import Cause
from homeserver.outbound.client import KeysAnswer
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.rooms.checking import MAX_SIGNERS
from tests.support.keyrings import K1, K2, UNREACHABLE, A, B, KeyringCase, document, key


class ShareTests(KeyringCase):
    """Whose fetch goes first where there are more than there may be."""

    def want(self, server_name: ServerName, client: str | None) -> Deferred[VerifyKey]:
        """Ask for a key of a request that a client has sent, or that is ours."""
        cause = Cause(client)
        asked = Deferred.fromCoroutine(self.keyring.request_key(server_name, K1, cause))
        asked.addErrback(lambda failure: failure.trap(Unauthorized) and key(K2))
        return asked

    def crowd(self, count: int = 100) -> None:
        """Let one client want the keys of many servers, which are silent."""
        for number in range(count):
            self.want(ServerName.parse(f"{number}.example"), "192.0.2.1")

    def test_a_new_client_goes_first(self) -> None:
        """A client that has asked for nothing waits for none of another's fetches."""
        self.crowd(150)
        self.assertEqual(len(self.client.asked), 100)
        asked = self.want(A, "192.0.2.2")
        self.assertEqual(self.client.asked[-1], "v2 of a.example")
        self.client._waiting[-1].callback(
            KeysAnswer(document(K1), None, self.client.peer)
        )
        self.assertEqual(self.successResultOf(asked), key(K1))

    def test_a_crowd_whose_fetches_fail_at_once(self) -> None:
        """It begins a hundred in three seconds; who is new waits for none of them."""
        for number in range(150):
            self.want(ServerName.parse(f"{number}.example"), "192.0.2.1")
            if self.client._waiting:
                self.client.answer(UNREACHABLE)
        self.assertEqual(len(self.client.asked), 100)
        self.clock.advance(2.9)
        self.assertEqual(len(self.client.asked), 100)
        self.want(A, "192.0.2.2")
        self.assertEqual(self.client.asked[-1], "v2 of a.example")
        self.clock.advance(0.1)
        self.assertEqual(len(self.client.asked), 151)

    def test_who_gave_way_is_fetched_when_it_is_wanted(self) -> None:
        """That a fetch gave way is no failure of the server that was asked."""
        self.crowd()
        self.want(A, "192.0.2.2")
        first = ServerName.parse("0.example")
        self.assertIsNone(self.keyring.fetches.pause(first))
        self.want(first, "192.0.2.3")
        self.assertEqual(self.client.asked[-1], "v2 of 0.example")

    def test_a_fetch_that_an_honest_client_wants_too_goes_first(self) -> None:
        """A forger of an honest server's name does not keep that server waiting."""
        self.crowd()
        self.want(A, "192.0.2.1")
        self.assertEqual(len(self.client.asked), 100)
        self.want(A, "192.0.2.2")
        self.assertEqual(self.client.asked[-1], "v2 of a.example")

    def test_a_join_of_ours(self) -> None:
        """No fetch for a large room is refused, though a crowd fills the queue."""
        self.crowd(450)
        names = [ServerName.parse(f"room.{n}.test") for n in range(MAX_SIGNERS)]
        ours = [self.want(name, None) for name in names]
        self.crowd(460)
        for each in ours:
            self.assertNoResult(each)

    def test_addresses_count(self) -> None:
        """The addresses that a fetch goes to are those of its share."""
        for number in range(100):
            name = ServerName.parse(f"{number}.example")
            self.want(name, f"192.0.2.{number}")
            self.client.causes[-1].aim(["198.51.100.1"])
        self.want(A, "203.0.113.1")
        self.assertEqual(self.client.asked[-1], "v2 of a.example")

    def test_who_is_known_goes_first(self) -> None:
        """Of those that wait, a server that has proven something goes first."""
        for number in range(100):
            name = ServerName.parse(f"{number}.example")
            self.want(name, f"192.0.2.{number}")
        self.store(document(K2))
        self.want(B, "203.0.113.1")
        self.want(A, "203.0.113.2")
        self.client.answer(UNREACHABLE)
        self.assertEqual(self.client.asked[-1], "v2 of a.example")

    def test_trusted_clients(self) -> None:
        """A client that is trusted may have all that there is."""
        self.keyring = Keyring(
            lambda: self.identity,
            self.peers,
            self.client,
            self.clock,
            KeyringLimits(self.clock, "192.0.2.1".__eq__),
        )
        self.crowd()
        self.want(A, "192.0.2.2")
        self.assertNotIn("v2 of a.example", self.client.asked)
