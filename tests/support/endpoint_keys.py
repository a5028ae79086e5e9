"""The keys of an endpoint: those that it publishes, and those in its files."""

import signedjson.key
from nacl.signing import SigningKey as NaclSigningKey

from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import KeyDocument, parse_v2
from homeserver.protocol.signing import SigningKey
from scripts.processes import Endpoint
from tests.support import trusting_client

ALPHA, BETA = map(ServerName.parse, ["alpha.test", "beta.test"])


def fetch(endpoint: Endpoint, target: str) -> tuple[bytes, bytes]:
    """The body of an answer, and the certificate of its connection."""
    got = trusting_client.fetch(endpoint.port, target)
    assert got.status == 200, got.body
    return got.body, got.certificate


def published(endpoint: Endpoint) -> KeyDocument:
    """The version 2 document."""
    return parse_v2(fetch(endpoint, "/_matrix/key/v2/server")[0], ALPHA)


def signing_keys(endpoint: Endpoint) -> list[SigningKey]:
    """The keys in an endpoint's file."""
    with (endpoint.folder / "signing.key").open() as file:
        read = signedjson.key.read_signing_keys(file)
    return [
        SigningKey(KeyId(f"{key.alg}:{key.version}"), NaclSigningKey(key.encode()))
        for key in read
    ]
