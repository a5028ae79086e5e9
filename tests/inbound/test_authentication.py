"""Which requests prove who made them, and what the others are told."""

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from homeserver.inbound import authentication
from homeserver.inbound.authentication import (
    Authenticator,
    Body,
    ProvenOrigin,
    failure_of,
)
from homeserver.inbound.client_certificates import ClientCertificates
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.tls.shown_certificate import ShownCertificate
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import (
    Forbidden,
    LimitExceeded,
    ProtocolError,
    Unauthorized,
)
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.protocol.xmatrix_headers import MAX_HEADERS, XMatrixHeaders
from tests.support.coroutines import result_of
from tests.support.federation_side import at_once, body_of
from tests.support.signed_requests import (
    ANY_CERTIFICATE,
    OTHERS,
    THEM,
    US,
    KnownKeys,
    Peer,
    identity,
    signing_key,
)

_T = TypeVar("_T")

URI = "/_matrix/federation/v1/send/1?a=%2F&b"
BODY: Json = {"pdus": [], "edus": []}
PROVEN = ProvenOrigin(THEM.server_name, THEM.key.key_id)

PROVEN_BODY = (PROVEN, BODY)

STRANGER = Peer(ServerName.parse("stranger.example"), signing_key("s_1", b"9"))


def authenticate(
    headers: Sequence[str],
    method: str = "PUT",
    uri: str = URI,
    content: Json | None = BODY,
) -> ProvenOrigin:
    """Authenticate a request to us, who know the keys of two servers."""
    authenticator = Authenticator(
        identity, KnownKeys(THEM, OTHERS), ANY_CERTIFICATE, at_once
    )
    body = b"" if content is None else encode(content)
    proven, parsed = result_of(
        authenticator.authenticate(
            method, uri, XMatrixHeaders(headers), body_of(body), None, OURSELVES
        )
    )
    assert parsed == content
    return proven


def sign(peer: Peer = THEM, **changes: object) -> str:
    """A header for the request, or one that differs in `key` or `destination`."""
    return peer.authorize("PUT", URI, BODY, **changes)  # type: ignore[arg-type]


def test_proof_is_told_to_the_keyring() -> None:
    """Keys are known to be their server's once they have proven a request."""
    keyring = KnownKeys(THEM, OTHERS)
    for headers, proven in [
        ([sign(STRANGER)], []),
        ([sign().replace('sig="', 'sig="A')], []),
        ([sign()], [THEM.server_name]),
    ]:
        failures: list[Failure] = []
        Deferred.fromCoroutine(
            Authenticator(identity, keyring, ANY_CERTIFICATE, at_once).authenticate(
                "PUT",
                URI,
                XMatrixHeaders(headers),
                body_of(encode(BODY)),
                None,
                OURSELVES,
            )
        ).addErrback(failures.append)
        assert keyring.proven == proven
        assert bool(failures) == (not proven)


def test_rebuilt_server_is_told() -> None:
    """Who signs with another key than the stored one is told what contradicts it."""
    keyring = KnownKeys(THEM, OTHERS)
    keyring.conflicts = {THEM.server_name: "it was rebuilt"}
    rebuilt = Peer(THEM.server_name, signing_key("t_1", b"8"))

    def refusal(peer: Peer, key: str = "ed25519:t_1") -> str:
        header = sign(peer).replace(peer.key.key_id, key)
        authenticating = Deferred.fromCoroutine(
            Authenticator(identity, keyring, ANY_CERTIFICATE, at_once).authenticate(
                "PUT",
                URI,
                XMatrixHeaders([header]),
                body_of(encode(BODY)),
                None,
                OURSELVES,
            )
        )
        failure = SynchronousTestCase().failureResultOf(authenticating, Unauthorized)
        return str(failure.value)

    said = refusal(rebuilt)
    assert said.startswith("signature does not verify: ed25519:t_1")
    assert said.endswith("; it was rebuilt")
    # Who has no usable key was told by the fetch, where there was one.
    assert "rebuilt" not in refusal(rebuilt, "ed25519:t_2")
    impostor = Peer(OTHERS.server_name, signing_key("o_1", b"9"))
    assert refusal(impostor, "ed25519:o_1").startswith("signature does not verify")


