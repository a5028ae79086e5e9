"""What is remembered of requests that were refused.

Each refusal is remembered with its reason and with the server that the request names,
and without its signature and its body.
"""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from homeserver.net.cause import Cause
from homeserver.protocol.canonical_json import Json, as_list, as_object, encode
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from tests.support.as_json import as_json
from tests.support.federation_side import NOW, SEND, Endpoint
from tests.support.http_connection import ask
from tests.support.signed_requests import THEM, KnownKeys

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

    def known(
        self, after: int = 0, limit: int = 100, origin: ServerName | None = None
    ) -> Sequence[Json]:
        """What is remembered, once it is recorded."""
        self.endpoint.clock.advance(0.25)
        looking = self.endpoint.refusals.after(after, origin, limit, 0)
        return [*map(as_json, self.successResultOf(Deferred.fromCoroutine(looking)))]

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
        [hint] = as_list(refusal.pop("hints"), "hints")
        self.assertEqual(as_object(hint, "a hint")["code"], "content-empty")
        self.assertIsInstance(address, str)
        self.assertEqual(
            refusal,
            {
                "id": 1,
                "refused_ts": int(NOW * 1000),
                "origin": "them.example",
                "proven": False,
                "method": "PUT",
                "path": SEND,
                "status": 401,
                "errcode": "M_UNAUTHORIZED",
                "reason": "bad_signature",
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
        named = self.known(origin=THEM.server_name)
        self.assertEqual([(each["id"], each["proven"]) for each in named], [(4, True)])
        self.assertEqual(
            [each["reason"] for each in self.known()],
            ["missing_header", "missing_header", "malformed_header", "content"],
        )

    def test_other_errors(self) -> None:
        """Errors outside of the signed routes are remembered once each, as well."""
        site = self.endpoint.site
        line = f"Authorization: {self.good()}"
        ask(site, "GET", "/_matrix/federation/v9/x?secret=1", [line])
        ask(site, "GET", SEND)
        ask(site, "PUT", SEND, [line, "Content-Length: 99999999"])
        self.assertEqual(
            [
                (each["status"], each["errcode"], each["reason"], each["origin"])
                for each in self.known()
            ],
            [
                (404, "M_UNRECOGNIZED", "unknown_path", "them.example"),
                (405, "M_UNRECOGNIZED", "method_not_allowed", None),
                (413, "M_TOO_LARGE", "too_large", None),
            ],
        )
        self.assertEqual(self.known()[0]["path"], "/_matrix/federation/v9/x")

    def test_a_name_that_does_not_delegate(self) -> None:
        """That there is no delegation is an answer, and no refusal."""
        ask(self.endpoint.site, "GET", "/.well-known/matrix/server")
        self.assertEqual(self.known(), [])
        ask(self.endpoint.site, "PUT", "/.well-known/matrix/server")
        self.assertEqual([each["status"] for each in self.known()], [405])

    def test_internal_errors(self) -> None:
        """A failure of ours is remembered without its cause."""

        class Broken(KnownKeys):
            async def request_key(
                self, server_name: ServerName, key_id: KeyId, cause: Cause
            ) -> VerifyKey:
                raise LookupError("why")

        self.endpoint = Endpoint(keyring=Broken())
        self.assertEqual(self.put(encode(EMPTY), self.good()), 500)
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
        [refusal] = self.known()
        found = [refusal[name] for name in ("reason", "error", "errcode", "origin")]
        expected = ["internal", "internal error", "M_UNKNOWN", "them.example"]
        self.assertEqual(found, expected)

    def test_good_ones_are_not(self) -> None:
        """A request that is answered is no refusal."""
        self.assertEqual(self.put(encode(EMPTY), self.good()), 200)
        self.assertEqual(self.known(), [])

    def test_so_many_wait(self) -> None:
        """So many are recorded four times a second; what is beyond that is counted."""
        for _ in range(252):
            self.put(b"{")
        bound = self.endpoint.waiting_refusals.bound
        self.assertEqual((bound.use(), bound.limit, bound.refusals), (250, 250, 2))
        self.assertEqual(len(self.known(limit=999)), 250)
        self.assertEqual(bound.use(), 0)
        self.put(b"{")
        self.assertEqual(self.known(after=250)[0]["id"], 251)

    def test_a_long_path(self) -> None:
        """Of a path and a sentence, as much is kept as a person reads."""
        target = SEND + "x" * 5000 + "\x7f"
        ask(self.endpoint.site, "PUT", target, [], b"{}")
        [refusal] = self.known()
        self.assertEqual(refusal["path"], target[:500])
        self.assertLessEqual(len(str(refusal["error"])), 1000)

    def test_who_waits_is_told(self) -> None:
        """Whoever waits for a refusal has it when it is recorded."""
        looking = Deferred.fromCoroutine(self.endpoint.refusals.after(0, None, 9, 10))
        self.put(b"{")
        self.endpoint.clock.advance(0.24)
        self.assertNoResult(looking)
        self.endpoint.clock.advance(0.01)
        self.assertEqual(len(self.successResultOf(looking)), 1)

    def test_end_of_waiting(self) -> None:
        """At the end, who waits has what there is."""
        looking = Deferred.fromCoroutine(self.endpoint.refusals.after(0, None, 9, 10))
        self.endpoint.refusals.end_waits()
        self.assertEqual(self.successResultOf(looking), [])

    def test_encoded_body(self) -> None:
        """A body in an encoding of its own is refused, and the reason names it."""
        lines = [f"Authorization: {self.good()}", "Content-Encoding: gzip"]
        answer = ask(self.endpoint.site, "PUT", SEND, lines, encode(EMPTY))
        self.assertEqual(answer.status, 400)
        [refusal] = self.known()
        self.assertEqual(refusal["errcode"], "M_NOT_JSON")
        self.assertIn("gzip", str(refusal["error"]))
