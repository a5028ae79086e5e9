"""Other servers' keys: from the store, else fetched and checked.

Rules: keys are looked up by a parsed server name. Fetched keys are held in memory. They
are stored when they have verified a request, for the notary, or for an event of an
authenticated transaction: forged requests fill no disk.

Specification: Server-server API, "Retrieving server keys".
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from twisted.internet import defer
from twisted.internet.interfaces import IReactorTime

from homeserver.identity.identity import Identity
from homeserver.keys.held_keys import HeldKeys, HeldLimits
from homeserver.keys.key_fetches import (
    Failed,
    Fetched,
    FetchLimits,
    FetchOutcome,
    FetchResult,
    KeyFetches,
)
from homeserver.keys.signed_event import SignedEvent
from homeserver.net.bounded_map import BoundedMap, SharedLimit
from homeserver.net.cache import MAX_ENTRIES, Cache
from homeserver.net.cause import Cause
from homeserver.net.time_limit import within
from homeserver.net.wall_clock import wall_ts
from homeserver.outbound.client import FederationClient
from homeserver.outbound.transport.failures import NotVerified
from homeserver.outbound.transport.verified_peer import VerifiedPeer, record_peer
from homeserver.protocol.diagnosis.candidate_keys import CandidateKey
from homeserver.protocol.errors import Explanation, Unauthorized, listed
from homeserver.protocol.identifiers import KeyId, ServerName
from homeserver.protocol.key_documents import MAX_VALIDITY_MS, KeyDocument
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.peers import PeerStore
from homeserver.storage.server_keys import KeyConflict, StoredKey

# For how long it is remembered whether a server serves other keys than the stored ones,
# and for how long a request waits to find out.
_CONFLICT_SECONDS = 300.0
_CONFLICT_PATIENCE_SECONDS = 3.0

# Servers whose present keys contradict the stored ones, for hints.
_MAX_SERVED = 100

# How long a request waits for keys, and for a slot to fetch them; its sender times out
# after a minute.
_PATIENCE_SECONDS = 30.0


class KeyringLimits:
    """The limits that the keyrings of all our servers share."""

    def __init__(
        self, clock: IReactorTime, trusts: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`trusts` is as in `Shares`."""
        self.held = HeldLimits()
        self.fetches = FetchLimits(clock, trusts)
        self.conflicts = SharedLimit(MAX_ENTRIES)
        self.served = SharedLimit(_MAX_SERVED)
        self.bounds = [self.fetches.shares.bound, *self.held.bounds]


