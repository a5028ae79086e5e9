"""Why a request proves nothing, and what its sender is told.

It is refused with the reason, which is one of few.
"""

import pytest

from homeserver.inbound import authentication
from homeserver.inbound.authentication import Authenticator, failure_of
from homeserver.inbound.client_certificates import ClientCertificates
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.tls.shown_certificate import ShownCertificate
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.errors import Forbidden, LimitExceeded, ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix_headers import MAX_HEADERS, XMatrixHeaders
from tests.support.authenticated_request import (
    BODY,
    STRANGER,
    URI,
    authenticate,
    parameters,
    sign,
)
from tests.support.coroutines import result_of
from tests.support.federation_side import at_once, body_of
from tests.support.signed_requests import (
    OTHERS,
    THEM,
    US,
    KnownKeys,
    identity,
    signing_key,
)

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
