"""Other servers' keys: stored, else fetched and checked.

Rules of the room: a key is asked for by a server name that was parsed; that name
alone decides whom it is fetched from. One fetch serves all who wait for it, and one
that failed is not repeated at once: whoever sends forged requests must not make us
knock at somebody else's door for each of them.

Specification: Server-server API, "Retrieving server keys"; Room Versions 1 to 5 on
which keys verify an event.
"""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct
from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime

from homeserver.cache import BackOff, Cache, Kept
from homeserver.cause import Cause
from homeserver.identity import Identity
from homeserver.outbound.client import FederationClient
from homeserver.outbound.connector import Unreachable
from homeserver.outbound.refusal import Refused
from homeserver.protocol.errors import ProtocolError, Unauthorized, quote
from homeserver.protocol.keys import MAX_VALIDITY_MS
from homeserver.protocol.names import KeyId, ServerName
from homeserver.protocol.room_versions import RoomVersion
from homeserver.protocol.signing import VerifyKey
from homeserver.storage.peers import PeerStore
from homeserver.storage.server_keys import StoredKey

# How long after a fetch there is no other one. A key that is new since then is refused
# until it is over; its owner's retries come seconds apart.
_FRESH_SECONDS = 10.0

# How long after a fetch that failed there is no other one: twice as long after each
# that fails again, up to what a server that is back should have to wait at most.
_FAILURE_SECONDS = 30.0
_MAX_FAILURE_SECONDS = 300.0

# How long somebody waits for keys, and for the turn to fetch them; who sent us the
# request gives up after a minute.
_PATIENCE_SECONDS = 30.0

# Whoever sends requests in many forged names makes us ask many servers.
_MAX_FETCHES = 100  # at once; each may cost a connection
_MAX_WAITING = 1000  # for one of those; each is an inbound request that waits too


FetchResult = Literal["fetched", "failed"]


class _Fetched(Struct, frozen=True):
    """The keys of a server came, and are stored."""

    passed_over: Mapping[str, str] = {}
    """As `KeyDocument` has it."""


class _Failed(Struct, frozen=True):
    """The keys of a server did not come."""

    why: str
    """As peers may know it."""

    is_silence: bool
    """Whether the server gave no answer, which may last; or else a bad one."""


class Pause(Struct, frozen=True):
    """The time after a fetch of a server's keys in which there is no other one."""

    server_name: ServerName
    problem: str | None
    """Why the fetch failed, as peers may know it; None where the keys came."""

    left: float
    """How many seconds are left of it."""


