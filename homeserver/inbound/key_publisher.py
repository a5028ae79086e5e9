"""The key documents that this server publishes of itself.

Rules: a document is signed once and served until it is renewed. Both versions list the
certificate that was presented on the connection. A version 2 document is never served
with less than an hour of validity left.

Specification: Server-server API, "Publishing Keys"; the November 2014 text, "Retrieving
Server Keys".
"""

from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime

from homeserver.identity.identity import Identity
from homeserver.net.wall_clock import wall_seconds
from homeserver.protocol.canonical_json import encode
from homeserver.protocol.key_documents import build_v1, build_v2


class KeyPublisher:
    """Builds our key documents, and renews them when due."""

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
        self._leaf = self._v1 = self._v2 = b""
        self._renew_at = 0.0
        self._valid_until_ts = 0

    def v1(self, presented: bytes | None = None) -> bytes:
        """The version 1 document, in canonical JSON.

        It lists the certificate (DER) that was `presented` on the connection, which may
        be older than the current one; None stands for the current one.
        """
        self._make()
        if presented is None or presented == self._leaf:
            # Made for its first use: few servers still ask for it.
            self._v1 = self._v1 or self._build_v1(self._identity(), self._leaf)
            return self._v1
        return self._build_v1(self._identity(), presented)

    def v2(self, presented: bytes | None = None) -> bytes:
        """The version 2 document, in canonical JSON.

        It has the fingerprints of the current certificate and of the one that was
        `presented` on the connection, if they differ.
        """
        self._make()
        if presented is None or presented == self._leaf:
            return self._v2
        return self._build_v2(self._identity(), [self._leaf, presented])

    def _make(self) -> None:
        identity, now = self._identity(), wall_seconds(self._clock)
        if identity is self._made_for and now < self._renew_at:
            return
        self._made_for = identity
        # At least half of the validity is left. The shortest that can be configured is
        # two hours, and each document must have an hour left.
        self._renew_at = now + self._validity_seconds / 2
        self._valid_until_ts = int((now + self._validity_seconds) * 1000)
        self._leaf = identity.certificate.leaf
        self._v1 = b""
        self._v2 = self._build_v2(identity, [self._leaf])

    def _build_v1(self, identity: Identity, certificate: bytes) -> bytes:
        return encode(
            build_v1(identity.server_name, certificate, identity.signing_keys)
        )

    def _build_v2(self, identity: Identity, certificates: Sequence[bytes]) -> bytes:
        return encode(
            build_v2(
                identity.server_name,
                identity.signing_keys,
                identity.old_verify_keys,
                self._valid_until_ts,
                certificates,
            )
        )
