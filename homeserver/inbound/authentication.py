"""Which server is asking, proven.

Rules of the room: nothing that a request says about its origin is believed before a
signature by that origin's own key over this very request was verified. Who is refused
is told which check failed.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homeserver.identity import Identity
from homeserver.inbound.client_certificates import ClientCertificates, ShownCertificate
from homeserver.keyring import Keyring
from homeserver.protocol.canonical import Json
from homeserver.protocol.errors import BadAuthorization, Unauthorized, quote
from homeserver.protocol.names import KeyId, ServerName
from homeserver.protocol.xmatrix import Authorization, FederationRequest

MAX_HEADERS = 8  # one for each signing key of the origin; it has one or two


@dataclass(frozen=True, slots=True)
class ProvenOrigin:
    """The server that made a request, and what proved it."""

    server_name: ServerName
    key_id: KeyId
    client_certificate: str | None = None
    """SHA-256 of its TLS client certificate in hexadecimal, where one was checked."""


class Authenticator:
    """Proves the origins of requests to one identity."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        keyring: Keyring,
        certificates: ClientCertificates,
    ) -> None:
        self._identity = identity
        self._keyring = keyring
        self._certificates = certificates

    async def authenticate(
        self,
        method: str,
        uri: str,
        headers: Sequence[str],
        content: Json | None,
        shown: ShownCertificate | None,
    ) -> ProvenOrigin:
        """Prove who made a request.

        `uri` is the request target as received, `headers` are the values of its
        `Authorization` headers, `content` is its body, `shown` is the client's
        certificate. Raises `Unauthorized` (401), `BadAuthorization` (400) for headers
        that cannot be read, and `Forbidden` (403) for a certificate that is not the
        origin's.
        """
        authorizations = _parse(headers)
        origin = authorizations[0].origin
        own_name = self._identity().server_name
        for each in authorizations:
            if each.destination not in {None, own_name}:
                raise Unauthorized(
                    f"the request is for {quote(str(each.destination))}; this is "
                    f"{own_name}"
                )
        request = FederationRequest(method, uri, origin, own_name, content)
        problems: list[str] = []
        for each in authorizations:
            try:
                key = await self._keyring.request_key(origin, each.key_id)
                request.verify(each, key)
            except Unauthorized as problem:
                problems.append(str(problem))
            else:
                # Only now: a stranger would have us ask whomever he names.
                certificate = await self._certificates.check(origin, shown)
                return ProvenOrigin(origin, each.key_id, certificate)
        raise Unauthorized("; ".join(problems))


def _parse(headers: Sequence[str]) -> list[Authorization]:
    """The authorizations of one request; at least one, all of one origin."""
    if not headers:
        raise Unauthorized("the request has no X-Matrix Authorization header")
    if len(headers) > MAX_HEADERS:
        raise BadAuthorization(
            f"the request has {len(headers)} Authorization headers; {MAX_HEADERS} are "
            "allowed"
        )
    authorizations: list[Authorization] = []
    problems: list[BadAuthorization] = []
    for header in headers:
        try:
            authorizations.append(Authorization.parse(header))
        except BadAuthorization as problem:
            problems.append(problem)  # by a newer algorithm, maybe; one has to be good
    if not authorizations:
        raise problems[0]
    if any(each.origin != authorizations[0].origin for each in authorizations):
        raise BadAuthorization("the X-Matrix headers name different origins")
    return authorizations
