"""Fetches of other servers' keys: one for all waiting callers, and a pause after it.

Rules: only the server name decides where keys are fetched from. One fetch serves all
callers that wait for it. A failed fetch is not repeated at once: forged requests must
not cause as many requests to the server that they name. Fetched keys are handed over
and not kept here; only the result of the fetch is remembered.

Specification: Server-server API, "Retrieving server keys".
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from homeserver.net.back_off import MAX_KEYS, BackOff
from homeserver.net.bounded_map import BoundedMap, SharedLimit
from homeserver.net.cache import MAX_ENTRIES, Cache, Kept
from homeserver.net.cause import Cause
from homeserver.net.handled import handled
from homeserver.net.networks import domain_of
from homeserver.net.shares import GaveWay, Shares
from homeserver.net.waiting_work import Claim
from homeserver.net.wall_clock import wall_ts
from homeserver.outbound.client import FederationClient, KeysAnswer
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.outbound.transport.verified_peer import VerifiedPeer
from homeserver.protocol.errors import Explanation, ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import KeyDocument

# In so many seconds there are two successful fetches at most: the second one at once,
# because a server may sign with a new key just after the first. A still newer key is
# rejected meanwhile, but the retries of its server come seconds later.
_FRESH_SECONDS = 10.0

# For how long there is no other fetch after a failed one: doubled with each failure,
# up to an acceptable wait for a server that works again.
_FAILURE_SECONDS = 30.0
_MAX_FAILURE_SECONDS = 300.0

# Requests in many forged names cause fetches from many servers.
_MAX_FETCHES = 100  # at once; each may cost a connection
_MAX_WAITING = 300  # for a slot; an inbound request waits for each

# Fetches of a crowd that fail at once would take the reactor's whole time: with this, a
# hundred of them begin in three seconds.
_LEAST_SECONDS = 3.0


FetchResult = Literal["fetched", "failed"]


class Fetched(Struct, frozen=True):
    """The keys of a server were fetched and accepted."""

    invalid_entries: Mapping[str, str] = {}
    """As in `KeyDocument`."""


class Failed(Struct, frozen=True):
    """The keys of a server were not fetched, or not accepted."""

    why: Explanation
    is_silence: bool = False
    """Whether the server gave no answer, rather than a bad one."""

    is_conflict: bool = False
    """Whether its keys contradict the stored ones."""

    is_ours: bool = False
    """Whether a bound of this server was reached, which says nothing of the other."""


FetchOutcome = Fetched | Failed
"""The result of a fetch."""

Take = Callable[[KeyDocument, VerifiedPeer], Awaitable[FetchOutcome]]
"""Accepts or rejects fetched keys, given the peer that they came from."""


class Pause(Struct, frozen=True):
    """The time after a fetch of a server's keys without another fetch."""

    server_name: ServerName
    problem: str | None
    """Why the fetch failed; None if it succeeded."""

    left: float
    """For how many more seconds it lasts."""


