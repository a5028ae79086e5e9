"""The server that is asked, and servers that ask it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nacl.signing import SigningKey as NaclSigningKey
from twisted.internet.defer import Deferred

from homeserver.identity.identity import Identity
from homeserver.inbound.client_certificates import ClientCertificates
from homeserver.keys.keyring import Keyring
from homeserver.keys.signed_event import SignedEvent
from homeserver.net.cause import Cause
from homeserver.net.tls.shown_certificate import ShownCertificate
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.errors import Unauthorized
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import OldVerifyKey
from homeserver.protocol.signing import SigningKey, VerifyKey
from homeserver.protocol.xmatrix import FederationRequest
from tests.support.certificates import issue_for


def signing_key(version: str = "a_1", seed: bytes = b"1") -> SigningKey:
    """A signing key; the same one for the same arguments."""
    return SigningKey(KeyId(f"ed25519:{version}"), NaclSigningKey(seed * 32))


US = ServerName.parse("us.example")


def identity(
    keys: Sequence[SigningKey] = (signing_key(),), old_keys: Sequence[OldVerifyKey] = ()
) -> Identity:
    """Our own identity, with a certificate of a moment ago."""
    return Identity(US, keys, old_keys, issue_for(US.name).value)


@dataclass(frozen=True)
class Peer:
    """Another server."""

    server_name: ServerName
    key: SigningKey

    def authorize(
        self,
        method: str,
        uri: str,
        content: Json | None = None,
        *,
        destination: ServerName = US,
        key: SigningKey | None = None,
    ) -> str:
        """The value of the `Authorization` header for a request of this server."""
        request = FederationRequest(method, uri, self.server_name, destination, content)
        [authorization] = request.sign([key or self.key])
        return str(authorization)


THEM = Peer(ServerName.parse("them.example"), signing_key("t_1", b"2"))
OTHERS = Peer(ServerName.parse("others.example:8449"), signing_key("o_1", b"3"))


class _AnyCertificate(ClientCertificates):
    """Asks for no certificate."""

    def __init__(self) -> None:
        pass

    async def check(
        self, origin: ServerName, shown: ShownCertificate | None, cause: Cause
    ) -> str | None:
        """Nothing to object to."""
        return None


ANY_CERTIFICATE = _AnyCertificate()


class KnownKeys(Keyring):
    """A keyring that has what it is given, and fetches nothing."""

    def __init__(self, *peers: Peer) -> None:
        self._known: dict[ServerName, dict[KeyId, VerifyKey]] = {}
        for peer in peers:
            self.learn(peer)
        self.asked: list[tuple[ServerName, int, str]] = []
        """For each question about an event: whose keys, of when, for which version."""

        self.proven: list[ServerName] = []
        """Whose requests were proven."""

        self.conflicts: dict[ServerName, str] = {}
        """How servers contradict what is known of them."""

        self.causes: list[Cause] = []
        """The cause of each question."""

    def learn(self, peer: Peer) -> None:
        """Add a key of a server."""
        keys = self._known.setdefault(peer.server_name, {})
        keys[peer.key.key_id] = peer.key.verify_key

    async def candidates(self, server_name: ServerName) -> list[CandidateKey]:
        """All that is known of a server."""
        return [CandidateKey(key) for key in self._known.get(server_name, {}).values()]

    def lose(self, peer: Peer) -> None:
        """Have no key of a server any more."""
        del self._known[peer.server_name]

    async def request_key(
        self, server_name: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        """A key that is known."""
        self.causes.append(cause)
        key = self._known.get(server_name, {}).get(key_id)
        if key is None:
            raise Unauthorized(f"no usable key {key_id} of {server_name}")
        return key

    async def event_keys(
        self,
        server_name: ServerName,
        events: Sequence[SignedEvent],
        cause: Cause,
        failed: set[ServerName] | None = None,
    ) -> Sequence[Mapping[KeyId, VerifyKey]]:
        """Those of the keys that are known."""
        self.causes.append(cause)
        self.asked += [
            (server_name, each.origin_server_ts, each.room_version.version)
            for each in events
        ]
        known = self._known.get(server_name, {})
        return [
            {key_id: known[key_id] for key_id in each.key_ids if key_id in known}
            for each in events
        ]

    async def prove(self, server_name: ServerName) -> None:
        """Nothing: they are known."""
        self.proven.append(server_name)

    async def conflict(self, server_name: ServerName, cause: Cause) -> str | None:
        """What the test says."""
        return self.conflicts.get(server_name)


class UnreachableKeys(KnownKeys):
    """A keyring that has no key, and explains that to two readers."""

    async def request_key(
        self, server_name: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        """Fail."""
        raise Unauthorized(
            "no connection", "127.0.0.1:22: it is not TLS: " + "x" * 5000
        )


class SlowKeys(KnownKeys):
    """A keyring whose answers about events come when the test says so."""

    def __init__(self, *peers: Peer) -> None:
        super().__init__(*peers)
        self.waiting: list[Deferred[None]] = []

    async def event_keys(
        self,
        server_name: ServerName,
        events: Sequence[SignedEvent],
        cause: Cause,
        failed: set[ServerName] | None = None,
    ) -> Sequence[Mapping[KeyId, VerifyKey]]:
        """Those of the keys that are known, after a while."""
        answer: Deferred[None] = Deferred()
        self.waiting.append(answer)
        await answer
        return await super().event_keys(server_name, events, cause, failed)


class LateKeys(KnownKeys):
    """A keyring whose keys of requests come when the test says so."""

    def __init__(self, *peers: Peer) -> None:
        super().__init__(*peers)
        self.fetched: Deferred[None] = Deferred()

    async def request_key(
        self, server_name: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        """A key that is known, after a while."""
        await self.fetched
        return await super().request_key(server_name, key_id, cause)