class Keyring:
    """The keys of all servers, our own included."""

    def __init__(
        self,
        identity: Callable[[], Identity],
        peers: PeerStore,
        client: FederationClient,
        clock: IReactorTime,
        observe: Callable[[FetchResult], object] = lambda _: None,
    ) -> None:
        """`observe` takes what came of each fetch."""
        self._identity = identity
        self._peers = peers
        self._client = client
        self._clock = clock
        self._observe = observe
        self._fetches: Cache[ServerName, _Fetched | _Failed] = Cache(clock)
        self._back_off: BackOff[ServerName] = BackOff(
            _FAILURE_SECONDS, _MAX_FAILURE_SECONDS
        )
        self._turns = DeferredSemaphore(_MAX_FETCHES)

    async def request_key(
        self, server_name: ServerName, key_id: KeyId, cause: Cause
    ) -> VerifyKey:
        """The key that a request of `server_name` made now may be signed with.

        Raises `Unauthorized`, which says why there is none.
        """
        now_ts = self._now_ts()

        def is_usable(key: StoredKey) -> bool:
            return key.valid_until_ts is not None and key.valid_until_ts >= now_ts

        keys, came = await self._keys(server_name, {key_id}, is_usable, cause)
        key = keys.get(key_id)
        if key is not None and is_usable(key):
            return key.verify_key
        known = f"known keys of {server_name}: {quote(sorted(keys))}"
        if isinstance(came, _Failed):
            known += f"; fetching them failed: {came.why}"
        elif key_id in came.passed_over:
            known += f"; {key_id} is passed over: {came.passed_over[key_id]}"
        if key is not None:
            known = f"it expired at {key.expired_ts or key.valid_until_ts}; {known}"
        raise Unauthorized(f"no usable key {key_id} of {server_name}; {known}")

    async def event_keys(
        self,
        server_name: ServerName,
        key_ids: frozenset[KeyId],
        origin_server_ts: int,
        room_version: RoomVersion,
        cause: Cause,
    ) -> Mapping[KeyId, VerifyKey]:
        """Those of the keys that an event of that time may be signed with.

        Times are milliseconds since 1970.
        """

        def is_usable(key: StoredKey) -> bool:
            if key.expired_ts is not None:
                return key.expired_ts >= origin_server_ts
            if not room_version.enforces_key_validity:
                return True
            until = key.valid_until_ts
            return until is not None and until >= origin_server_ts

        if not key_ids:
            return {}  # nobody is asked for keys that could verify nothing
        keys, _ = await self._keys(server_name, set(key_ids), is_usable, cause)
        return {
            key_id: key.verify_key
            for key_id, key in keys.items()
            if key_id in key_ids and is_usable(key)
        }

    async def refresh(self, server_name: ServerName, cause: Cause) -> bool:
        """Fetch the keys of another server now; whether they came.

        A server that did not answer a moment ago is not asked.
        """
        came = await self._fetches.fetch(
            server_name,
            lambda: self._fetch_in_turn(server_name, cause),
            is_wanted=lambda came: isinstance(came, _Failed) and came.is_silence,
        )
        return isinstance(came, _Fetched)

    def pauses(self) -> list[Pause]:
        """The servers whose keys are not fetched now, as that was tried just before."""
        return [_pause(kept) for kept in self._fetches.kept()]

    def pause(self, server_name: ServerName) -> Pause | None:
        """As `pauses`, of one server; None where its keys may be fetched."""
        kept = self._fetches.find(server_name)
        return None if kept is None else _pause(kept)

    def end_pause(self, server_name: ServerName) -> None:
        """Fetch the keys of a server when they are asked for, whatever has failed."""
        self._fetches.forget(server_name)
        self._back_off.succeed(server_name)

    def end_pauses(self) -> None:
        """As `end_pause`, of every server."""
        self._fetches.forget_all()
        self._back_off.forget_all()

    async def _keys(
        self,
        server_name: ServerName,
        wanted: set[KeyId],
        is_usable: Callable[[StoredKey], bool],
        cause: Cause,
    ) -> tuple[Mapping[KeyId, StoredKey], _Fetched | _Failed]:
        """The keys of a server, and what came of fetching them if they were fetched.

        They are fetched if none of those that are wanted is usable.
        """
        identity = self._identity()
        if server_name == identity.server_name:
            return _own_keys(identity, self._now_ts()), _Fetched()
        keys = await self._peers.keys(server_name)
        if any(key_id in wanted and is_usable(key) for key_id, key in keys.items()):
            return keys, _Fetched()
        fetching = self._fetches.fetch(
            server_name, lambda: self._fetch_in_turn(server_name, cause)
        )
        came: _Fetched | _Failed
        try:
            came = await Deferred.fromCoroutine(fetching).addTimeout(
                _PATIENCE_SECONDS, self._clock
            )
        except defer.TimeoutError:
            why = f"they did not come within {_PATIENCE_SECONDS:g} seconds"
            came = _Failed(why, is_silence=True)
        return await self._peers.keys(server_name), came

    async def _fetch_in_turn(
        self, server_name: ServerName, cause: Cause
    ) -> tuple[_Fetched | _Failed, float]:
        """Fetch the keys of a server, with few others at the same time.

        Returns what came of it, and for how long there is no other try.
        """
        if len(self._turns.waiting) >= _MAX_WAITING:
            return _Failed("too many keys are being fetched", is_silence=True), 0.0
        async with self._turns:
            came = await self._fetch(server_name, cause)
        if isinstance(came, _Failed):
            self._observe("failed")
            return came, self._back_off.fail(server_name)
        self._observe("fetched")
        self._back_off.succeed(server_name)
        return came, _FRESH_SECONDS

    async def _fetch(self, server_name: ServerName, cause: Cause) -> _Fetched | _Failed:
        """Fetch and record the keys of a server."""
        begun_ts = self._now_ts()
        try:
            document = await self._client.fetch_keys_v2(server_name, cause)
        except Unreachable as problem:
            return _Failed(problem.told, is_silence=True)
        except ProtocolError as problem:
            return _Failed(str(problem), is_silence=False)
        except Refused as problem:
            if not problem.is_unrecognized:
                return _Failed(str(problem), is_silence=False)
            return await self._fetch_v1(server_name, cause, begun_ts, str(problem))
        await self._peers.record_keys(document, self._now_ts())
        return _Fetched(document.passed_over)

    async def _fetch_v1(
        self, server_name: ServerName, cause: Cause, begun_ts: int, no_v2: str
    ) -> _Fetched | _Failed:
        """The same of a server that has no version 2 document, as `no_v2` tells."""
        peer = await self._peers.peer(server_name)
        if (
            peer is not None
            and peer.verified_by == "key-document"
            and peer.last_verified_ts >= begun_ts
        ):
            return _Fetched()  # its document was read to verify the connection
        try:
            document = await self._client.fetch_keys_v1(server_name, cause)
        except Unreachable as problem:
            return _Failed(f"{no_v2}; {problem.told}", is_silence=True)
        except (Refused, ProtocolError) as problem:
            return _Failed(f"{no_v2}; {problem}", is_silence=False)
        await self._peers.record_keys(document, self._now_ts())
        return _Fetched(document.passed_over)

    def _now_ts(self) -> int:
        return int(self._clock.seconds() * 1000)


def _pause(kept: Kept[ServerName, _Fetched | _Failed]) -> Pause:
    problem = kept.value.why if isinstance(kept.value, _Failed) else None
    return Pause(kept.key, problem, kept.left)


def _own_keys(identity: Identity, now_ts: int) -> dict[KeyId, StoredKey]:
    keys = {
        key.key_id: StoredKey(key.verify_key, now_ts + MAX_VALIDITY_MS, None)
        for key in identity.signing_keys
    }
    for old in identity.old_verify_keys:
        key = StoredKey(old.verify_key, None, old.expired_ts)
        keys[old.verify_key.key_id] = key
    return keys