class Keyring:
    """The keys of all servers, as one of ours knows them, and its own."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        peers: PeerStore,
        client: FederationClient,
        clock: IReactorTime,
        limits: KeyringLimits,
        observe: Callable[[FetchResult], object] = lambda _: None,
    ) -> None:
        """`observe` is called with the result of each fetch."""
        self._identity = identity
        self._peers = peers
        self._clock = clock
        self._held = HeldKeys(clock, limits.held)
        self.fetches = KeyFetches(client, self._take, clock, limits.fetches, observe)
        self._conflicts: Cache[ServerName, str | None] = Cache(clock, limits.conflicts)
        # Nothing is kept in it: it lets one request store the keys for all.
        self._storing: Cache[ServerName, str | None] = Cache(clock)
        self._served: BoundedMap[ServerName, Mapping[KeyId, VerifyKey]]
        self._served = BoundedMap(limits.served)

    async def request_key(
        self, server_name: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        """The key that verifies a request of `server_name` made now.

        Raises `Unauthorized`, which says why there is no such key.
        """
        now_ts = wall_ts(self._clock)

        def is_usable(key: StoredKey) -> bool:
            return key.valid_until_ts is not None and key.valid_until_ts >= now_ts

        def suffice(keys: Mapping[KeyId, StoredKey]) -> bool:
            return key_id in keys and is_usable(keys[key_id])

        keys, outcome = await self._known_or_fetched_keys(server_name, suffice, cause)
        key = keys.get(key_id)
        if key is not None and is_usable(key):
            return key.verify_key
        said = f"no usable key {key_id} of {server_name}"
        if key is not None:
            said += f"; it expired at {key.expired_ts or key.valid_until_ts}"
        said += f"; known keys of {server_name}: {listed(keys)}"
        if isinstance(outcome, Failed):
            why = outcome.why.after(f"{said}; fetching them failed: ")
            raise Unauthorized(why.public, why.in_full)
        if key_id in outcome.invalid_entries:
            said += f"; {key_id} is ignored: {outcome.invalid_entries[key_id]}"
        raise Unauthorized(said)

    async def event_keys(
        self,
        server_name: ServerName,
        events: Sequence[SignedEvent],
        cause: Cause,
        failed: set[ServerName] | None = None,
    ) -> Sequence[Mapping[KeyId, VerifyKey]]:
        """The keys that may verify the server's signatures of each of some events.

        One look-up serves all of them, and one fetch, if there is none for one of them.
        A server in `failed` is not asked; one is added when its keys were not fetched.
        """
        if not any(event.key_ids for event in events):
            return [{}] * len(events)  # without signatures, keys would verify nothing

        def suffice(keys: Mapping[KeyId, StoredKey]) -> bool:
            return all(not each.key_ids or each.usable(keys) for each in events)

        if failed is not None and server_name in failed:
            keys = await self._known_keys(server_name)
        else:
            keys, outcome = await self._known_or_fetched_keys(
                server_name, suffice, cause
            )
            if failed is not None and isinstance(outcome, Failed):
                failed.add(server_name)
        if await self._store(server_name) is not None:
            keys = await self._peers.keys(server_name)
        return [event.usable(keys) for event in events]

    async def candidates(self, server_name: ServerName) -> list[CandidateKey]:
        """The known keys of a server, usable or not, without asking the server.

        With them, keys that it was seen to serve in place of stored ones.
        """
        identity, now_ts = self._identity(), wall_ts(self._clock)
        if server_name == identity.server_name:
            known: Mapping[KeyId, StoredKey] = _own_keys(identity, now_ts)
        else:
            known = await self._known_keys(server_name)
        served = self._served.get(server_name, {})
        return [
            *(_candidate(key, now_ts) for key in known.values()),
            *(
                CandidateKey(key, "served")
                for key in served.values()
                if key.key_id in known and known[key.key_id].verify_key != key
            ),
        ]

    async def refresh(self, server_name: ServerName, cause: Cause) -> bool:
        """Fetch and store the keys of another server now; whether that succeeded.

        A server that gave no answer a moment ago is not asked.
        """
        outcome = await self.fetches.refresh(server_name, cause)
        return isinstance(outcome, Fetched) and await self._store(server_name) is None

    async def prove(self, server_name: ServerName) -> None:
        """Store the keys of a server after one of them has verified a request.

        Raises `Unauthorized` if the stored keys contradict them.
        """
        problem = await self._store(server_name)
        if problem is not None:
            raise Unauthorized(problem)

    async def conflict(self, server_name: ServerName, cause: Cause) -> str | None:
        """How the present keys of a server contradict its stored ones, if they do.

        The server is asked, but rarely; the result is None after three seconds.
        """
        looking = self._conflicts.fetch(
            server_name, lambda: self._look_for_conflict(server_name, cause)
        )
        with suppress(defer.TimeoutError):
            return await within(_CONFLICT_PATIENCE_SECONDS, self._clock, looking)
        return None

    def forget(self, server_name: ServerName) -> None:
        """Forget the keys of a server, except for those in the store."""
        self._held.take(server_name)
        self._served.pop(server_name, None)
        self._conflicts.forget(server_name)
        self.fetches.forget(server_name)

    async def _look_for_conflict(
        self, server_name: ServerName, cause: Cause
    ) -> tuple[str | None, float]:
        # Not the last result: the server may have been rebuilt since.
        outcome = await self.fetches.refresh(server_name, cause)
        if isinstance(outcome, Failed) and outcome.is_conflict:
            return outcome.why.in_full, _CONFLICT_SECONDS
        return None, _CONFLICT_SECONDS

    async def _known_or_fetched_keys(
        self,
        server_name: ServerName,
        suffice: Callable[[Mapping[KeyId, StoredKey]], bool],
        cause: Cause,
    ) -> tuple[Mapping[KeyId, StoredKey], FetchOutcome]:
        """The keys of a server, and the result if they had to be fetched.

        They are fetched if the known ones do not `suffice`.
        """
        identity = self._identity()
        if server_name == identity.server_name:
            return _own_keys(identity, wall_ts(self._clock)), Fetched()
        keys = await self._known_keys(server_name)
        if suffice(keys):
            return keys, Fetched()
        fetching = self.fetches.fetch(server_name, cause, is_known=bool(keys))
        outcome: FetchOutcome
        try:
            outcome = await within(_PATIENCE_SECONDS, self._clock, fetching)
        except defer.TimeoutError:
            why = f"no answer within {_PATIENCE_SECONDS:g} seconds"
            outcome = Failed(Explanation.plain(why))
        return await self._known_keys(server_name), outcome

    async def _known_keys(self, server_name: ServerName) -> Mapping[KeyId, StoredKey]:
        """The stored keys of a server, updated by the held ones."""
        # In this order: held keys may be stored while the store is read.
        held = self._held.find(server_name)
        stored = await self._peers.keys(server_name)
        return stored if held is None else {**stored, **held.keys()}

    async def _take(self, document: KeyDocument, peer: VerifiedPeer) -> FetchOutcome:
        """Hold fetched keys, unless they contradict the stored ones."""
        conflict = await self._peers.conflict(document)
        if conflict is not None:
            self._served[document.server_name] = document.verify_keys
            return Failed(Explanation.plain(conflict), is_conflict=True)
        self._held.hold(document, peer)
        return Fetched(document.invalid_entries)

    async def _store(self, server_name: ServerName) -> str | None:
        """Store the held keys of a server, if any; returns why that failed, if so."""
        if self._held.find(server_name) is None:
            return None
        return await self._storing.fetch(
            server_name, lambda: self._store_held(server_name)
        )

    async def _store_held(self, server_name: ServerName) -> tuple[str | None, float]:
        held, problem = self._held.find(server_name), None
        if held is not None:
            try:
                await record_peer(self._peers, held.peer)
                await self._peers.record_keys(held.document, held.fetched_ts)
            except (NotVerified, KeyConflict) as why:
                problem = str(why)
            # Not before: other requests look for these keys meanwhile.
            self._held.drop(held)
        return problem, 0.0


def _candidate(key: StoredKey, now_ts: int) -> CandidateKey:
    if key.expired_ts is not None:
        return CandidateKey(key.verify_key, "old", key.expired_ts)
    until = key.valid_until_ts
    if until is not None and until < now_ts:
        return CandidateKey(key.verify_key, "expired", until)
    return CandidateKey(key.verify_key)


def _own_keys(identity: Identity, now_ts: int) -> dict[KeyId, StoredKey]:
    keys = {
        key.key_id: StoredKey(key.verify_key, now_ts + MAX_VALIDITY_MS, None)
        for key in identity.signing_keys
    }
    for old in identity.old_verify_keys:
        key = StoredKey(old.verify_key, None, old.expired_ts)
        keys[old.verify_key.key_id] = key
    return keys