class FetchLimits:
    """The limits that the fetches of all our servers share."""

    def __init__(
        self, clock: IReactorTime, trusts: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`trusts` is as in `Shares`."""
        self.ended = SharedLimit(MAX_ENTRIES)
        self.failures = SharedLimit(MAX_KEYS)
        self.succeeded = SharedLimit(MAX_ENTRIES)
        self.shares = Shares(
            ("key_fetches", "fetches of other servers' keys"),
            _MAX_FETCHES,
            _MAX_WAITING,
            clock,
            trusts,
            _LEAST_SECONDS,
        )


class KeyFetches:
    """The fetches of one of our servers, and the results of the last ones."""

    def __init__(
        self,
        client: FederationClient,
        take: Take,
        clock: IReactorTime,
        limits: FetchLimits,
        observe: Callable[[FetchResult], object] = lambda _: None,
    ) -> None:
        """`observe` is called with each result."""
        self._client = client
        self._take = take
        self._clock = clock
        self._observe = observe
        self._ended: Cache[ServerName, FetchOutcome] = Cache(clock, limits.ended)
        self._back_off: BackOff[ServerName] = BackOff(
            _FAILURE_SECONDS, _MAX_FAILURE_SECONDS, limits.failures
        )
        self._shares = limits.shares
        self._succeeded: BoundedMap[ServerName, float] = BoundedMap(limits.succeeded)
        self._forgotten: Counter[ServerName] = Counter()

    async def fetch(
        self, server_name: ServerName, cause: Cause, *, is_known: bool = False
    ) -> FetchOutcome:
        """Fetch the keys of a server, unless that was done a moment ago.

        `is_known` is whether keys of the server are known already.
        """
        claim = self._claim(server_name, cause, is_known=is_known)
        return await self._ended.fetch(
            server_name, lambda: self._fetch_in_turn(server_name, cause, claim)
        )

    async def refresh(self, server_name: ServerName, cause: Cause) -> FetchOutcome:
        """As `fetch`, but only a failure without an answer is not repeated."""
        claim = self._claim(server_name, cause, is_known=False)
        return await self._ended.fetch(
            server_name,
            lambda: self._fetch_in_turn(server_name, cause, claim),
            is_wanted=lambda outcome: (
                isinstance(outcome, Failed) and outcome.is_silence
            ),
        )

    def pauses(self) -> list[Pause]:
        """The pauses of all servers."""
        return [_pause(kept) for kept in self._ended.kept()]

    def pause(self, server_name: ServerName) -> Pause | None:
        """The pause of one server; None if its keys may be fetched."""
        kept = self._ended.find(server_name)
        return None if kept is None else _pause(kept)

    def end_pause(self, server_name: ServerName) -> None:
        """Forget the last fetch of a server, and its failures."""
        self._ended.forget(server_name)
        self._succeeded.pop(server_name, None)
        self._back_off.succeed(server_name)

    def end_pauses(self) -> None:
        """As `end_pause`, for every server."""
        self._ended.forget_all()
        self._succeeded.clear()
        self._back_off.forget_all()

    def forget(self, server_name: ServerName) -> None:
        """As `end_pause`; the keys of a fetch that is under way are not accepted."""
        self._forgotten[server_name] += 1
        self.end_pause(server_name)

    def _claim(self, name: ServerName, cause: Cause, *, is_known: bool) -> Claim:
        """The claim of a cause, which a fetch that is under way gets as well."""
        claim = self._shares.claim(
            cause, domain_of(name), is_known=is_known, ours=str(id(self))
        )
        self._shares.join((self, name), claim)
        return claim

    async def _fetch_in_turn(
        self, server_name: ServerName, cause: Cause, claim: Claim
    ) -> tuple[FetchOutcome, float]:
        """Fetch the keys of a server in a slot.

        Returns the result, and for how many seconds there is no other fetch.
        """
        # Our servers fetch the keys of one server each for itself.
        key = (self, server_name)
        aimed = replace(cause, aims_at=partial(self._shares.aim, key))
        try:
            outcome = await self._shares.run(
                key, claim, lambda: self._fetch(server_name, aimed)
            )
        except GaveWay as problem:
            why = Explanation.plain(f"too many keys are being fetched: {problem}")
            return Failed(why, is_silence=True), 0.0
        if isinstance(outcome, Failed):
            self._observe("failed")
            return outcome, 0.0 if outcome.is_ours else self._back_off.fail(server_name)
        self._observe("fetched")
        self._back_off.succeed(server_name)
        return outcome, self._fresh_seconds(server_name)

    def _fresh_seconds(self, server_name: ServerName) -> float:
        """For how long there is no other fetch after a successful one."""
        now = self._clock.seconds()
        last = self._succeeded.get(server_name)
        if last is not None and now - last < _FRESH_SECONDS:
            return _FRESH_SECONDS
        self._succeeded[server_name] = now
        return 0.0

    async def _fetch(self, server_name: ServerName, cause: Cause) -> FetchOutcome:
        age = self._forgotten[server_name]
        answer = await self._ask(server_name, cause)
        if isinstance(answer, Failed):
            return answer
        if self._forgotten[server_name] != age:
            return Failed(
                Explanation.plain(f"{server_name} was forgotten during the fetch")
            )
        if answer.document is None:
            return Failed(answer.why or Explanation.plain("no document"))
        return await self._take(answer.document, answer.peer)

    async def _ask(self, server_name: ServerName, cause: Cause) -> KeysAnswer | Failed:
        """Ask for the version 2 document; without one, for version 1."""
        begun_ts = wall_ts(self._clock)
        second = await _tried(self._client.fetch_keys_v2(server_name, cause))
        if isinstance(second, Failed) or second.why is None:
            return second
        peer = second.peer
        if peer.document is not None and peer.verified_ts >= begun_ts:
            # The version 1 document has just verified the connection.
            return KeysAnswer(peer.document, None, peer)
        first = await _tried(self._client.fetch_keys_v1(server_name, cause))
        if first.why is None:
            return first
        return replace(first, why=second.why.then(first.why))


async def _tried(asking: Coroutine[Any, Any, KeysAnswer]) -> KeysAnswer | Failed:
    try:
        return await asking
    except Unreachable as problem:
        handled(problem)
        if problem.conflict is not None:
            return Failed(Explanation.plain(problem.conflict), is_conflict=True)
        is_ours = problem.reason == "over_budget"
        return Failed(problem.explanation, is_silence=True, is_ours=is_ours)
    except (Refused, ProtocolError) as problem:
        return Failed(handled(problem).explanation)


def _pause(kept: Kept[ServerName, FetchOutcome]) -> Pause:
    problem = kept.value.why.in_full if isinstance(kept.value, Failed) else None
    return Pause(kept.key, problem, kept.left)
