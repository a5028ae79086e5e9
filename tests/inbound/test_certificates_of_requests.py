"""The client certificate of a request that is authenticated.

It is looked at after the signature is verified, for the origin that signed, and a good
signature does not make up for a wrong one.
"""

import pytest

from homeserver.inbound.authentication import Authenticator, ProvenOrigin
from homeserver.inbound.client_certificates import ClientCertificates
from homeserver.net.cause import OURSELVES, Cause
from homeserver.net.tls.shown_certificate import ShownCertificate
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import Forbidden, Unauthorized
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix_headers import XMatrixHeaders
from tests.support.certificate_inspection import ORIGIN, OWN, OWN_SHA256, shown
from tests.support.coroutines import result_of
from tests.support.federation_side import at_once, body_of
from tests.support.signed_requests import OTHERS, THEM, KnownKeys, identity, signing_key


class _Watching(ClientCertificates):
    """Notes what it is asked, and answers as the test says."""

    def __init__(self, answer: str | Forbidden | None) -> None:
        self.asked: list[tuple[ServerName, ShownCertificate | None]] = []
        self._answer = answer

    async def check(
        self, origin: ServerName, shown: ShownCertificate | None, cause: Cause
    ) -> str | None:
        """Answer."""
        self.asked.append((origin, shown))
        if isinstance(self._answer, Forbidden):
            raise self._answer
        return self._answer


URI = "/_matrix/federation/v1/send/1"
BODY: Json = {"pdus": []}
SHOWN_WITH_REQUEST = shown(OWN)


def authenticate(certificates: ClientCertificates, header: str) -> ProvenOrigin:
    """Authenticate a request whose connection showed a certificate."""
    authenticator = Authenticator(
        identity, KnownKeys(THEM, OTHERS), certificates, at_once
    )
    proven, _ = result_of(
        authenticator.authenticate(
            "PUT",
            URI,
            XMatrixHeaders([header]),
            body_of(encode(BODY)),
            SHOWN_WITH_REQUEST,
            OURSELVES,
        )
    )
    return proven


@pytest.mark.parametrize("sha256", [OWN_SHA256, None], ids=["shown", "none"])
def test_recorded(sha256: str | None) -> None:
    """A proven origin comes with the fingerprint of the certificate that was checked.

    It is checked for the origin that signed.
    """
    watching = _Watching(sha256)
    proven = authenticate(watching, THEM.authorize("PUT", URI, BODY))
    assert proven == ProvenOrigin(ORIGIN, THEM.key.key_id, sha256)
    assert watching.asked == [(ORIGIN, SHOWN_WITH_REQUEST)]


def test_refused_beside_a_good_signature() -> None:
    """A good signature does not make up for a certificate that is not the origin's."""
    watching = _Watching(Forbidden("not that of them.example"))
    with pytest.raises(Forbidden, match=r"not that of them\.example"):
        authenticate(watching, THEM.authorize("PUT", URI, BODY))


def test_not_looked_at_beside_a_bad_signature() -> None:
    """Nobody's certificate is looked at before his signature is verified."""
    watching = _Watching(OWN_SHA256)
    forged = THEM.authorize("PUT", URI, BODY, key=signing_key("t_1", b"9"))
    with pytest.raises(Unauthorized):
        authenticate(watching, forged)
    assert watching.asked == []