SIGNATURE = sign().split('sig="')[1].rstrip('"')


def parameters(**changes: str | None) -> str:
    """A good header with parameters put in (a value) or left out (None)."""
    values: dict[str, str | None] = {
        "origin": THEM.server_name.name,
        "destination": US.name,
        "key": THEM.key.key_id,
        "sig": SIGNATURE,
    }
    given = (values | changes).items()
    return "X-Matrix " + ",".join(f'{n}="{v}"' for n, v in given if v is not None)


def test_proven() -> None:
    """A request that its origin signed is proven to be of that origin."""
    assert authenticate([sign()]) == PROVEN


FORMS: list[tuple[str, str]] = [
    ("as it is built here", parameters()),
    ("upper case", parameters().replace("X-Matrix", "X-MATRIX")),
    ("blanks at commas", parameters().replace(",", " ,\t")),
    ("several blanks", parameters().replace("X-Matrix ", "X-Matrix   ")),
    ("an unknown parameter", parameters(x="y\xe9")),
    ("an unquoted origin", parameters().replace('"them.example"', "them.example")),
    ("an escape", parameters(origin="them\\.example")),
    ("padded base64", parameters(sig=SIGNATURE + "==")),
]


@pytest.mark.parametrize(
    "header", [row[1] for row in FORMS], ids=[row[0] for row in FORMS]
)
def test_forms_of_a_header(header: str) -> None:
    """A header is taken in all the forms that servers have given it."""
    assert authenticate([header]) == PROVEN


@pytest.mark.parametrize("other", ["X-Matrix origin=", parameters(key="rsa:1")])
def test_one_header_that_can_be_read_is_enough(other: str) -> None:
    """A header by an algorithm that is not known here takes none of another's worth."""
    assert authenticate([other, sign()]) == PROVEN


def test_without_destination() -> None:
    """A header without a destination is taken, if the request was signed for us."""
    assert authenticate([parameters(destination=None)]) == PROVEN


# What is wrong, the header, and then status, errcode and the reason that is given:
# Server-server API, "Request Authentication".
FAILURES: list[tuple[str, list[str], int, str]] = [
    ("no header", [], 401, "has no X-Matrix Authorization header"),
    ("another scheme", ["Bearer abc"], 400, "not X-Matrix"),
    ("only a scheme", ["X-Matrix"], 400, "not X-Matrix"),
    ("no parameters", ["X-Matrix "], 400, "has no origin, key, sig"),
    ("empty", [""], 400, "not X-Matrix"),
    ("no origin", [parameters(origin=None)], 400, "has no origin"),
    ("no key", [parameters(key=None)], 400, "has no key"),
    ("no sig", [parameters(sig=None)], 400, "has no sig"),
    ("twice the origin", [parameters() + ",origin=x"], 400, "'origin' twice"),
    ("a quote without end", [parameters()[:-1]], 400, "not a list of name=value"),
    ("a port that is none", [parameters(origin="a.org:http")], 400, "the port"),
    ("an empty origin", [parameters(origin="")], 400, "not a server name"),
    ("an origin of two names", [parameters(origin="a.org,b.org")], 400, "each label"),
    ("a bad destination", [parameters(destination="a_b")], 400, "each label"),
    ("another algorithm", [parameters(key="rsa:1")], 400, "not a key ID"),
    ("a signature of no base64", [parameters(sig="!")], 400, "not base64"),
    ("a short signature", [parameters(sig="AAAA")], 400, "has 3 bytes"),
    ("too long", [parameters(x="y" * 2048)], 400, "longer than 2048"),
    ("too many", [sign()] * (MAX_HEADERS + 1), 400, "9 Authorization headers"),
    ("non-ASCII", ["X-Matrix \ufffd"], 400, "not a list of name=value"),
    (
        "another destination",
        [sign(destination=ServerName.parse("else.example"))],
        401,
        "for 'else.example'; this server is us.example",
    ),
    (
        "our name in other letters",
        [sign(destination=ServerName.parse("US.example"))],
        401,
        "for 'US.example'",
    ),
    (
        "our name with a port",
        [sign(destination=ServerName.parse("us.example:8448"))],
        401,
        "for 'us.example:8448'",
    ),
    ("an unknown server", [sign(STRANGER)], 401, "no usable key ed25519:s_1"),
    ("an unknown key", [parameters(key="ed25519:other")], 401, "no usable key"),
    (
        "a known key ID, another key",
        [sign(key=signing_key("t_1", b"8"))],
        401,
        "signature does not verify: ed25519:t_1 of them.example",
    ),
    ("another's name", [parameters(origin=str(OTHERS.server_name))], 401, "no usable"),
    (
        "the name in other letters",
        [parameters(origin="THEM.example")],
        401,
        "no usable key",
    ),
    (
        "signed for somebody else, and not said",
        [sign(destination=OTHERS.server_name).replace("others.example:8449", US.name)],
        401,
        "signature does not verify",
    ),
    ("two origins", [sign(), sign(OTHERS)], 400, "different origins"),
    (
        "one of them for somebody else",
        [sign(), sign(destination=OTHERS.server_name)],
        401,
        "the request is for",
    ),
    (
        "two, and none of them good",
        [parameters(key="ed25519:x"), sign(key=signing_key("t_1", b"8"))],
        401,
        "no usable key ed25519:x of them.example; signature does not verify",
    ),
]


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [row[1:] for row in FAILURES],
    ids=[row[0] for row in FAILURES],
)
def test_refused(headers: list[str], status: int, reason: str) -> None:
    """What proves nothing is refused as unauthorized, with the reason."""
    with pytest.raises(ProtocolError) as caught:
        authenticate(headers)
    assert (caught.value.status, caught.value.errcode) == (status, "M_UNAUTHORIZED")
    assert reason in str(caught.value)


