"""Which requests prove who made them.

A signature is of one method, one target as on the wire, and one body. Keys are looked
up only for requests that are for us.
"""

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from homeserver.inbound.authentication import Authenticator, ProvenOrigin
from homeserver.net.cause import OURSELVES, Cause
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import ProtocolError, Unauthorized
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.signing import VerifyKey
from homeserver.protocol.xmatrix_headers import MAX_HEADERS, XMatrixHeaders
from tests.support.authenticated_request import (
    BODY,
    PROVEN,
    STRANGER,
    URI,
    authenticate,
    parameters,
    sign,
)
from tests.support.coroutines import result_of
from tests.support.federation_side import at_once, body_of
from tests.support.signed_requests import (
    ANY_CERTIFICATE,
    OTHERS,
    THEM,
    KnownKeys,
    Peer,
    identity,
    signing_key,
)


def test_proven() -> None:
    """A request that its origin signed is proven to be of that origin."""
    assert authenticate([sign()]) == PROVEN


def test_without_destination() -> None:
    """A header without a destination is taken, if the request was signed for us."""
    assert authenticate([parameters(destination=None)]) == PROVEN


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
