"""What is remembered of requests that were refused, and what the signed ones get."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from homeserver.http.request import Request
from homeserver.inbound.refusal_queue import RefusalQueue
from homeserver.inbound.refusals import Refusals
from homeserver.net.cause import Cause
from homeserver.net.exchange import Exchange
from homeserver.protocol.canonical_json import Json, as_list, as_object, encode
from homeserver.protocol.errors import BadJson
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.refusals import Refusal, RefusalStore
from tests.support.as_json import as_json
from tests.support.federation_side import NOW, Endpoint
from tests.support.http_connection import ask
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.signed_requests import THEM, US, KnownKeys

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
        ask(site, "GET", "/.well-known/matrix/server")
        ask(site, "PUT", SEND, [line, "Content-Length: 99999999"])
        self.assertEqual(
            [
                (each["status"], each["errcode"], each["reason"], each["origin"])
                for each in self.known()
            ],
            [
                (404, "M_UNRECOGNIZED", "unknown_path", "them.example"),
                (405, "M_UNRECOGNIZED", "method_not_allowed", None),
                (404, "M_NOT_FOUND", "not_found", None),
                (413, "M_TOO_LARGE", "too_large", None),
            ],
        )
        self.assertEqual(self.known()[0]["path"], "/_matrix/federation/v9/x")

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


class SharedQueueTests(SynchronousTestCase):
    """Two servers of ours whose refusals wait in one queue."""

    def setUp(self) -> None:
        """Let them share it."""
        self.clock = Clock()
        self.queue = RefusalQueue(self.clock)
        database = MemoryDatabase()
        self.flooded, self.other = (
            Refusals(RefusalStore(database, name), self.queue, self.clock)
            for name in (US, THEM.server_name)
        )

    def refuse(self, refusals: Refusals, times: int) -> None:
        """Let a server refuse requests."""
        for _ in range(times):
            request = SimpleNamespace(exchange=Exchange(), method=b"PUT", uri=b"/")
            refusals.record(cast("Request", request), BadJson("bad"))

    def ids(self, refusals: Refusals) -> list[int]:
        """What a server has recorded."""
        listing = Deferred.fromCoroutine(refusals.after(0, None, 1000, 0))
        return [each.id for each in self.successResultOf(listing)]

    def test_flood(self) -> None:
        """A flood to one server hides no refusal of another one."""
        self.refuse(self.flooded, 400)
        self.refuse(self.other, 3)
        self.clock.advance(0.25)
        self.assertEqual(len(self.ids(self.other)), 3)
        self.assertEqual(len(self.ids(self.flooded)), 250)
        self.assertEqual(self.queue.bound.use(), 0)

    def test_floods(self) -> None:
        """Floods to both hold no more than twice what one may hold."""
        self.refuse(self.flooded, 400)
        self.refuse(self.other, 400)
        self.assertLessEqual(self.queue.bound.use(), 500)


class SlowStore(RefusalStore):
    """A store of refusals that takes its time, and may fail."""

    def __init__(self) -> None:
        super().__init__(MemoryDatabase(), OUR_NAME)
        self.recording: list[Deferred[None]] = []
        """What each write waits for."""

    async def record(self, refusals: Sequence[Refusal]) -> None:
        """Record, once the test lets it."""
        self.recording.append(Deferred())
        await self.recording[-1]
        await super().record(refusals)


class RecordingTests(SynchronousTestCase):
    """When refusals are recorded."""

    def setUp(self) -> None:
        """Make an endpoint whose store is slow."""
        self.store = SlowStore()
        self.endpoint = Endpoint(refusals=self.store)
        self.refusals = self.endpoint.refusals

    def refuse(self) -> None:
        """Refuse a request."""
        ask(self.endpoint.site, "PUT", SEND, [], b"{")

    def ids(self) -> list[object]:
        """The IDs of those that are recorded."""
        looking = Deferred.fromCoroutine(self.store.after(0, None, 99))
        return [each.id for each in self.successResultOf(looking)]

    def read(self) -> Deferred[list[int]]:
        """Ask for those that were refused, as an operator does."""

        async def read() -> list[int]:
            return [each.id for each in await self.refusals.after(0, None, 99, 0)]

        return Deferred.fromCoroutine(read())

    def advance(self) -> None:
        """Let the time pass after which they are recorded."""
        self.endpoint.clock.advance(0.25)

    def test_one_write_at_a_time(self) -> None:
        """What is refused during a write is in the next one, and nothing twice."""
        self.refuse()
        self.advance()
        self.refuse()
        self.advance()
        self.assertEqual(len(self.store.recording), 1)
        self.store.recording[0].callback(None)
        self.assertEqual(self.ids(), [1])
        self.advance()
        self.store.recording[1].callback(None)
        self.assertEqual(self.ids(), [1, 2])
        self.advance()
        self.assertEqual(len(self.store.recording), 2)

    def test_a_store_that_fails(self) -> None:
        """What could not be recorded is tried again."""
        self.refuse()
        self.advance()
        self.store.recording[0].errback(StoreUnavailable("gone"))
        self.assertEqual(self.ids(), [])
        self.advance()
        self.store.recording[1].callback(None)
        self.assertEqual(self.ids(), [1])

    def test_read_at_once(self) -> None:
        """Who reads has what was refused before, and all readers by one write."""
        for _ in range(3):
            self.refuse()
        reading, other = self.read(), self.read()
        self.assertEqual(len(self.store.recording), 1)
        self.store.recording[0].callback(None)
        for each in (reading, other):
            self.assertEqual(self.successResultOf(each), [1, 2, 3])
        self.advance()
        self.assertEqual(len(self.store.recording), 1)

    def test_read_during_a_write(self) -> None:
        """What the write under way has not got is in the next one, begun after it."""
        self.refuse()
        self.advance()
        self.refuse()
        reading, other = self.read(), self.read()
        self.assertEqual(len(self.store.recording), 1)
        self.store.recording[0].callback(None)
        self.assertEqual(len(self.store.recording), 2)
        self.assertNoResult(reading)
        self.store.recording[1].callback(None)
        for each in (reading, other):
            self.assertEqual(self.successResultOf(each), [1, 2])

    def test_read_of_a_store_that_fails(self) -> None:
        """Who reads gets what there is, and nothing is lost."""
        self.refuse()
        reading = self.read()
        self.store.recording[0].errback(StoreUnavailable("gone"))
        self.assertEqual(self.successResultOf(reading), [])
        self.advance()
        self.store.recording[1].callback(None)
        self.assertEqual(self.ids(), [1])

    def test_read_of_a_store_that_hangs(self) -> None:
        """Who reads waits for a second, and the write goes on."""
        self.refuse()
        reading = self.read()
        self.endpoint.clock.advance(0.9)
        self.assertNoResult(reading)
        self.endpoint.clock.advance(0.1)
        self.assertEqual(self.successResultOf(reading), [])
        self.store.recording[0].callback(None)
        self.assertEqual(self.ids(), [1])
        self.assertEqual(len(self.store.recording), 1)

    def stop(self) -> Deferred[None]:
        """Stop it."""
        return Deferred.fromCoroutine(self.endpoint.waiting_refusals.stop())

    def test_stop_records(self) -> None:
        """At the end, what waits is recorded at once, after what is under way."""
        self.refuse()
        self.advance()
        self.refuse()
        stopping = self.stop()
        self.store.recording[0].callback(None)
        self.assertNoResult(stopping)
        self.store.recording[1].callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.ids(), [1, 2])
        self.advance()
        self.assertEqual(len(self.store.recording), 2)

    def test_stop_without_a_store(self) -> None:
        """At the end, nothing is tried again."""
        self.refuse()
        stopping = self.stop()
        self.store.recording[0].errback(StoreUnavailable("gone"))
        self.successResultOf(stopping)
        self.advance()
        self.assertEqual(len(self.store.recording), 1)

    def test_stop_before_the_next_write(self) -> None:
        """At the end, what waits for the next write is recorded once."""
        self.refuse()
        stopping = self.stop()
        self.advance()
        self.assertEqual(len(self.store.recording), 1)
        self.store.recording[0].callback(None)
        self.successResultOf(stopping)
        self.assertEqual(self.ids(), [1])

    def test_stop_with_nothing(self) -> None:
        """Where nothing was refused, nothing is recorded."""
        self.successResultOf(self.stop())
        self.assertEqual(self.store.recording, [])
