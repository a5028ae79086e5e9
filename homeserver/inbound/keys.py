"""The key documents that this server publishes, in 2014's form and today's.

Rules of the room: a document is signed once and served until it is time for another.
The version 1 document names the certificate that the same listener presents; the
version 2 document is never handed out with under an hour of life left.

Specification: Server-server API, "Publishing Keys"; the November 2014 text,
"Retrieving Server Keys".
"""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Request

from homeserver.identity import Identity
from homeserver.inbound.resource import JsonResource, Reply
from homeserver.protocol.canonical import encode
from homeserver.protocol.keys import build_v1, build_v2


class KeyPublisher:
    """Makes our key documents, and makes them anew when it is time."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        validity_seconds: float,
        clock: IReactorTime,
    ) -> None:
        self._identity = identity
        self._validity_seconds = validity_seconds
        self._clock = clock
        self._made_for: Identity | None = None
        self._v1 = self._v2 = b""
        self._renew_at = 0.0

    def v1(self) -> bytes:
        """The version 1 document, in canonical JSON."""
        self._make()
        return self._v1

    def v2(self) -> bytes:
        """The version 2 document, in canonical JSON."""
        self._make()
        return self._v2

    def _make(self) -> None:
        identity, now = self._identity(), self._clock.seconds()
        if identity is self._made_for and now < self._renew_at:
            return
        self._made_for = identity
        # Half of its life is left at least; half of the shortest that can be
        # configured, two hours, is the hour that every document must have left.
        self._renew_at = now + self._validity_seconds / 2
        self._v1 = encode(
            build_v1(
                identity.server_name,
                identity.certificate.leaf,
                identity.signing_keys,
            )
        )
        self._v2 = encode(
            build_v2(
                identity.server_name,
                identity.signing_keys,
                identity.old_verify_keys,
                valid_until_ts=int((now + self._validity_seconds) * 1000),
            )
        )


class ServerKeys(JsonResource):
    """`/_matrix/key/v2/server`, and below it the key IDs of before v1.6."""

    def getChild(self, path: bytes, request: Request) -> IResource:
        """The same document, whichever key was asked for."""
        if not request.postpath:
            return self
        return super().getChild(path, request)


def key_tree(publisher: KeyPublisher) -> JsonResource:
    """The resources below `/_matrix/key`."""

    async def v1(_: Request) -> Reply:
        return Reply(publisher.v1())

    async def v2(_: Request) -> Reply:
        return Reply(publisher.v2())

    tree, second = JsonResource(), JsonResource()
    tree.putChild(b"v1", JsonResource({b"GET": v1}))
    tree.putChild(b"v2", second)
    second.putChild(b"server", ServerKeys({b"GET": v2}))
    return tree
