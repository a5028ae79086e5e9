"""Authentication of requests by their X-Matrix signatures.

Rules: no claim of a request about its origin is trusted before a signature of that
origin's own key over the request was verified. The error of a refused request says
which check failed.

Specification: Server-server API, "Request Authentication".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct
from twisted.internet.defer import DeferredSemaphore

from homeserver.identity.identity import Identity
from homeserver.inbound.client_certificates import ClientCertificates
from homeserver.keys.keyring import Keyring
from homeserver.net.cause import Cause
from homeserver.net.cooperate import InThread
from homeserver.net.handled import handled
from homeserver.net.tls.shown_certificate import ShownCertificate
from homeserver.protocol.bodies import check_body, read_body
from homeserver.protocol.canonical_json import Encoded, Json
from homeserver.protocol.errors import (
    BadAuthorization,
    BadJson,
    Explanation,
    Forbidden,
    NotJson,
    ProtocolError,
    TooLarge,
    Unauthorized,
)
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.remarks import Remark
from homeserver.protocol.signing import VerifyKey
from homeserver.protocol.xmatrix import Authorization, FederationRequest
from homeserver.protocol.xmatrix_headers import (
    MissingAuthorization,
    OtherDestination,
    XMatrixHeaders,
)


class NoUsableKey(Unauthorized):
    """The key that signed the request is unknown or not valid."""


# By the exception; the first match applies.
_FAILURES: Mapping[type[ProtocolError], str] = {
    NotJson: "malformed_body",
    BadJson: "malformed_body",
    TooLarge: "malformed_body",
    BadAuthorization: "malformed_header",
    MissingAuthorization: "missing_header",
    OtherDestination: "other_destination",
    NoUsableKey: "no_usable_key",
    Unauthorized: "bad_signature",
    Forbidden: "client_certificate",
    ProtocolError: "other",
}

FAILURES: Mapping[str, str] = {
    "malformed_body": "the body is not the JSON that the route expects",
    "malformed_header": "the X-Matrix header does not match its grammar",
    "missing_header": "there is no X-Matrix header",
    "other_destination": "the header names another destination than this server",
    "no_usable_key": "no key of the origin could be had, or none is valid now",
    "bad_signature": "the signature does not verify",
    "client_certificate": "the TLS client certificate is missing or another server's",
    "other": "another rule of a request's head is broken",
}
"""The reasons for which authentication fails, and what each means."""

# Larger bodies are parsed and verified in a thread; this size takes two milliseconds.
_MAX_INLINE_BYTES = 65536

# Server-server API, "API standards": these have JSON objects as bodies.
_WITH_BODY = frozenset({"PUT", "POST"})

MAX_LARGE_BODIES = 2  # larger ones at once; each may take a hundred megabytes

_T = TypeVar("_T")


class Body(Struct, frozen=True):
    """The body of a request."""

    length: int
    """In bytes."""

    read: Callable[[], bytes]


class ProvenOrigin(Struct, frozen=True):
    """The server that made a request, and the proof."""

    server_name: ServerName
    key_id: KeyId
    client_certificate: str | None = None
    """SHA-256 of its TLS client certificate in hexadecimal, if it was checked."""

    remarks: Sequence[Remark] = ()
    """What is wrong with the head of the request, though it was accepted."""


def large_bodies() -> DeferredSemaphore:
    """Slots for large bodies, all free."""
    return DeferredSemaphore(MAX_LARGE_BODIES)


class Authenticator:
    """Authenticates requests to one identity."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        keyring: Keyring,
        certificates: ClientCertificates,
        in_thread: InThread,
        large: DeferredSemaphore | None = None,
    ) -> None:
        """`large` are the slots for large bodies, for all our servers."""
        self._identity = identity
        self._keyring = keyring
        self._certificates = certificates
        self._in_thread = in_thread
        self._large = large or large_bodies()

    @property
    def own_name(self) -> ServerName:
        """The server name that requests are for."""
        return self._identity().server_name

    async def authenticate(
        self,
        method: str,
        uri: str,
        headers: XMatrixHeaders,
        body: Body,
        shown: ShownCertificate | None,
        cause: Cause,
    ) -> tuple[ProvenOrigin, Json | None]:
        """Authenticate a request; returns its origin and its parsed body.

        `uri` is the request target as received, `shown` is the client's certificate;
        key fetches are charged to `cause`. Raises `NotJson` and `BadJson` (400) for the
        body, `BadAuthorization` (400) for malformed headers, `Unauthorized` (401), and
        `Forbidden` (403) for a certificate that is not the origin's. Cheap checks run
        first: the headers, then the keys, then the body.
        """
        authorizations = headers.check(self.own_name)
        origin = authorizations[0].origin
        if body.length == 0 and method in _WITH_BODY:
            raise NotJson(
                f"a {method} needs a JSON object as its body; this one has no body"
            )
        keys, problems = await self._find_keys(origin, authorizations, cause)
        own_name = self.own_name

        def prove(read: bytes) -> tuple[KeyId, Json | None]:
            content = read_body(read) if read else None
            canonical = None if content is None else Encoded(content.canonical)
            request = FederationRequest(method, uri, origin, own_name, canonical)
            key_id = request.verify(authorizations, keys)
            return key_id, None if content is None else check_body(content)

        try:
            if not keys:
                why = problems.pop().explanation
                raise NoUsableKey(why.public, why.in_full)
            # Parsed only now: while keys are fetched, a client must not fill the memory
            # with parsed bodies.
            key_id, content = await self._on(body, prove)
        except Unauthorized as problem:
            why = problem.explanation
            for each in reversed(problems):
                why = each.explanation.then(why)
            conflict = await self._keyring.conflict(origin, cause) if keys else None
            if conflict is not None:
                why = why.then(Explanation.plain(conflict))
            raise type(problem)(why.public, why.in_full) from None
        await self._keyring.prove(origin)
        # Only now: before, a client could make us connect to any server.
        certificate = await self._certificates.check(origin, shown, cause)
        return ProvenOrigin(origin, key_id, certificate), content

    async def _on(self, body: Body, work: Callable[[bytes], _T]) -> _T:
        """Run `work` on a body: directly if it is small, else in a thread."""
        if body.length <= _MAX_INLINE_BYTES:
            return work(body.read())
        async with self._large:
            # Read only now, so that bodies that wait are not in memory.
            read = body.read()
            return await self._in_thread(lambda: work(read))

    async def _find_keys(
        self, origin: ServerName, authorizations: Sequence[Authorization], cause: Cause
    ) -> tuple[dict[KeyId, VerifyKey], list[Unauthorized]]:
        """The usable keys of the origin, and the errors for the others."""
        keys: dict[KeyId, VerifyKey] = {}
        problems: list[Unauthorized] = []
        for each in authorizations:
            try:
                keys[each.key_id] = await self._keyring.request_key(
                    origin, each.key_id, cause
                )
            except Unauthorized as problem:
                problems.append(handled(problem))
        return keys, problems


def failure_of(problem: ProtocolError) -> str:
    """The reason, of `FAILURES`, for what `authenticate` raised."""
    return next(what for kind, what in _FAILURES.items() if isinstance(problem, kind))
