"""A request as it goes out with our signatures.

Specification: Server-server API, "Request Authentication".
"""

from twisted.web.http_headers import Headers

from homeserver.identity.identity import Identity
from homeserver.outbound.agent import OutgoingRequest
from homeserver.protocol.canonical_json import Encoded
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.xmatrix import FederationRequest


def signed_request(
    identity: Identity,
    method: str,
    target: str,
    destination: ServerName,
    body: bytes | None,
) -> OutgoingRequest:
    """A request with the signature of each of our keys.

    `body` is canonical JSON; None for no body, which differs from `{}`.
    """
    content = None if body is None else Encoded(body)
    request = FederationRequest(
        method, target, identity.server_name, destination, content
    )
    headers = Headers({} if body is None else {"Content-Type": ["application/json"]})
    for authorization in request.sign(identity.signing_keys):
        headers.addRawHeader("Authorization", str(authorization))
    return OutgoingRequest(
        method.encode("ascii"), target.encode("ascii"), headers, body
    )
