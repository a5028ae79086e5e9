"""What is remembered of requests that were refused, and what the signed ones get."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from homeserver.protocol.canonical import Json, encode
from tests.inbound.endpoint import NOW, Endpoint
from tests.inbound.servers import THEM, US
from tests.inbound.wire import ask

SEND = "/_matrix/federation/v1/send/1"
EMPTY: Json = {"pdus": []}


class RefusalTests(SynchronousTestCase):
    """An endpoint, and what it remembers."""

    def setUp(self) -> None:
        """Make the endpoint."""
        self.endpoint = Endpoint()

    def put(self, body: bytes, *headers: str) -> int:
        """The status that a request gets."""
        lines = [f"Authorization: {each}" for each in headers]
        return ask(self.endpoint.site, "PUT", SEND, lines, body).status

    def known(self, after: int = 0, limit: int = 100) -> Sequence[Json]:
        """What is remembered."""
        looking = self.endpoint.refusals.after(after, limit, 0)
        return self.successResultOf(Deferred.fromCoroutine(looking))

    def good(self) -> str:
        """A header that proves the request."""
        return THEM.authorize("PUT", SEND, EMPTY)

    def test_what_is_remembered(self) -> None:
        """When, who it says it was, what for, and why not; no signature and no body."""
        forged = THEM.authorize("PUT", SEND, {})
        self.assertEqual(self.put(encode(EMPTY), forged), 401)
        [refusal] = self.known()
        error = str(refusal.pop("error"))
        self.assertTrue(error.startswith("signature does not verify: ed25519:t_1 of "))
        self.assertIn("/_matrix/federation/v1/send/1' to us.example", error)
        address = refusal.pop("address")
        self.assertIsInstance(address, str)
        self.assertEqual(
            refusal,
            {
                "id": 1,
                "refused_ts": int(NOW * 1000),
                "origin": "them.example",
                "request": f"'PUT {SEND}'",
                "status": 401,
                "errcode": "M_UNAUTHORIZED",
            },
        )
        signature = forged.split('sig="')[1].rstrip('"')
        self.assertNotIn(signature, str(refusal) + error)

    def test_every_no_is_remembered(self) -> None:
        """Bodies, headers and transactions that are refused all are, in order."""
        self.put(b"{")
        self.put(encode(EMPTY))
        self.put(encode(EMPTY), "X-Matrix")
        body: Json = {"pdus": 5}
        self.put(encode(body), THEM.authorize("PUT", SEND, body))
        known = [(each["id"], each["status"], each["origin"]) for each in self.known()]
        self.assertEqual(
            known,
            [(1, 401, None), (2, 401, None), (3, 400, None), (4, 400, "them.example")],
        )
        self.assertEqual([each["id"] for each in self.known(after=2)], [3, 4])
        self.assertEqual([each["id"] for each in self.known(limit=1)], [1])

    def test_good_ones_are_not(self) -> None:
        """A request that is answered is no refusal."""
        self.assertEqual(self.put(encode(EMPTY), self.good()), 200)
        self.assertEqual(self.known(), [])

    def test_thousand(self) -> None:
        """The last thousand are remembered."""
        for _ in range(1001):
            self.put(b"{")
        known = self.known(limit=2000)
        self.assertEqual((known[0]["id"], known[-1]["id"]), (2, 1001))

    def test_who_waits_is_told(self) -> None:
        """Whoever waits for a refusal has it when there is one."""
        looking = Deferred.fromCoroutine(self.endpoint.refusals.after(0, 9, 10))
        self.assertNoResult(looking)
        self.put(b"{")
        self.assertEqual(len(self.successResultOf(looking)), 1)

    def test_encoded_body(self) -> None:
        """A body in an encoding of its own is refused, and the reason names it."""
        lines = [f"Authorization: {self.good()}", "Content-Encoding: gzip"]
        answer = ask(self.endpoint.site, "PUT", SEND, lines, encode(EMPTY))
        self.assertEqual(answer.status, 400)
        [refusal] = self.known()
        self.assertEqual(refusal["errcode"], "M_NOT_JSON")
        self.assertIn("gzip", str(refusal["error"]))

    def test_body_as_it_is(self) -> None:
        """An encoding that is none is none."""
        lines = [f"Authorization: {self.good()}", "Content-Encoding: identity"]
        answer = ask(self.endpoint.site, "PUT", SEND, lines, encode(EMPTY))
        self.assertEqual(answer.status, 200)

    def test_poll(self) -> None:
        """A poll for presence is handed on once, however often it is repeated."""
        content: Json = {"poll": [f"@a:{US}"]}
        body: Json = {
            "pdus": [],
            "edus": [{"edu_type": "m.presence", "content": content}],
        }
        for _ in range(2):
            header = THEM.authorize("PUT", SEND, body)
            self.assertEqual(self.put(encode(body), header), 200)
        self.assertEqual(self.endpoint.polled, [(THEM.server_name, [f"@a:{US}"])])
