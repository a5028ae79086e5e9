"""A request to us, the headers that may come with it, and its authentication."""

from collections.abc import Sequence

from homeserver.inbound.authentication import Authenticator, ProvenOrigin
from homeserver.net.cause import OURSELVES
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix_headers import XMatrixHeaders
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