UNKNOWN_KEY = parameters(key="ed25519:new")

SEVERAL: list[tuple[str, list[str]]] = [
    ("an unknown key first", [UNKNOWN_KEY, sign()]),
    ("an unknown key last", [sign(), UNKNOWN_KEY]),
    ("a bad signature first", [sign(key=signing_key("t_1", b"8")), sign()]),
    ("twice the same", [sign(), sign()]),
    ("as many as may be", [UNKNOWN_KEY] * (MAX_HEADERS - 1) + [sign()]),
    ("one of them without a destination", [parameters(destination=None), sign()]),
]


@pytest.mark.parametrize(
    "headers", [row[1] for row in SEVERAL], ids=[row[0] for row in SEVERAL]
)
def test_several_headers(headers: list[str]) -> None:
    """One good signature is enough."""
    assert authenticate(headers) == PROVEN


# Everything that is signed, changed under way.
CHANGES: list[tuple[str, str, str, Json | None]] = [
    ("the method", "POST", URI, BODY),
    ("the method's letters", "put", URI, BODY),
    ("the path", "PUT", URI.replace("send/1", "send/2"), BODY),
    ("an escape of the path", "PUT", URI.replace("send", "s%65nd"), BODY),
    ("an escape undone", "PUT", URI.replace("%2F", "/"), BODY),
    ("an escape in other letters", "PUT", URI.replace("%2F", "%2f"), BODY),
    ("a slash at the end", "PUT", URI.replace("/1", "/1/"), BODY),
    ("two slashes", "PUT", URI.replace("/1", "//1"), BODY),
    ("the query", "PUT", URI + "c", BODY),
    ("the query's order", "PUT", "/_matrix/federation/v1/send/1?b&a=%2F", BODY),
    ("no query", "PUT", URI.partition("?")[0], BODY),
    ("a host", "PUT", "https://us.example" + URI, BODY),
    ("the body", "PUT", URI, {"pdus": [], "edus": [{}]}),
    ("an empty body", "PUT", URI, {}),
]


@pytest.mark.parametrize(
    ("method", "uri", "content"),
    [row[1:] for row in CHANGES],
    ids=[row[0] for row in CHANGES],
)
def test_changed_request(method: str, uri: str, content: Json | None) -> None:
    """A signature is of one method, one target as on the wire, and one body."""
    with pytest.raises(ProtocolError, match="signature does not verify"):
        authenticate([sign()], method, uri, content)


def test_no_body_is_not_an_empty_object() -> None:
    """A request signed without a body does not prove one with `{}`."""
    uri = "/_matrix/federation/v1/version"
    header = THEM.authorize("GET", uri)
    assert authenticate([header], "GET", uri, None) == PROVEN
    with pytest.raises(ProtocolError, match="signature does not verify"):
        authenticate([header], "GET", uri, {})


