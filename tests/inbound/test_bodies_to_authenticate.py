"""How often, when and where the body of a signed request is read.

A body is read only where the keys are known, and once. A large one is read in a thread,
and few of them are in memory at the same time.
"""

import gc
from collections.abc import Callable
from typing import TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from homeserver.inbound.authentication import Authenticator, Body, ProvenOrigin
from homeserver.net.cause import OURSELVES
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.xmatrix_headers import XMatrixHeaders
from tests.support.authenticated_request import BODY, PROVEN, PROVEN_BODY, URI, sign
from tests.support.federation_side import at_once
from tests.support.signed_requests import (
    ANY_CERTIFICATE,
    THEM,
    KnownKeys,
    LateKeys,
    identity,
)


class ReadingTests(SynchronousTestCase):
    """How often a small body is read, which takes memory while it is kept."""

    def setUp(self) -> None:
        """Count the reads of a body."""
        self.reads = 0

    def read(self) -> bytes:
        """Read the body."""
        self.reads += 1
        return encode(BODY)

    def begin(self, keys: KnownKeys) -> Deferred[object]:
        """Authenticate a good request."""
        authenticator = Authenticator(identity, keys, ANY_CERTIFICATE, at_once)
        body = Body(len(encode(BODY)), self.read)
        return Deferred.fromCoroutine(
            authenticator.authenticate(
                "PUT", URI, XMatrixHeaders([sign()]), body, None, OURSELVES
            )
        )

    def test_known_keys(self) -> None:
        """Where the keys are known, it is read once."""
        self.assertEqual(self.successResultOf(self.begin(KnownKeys(THEM))), PROVEN_BODY)
        self.assertEqual(self.reads, 1)

    def test_keys_that_are_not_there(self) -> None:
        """Where there are none, it is not read."""
        self.failureResultOf(self.begin(KnownKeys()), Unauthorized)
        self.assertEqual(self.reads, 0)

    def test_keys_that_are_waited_for(self) -> None:
        """It is not read while keys are waited for, and once when they came."""
        keys = LateKeys(THEM)
        begun = self.begin(keys)
        self.assertEqual(self.reads, 0)
        keys.fetched.callback(None)
        self.assertEqual(self.successResultOf(begun), PROVEN_BODY)
        self.assertEqual(self.reads, 1)

    def test_what_was_read_is_not_kept(self) -> None:
        """While keys are waited for, no body is in memory as what it says."""
        body = b'{"looked for in memory":[[]]}'

        def is_in_memory() -> bool:
            """Whether an object has the member of the body."""
            return any(
                type(each) is dict and "looked for in memory" in each
                for each in gc.get_objects()
            )

        keys = LateKeys(THEM)
        authenticator = Authenticator(identity, keys, ANY_CERTIFICATE, at_once)
        begun = Deferred.fromCoroutine(
            authenticator.authenticate(
                "PUT",
                URI,
                XMatrixHeaders([sign()]),
                Body(len(body), lambda: body),
                None,
                OURSELVES,
            )
        )
        self.assertNoResult(begun)
        self.assertFalse(is_in_memory())
        keys.fetched.callback(None)
        self.failureResultOf(begun, Unauthorized)


_T = TypeVar("_T")


class LargeBodyTests(SynchronousTestCase):
    """Bodies that are worked on in a thread."""

    def setUp(self) -> None:
        """Make an authenticator whose threads end when the test says so."""
        self.results: list[Deferred[None]] = []
        self.read: list[int] = []
        self.authenticator = Authenticator(
            identity, KnownKeys(THEM), ANY_CERTIFICATE, self.in_thread
        )

    def in_thread(self, work: Callable[[], _T]) -> Deferred[_T]:
        """Work after a while."""
        result: Deferred[None] = Deferred()
        self.results.append(result)
        return result.addCallback(lambda _: work())

    def begin(self, length: int, header: str = "") -> Deferred[object]:
        """Authenticate a request with a body of so many bytes."""
        content: Json = {"a": "x" * (length - len(b'{"a":""}'))}
        data = encode(content)
        assert len(data) == length

        def read() -> bytes:
            self.read.append(length)
            return data

        header = header or THEM.authorize("PUT", URI, content)
        body = Body(length, read)
        return Deferred.fromCoroutine(
            self.authenticator.authenticate(
                "PUT", URI, XMatrixHeaders([header]), body, None, OURSELVES
            )
        )

    def test_small_one(self) -> None:
        """A body of 64 KiB is read at once."""
        self.successResultOf(self.begin(65536))
        self.assertEqual(self.results, [])

    def test_large_one(self) -> None:
        """A larger one is read and verified in one thread."""
        begun = self.begin(65537)
        self.assertNoResult(begun)
        [result] = self.results
        result.callback(None)
        proven, content = cast("tuple[ProvenOrigin, Json]", self.successResultOf(begun))
        self.assertEqual(proven, PROVEN)
        self.assertEqual(len(encode(content)), 65537)

    def test_large_one_that_proves_nothing(self) -> None:
        """What is wrong with it is told as of a small one."""
        begun = self.begin(65537, sign())
        [result] = self.results
        result.callback(None)
        problem = self.failureResultOf(begun, Unauthorized).value
        self.assertIn("signature does not verify", str(problem))

    def test_many_large_ones(self) -> None:
        """Two are in memory at the same time, the others where they came to."""
        begun = [self.begin(100_000 + number) for number in range(4)]
        self.assertEqual(self.read, [100_000, 100_001])
        self.results[0].callback(None)
        self.assertEqual(self.read, [100_000, 100_001, 100_002])
        for result in self.results[1:]:
            result.callback(None)
        while waiting := [each for each in self.results if not each.called]:
            for result in waiting:
                result.callback(None)
        for each in begun:
            self.successResultOf(each)