def test_order_of_members_does_not_matter() -> None:
    """The body is compared as JSON, not as bytes."""
    assert authenticate([sign()], content={"edus": [], "pdus": []}) == PROVEN


def test_says_which_key_proved_it() -> None:
    """Of several keys, the one that verified is named."""
    second = Peer(THEM.server_name, signing_key("t_2", b"7"))
    authenticator = Authenticator(
        identity, KnownKeys(THEM, second), ANY_CERTIFICATE, at_once
    )
    headers = [sign(key=signing_key("t_1", b"8")), sign(second)]
    proven, _ = result_of(
        authenticator.authenticate(
            "PUT", URI, XMatrixHeaders(headers), body_of(encode(BODY)), None, OURSELVES
        )
    )
    assert proven == ProvenOrigin(THEM.server_name, KeyId("ed25519:t_2"))


def test_asks_for_no_key_of_a_request_for_somebody_else() -> None:
    """Keys are looked up only for requests that are for us and can be read."""

    class NoKeys(KnownKeys):
        """Is not to be asked."""

        async def request_key(
            self, server_name: ServerName, key_id: KeyId, cause: Cause
        ) -> VerifyKey:
            """Fail the test."""
            raise AssertionError(server_name)

    authenticator = Authenticator(identity, NoKeys(), ANY_CERTIFICATE, at_once)
    for headers in (
        [sign(destination=OTHERS.server_name)],
        [parameters(origin="a_b")],
        [sign(), sign(OTHERS)],
        [sign()] * (MAX_HEADERS + 1),
    ):
        with pytest.raises(ProtocolError):
            result_of(
                authenticator.authenticate(
                    "PUT",
                    URI,
                    XMatrixHeaders(headers),
                    body_of(encode(BODY)),
                    None,
                    OURSELVES,
                )
            )


class LateKeys(KnownKeys):
    """A keyring whose keys of requests come when the test says so."""

    def __init__(self, *peers: Peer) -> None:
        super().__init__(*peers)
        self.fetched: Deferred[None] = Deferred()

    async def request_key(
        self, server_name: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        """A key that is known, after a while."""
        await self.fetched
        return await super().request_key(server_name, key_id, cause)


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


class OtherCertificate(ClientCertificates):
    """Judges each client certificate to be another's."""

    def __init__(self) -> None:
        pass

    async def check(
        self, origin: ServerName, shown: ShownCertificate | None, cause: Cause
    ) -> str | None:
        """Object."""
        raise Forbidden("another's")


FAILED: list[tuple[str, bytes, list[str]]] = [
    ("malformed_body", b"{", [sign()]),
    ("malformed_body", b"[]", [sign()]),
    ("malformed_body", b"[" + b"0," * 200_000 + b"0]", [sign()]),
    ("malformed_header", encode(BODY), ["X-Matrix"]),
    ("malformed_header", encode(BODY), [sign(), sign(OTHERS)]),
    ("missing_header", encode(BODY), []),
    ("other_destination", encode(BODY), [sign(destination=OTHERS.server_name)]),
    ("no_usable_key", encode(BODY), [sign(STRANGER)]),
    ("bad_signature", b"{}", [sign()]),
    ("bad_signature", b"{}", [sign(key=signing_key("t_9")), sign()]),
    ("client_certificate", encode(BODY), [sign()]),
]


@pytest.mark.parametrize(("failure", "body", "headers"), FAILED)
def test_failure(failure: str, body: bytes, headers: list[str]) -> None:
    """Why an origin is not proven is one of few reasons."""
    authenticator = Authenticator(
        identity, KnownKeys(THEM, OTHERS), OtherCertificate(), at_once
    )
    with pytest.raises(ProtocolError) as caught:
        result_of(
            authenticator.authenticate(
                "PUT", URI, XMatrixHeaders(headers), body_of(body), None, OURSELVES
            )
        )
    assert failure_of(caught.value) == failure
    assert failure in authentication.FAILURES


def test_any_other_failure() -> None:
    """Whatever else may be raised has a reason too."""
    assert failure_of(LimitExceeded("later", 5)) == "other"
    assert "other" in authentication.FAILURES
