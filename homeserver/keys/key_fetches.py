"""Fetching other servers' keys: one fetch for all who wait, and a pause after it.

Rules: a server's name alone decides where its keys are fetched from. One fetch serves
all who wait for it. One that failed is not repeated at once: forged requests must not
become as many requests to the server that they name. What came is handed over and not
kept here; only how the fetch ended is remembered.

Specification: Server-server API, "Retrieving server keys".
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from homeserver.net.back_off import BackOff
from homeserver.net.cache import Cache, Kept
from homeserver.net.cause import Cause
from homeserver.net.networks import domain_of
from homeserver.net.shares import Claim, GaveWay, Shares
from homeserver.net.wall_clock import wall_seconds
from homeserver.outbound.client import FederationClient, KeysAnswer
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.outbound.transport.verification import VerifiedPeer
from homeserver.protocol.errors import Explanation, ProtocolError
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.key_documents import KeyDocument

# How long after a fetch there is no other one. A key that is new since then is refused
# until it is over; its owner's retries come seconds apart.
_FRESH_SECONDS = 10.0

# How long after a fetch that failed there is no other one: twice as long after each
# that fails again, up to what a server that is back should have to wait at most.
_FAILURE_SECONDS = 30.0
_MAX_FAILURE_SECONDS = 300.0

# Whoever sends requests in many forged names makes us ask many servers.
_MAX_FETCHES = 100  # at once; each may cost a connection
_MAX_WAITING = 1000  # for one of those; each is an inbound request that waits too


FetchResult = Literal["fetched", "failed"]


class Fetched(Struct, frozen=True):
    """The keys of a server came, and were taken."""

    invalid_entries: Mapping[str, str] = {}
    """As `KeyDocument` has it."""


class Failed(Struct, frozen=True):
    """The keys of a server did not come, or were not taken."""

    why: Explanation
    is_silence: bool = False
    """Whether the server gave no answer, which may last; or else a bad one."""

    is_conflict: bool = False
    """Whether its keys contradict the stored ones."""

    is_ours: bool = False
    """Whether it is a bound of ours that was reached: it says nothing of the server."""


Came = Fetched | Failed
"""How a fetch ended."""

Take = Callable[[KeyDocument, VerifiedPeer], Awaitable[Came]]
"""Takes the keys that came, and the peer that they came from."""


class Pause(Struct, frozen=True):
    """The time after a fetch of a server's keys in which there is no other one."""

    server_name: ServerName
    problem: str | None
    """Why the fetch failed; None where the keys came."""

    left: float
    """How many seconds are left of it."""


class KeyFetches:
    """Fetches of keys, those under way and how the last ones ended."""

    def __init__(
        self,
        client: FederationClient,
        take: Take,
        clock: IReactorTime,
        observe: Callable[[FetchResult], object] = lambda _: None,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`observe` is told how each fetch ended; `trusts` is as of `Shares`."""
        self._client = client
        self._take = take
        self._clock = clock
        self._observe = observe
        self._ended: Cache[ServerName, Came] = Cache(clock)
        self._back_off: BackOff[ServerName] = BackOff(
            _FAILURE_SECONDS, _MAX_FAILURE_SECONDS
        )
        self.shares = Shares(
            ("key_fetches", "fetches of other servers' keys"),
            _MAX_FETCHES,
            _MAX_WAITING,
            clock,
            trusts,
        )
        self._forgotten: Counter[ServerName] = Counter()

    async def fetch(
        self, server_name: ServerName, cause: Cause, *, is_known: bool = False
    ) -> Came:
        """Fetch the keys of a server, unless that was tried a moment ago.

        `is_known` is whether it has proven something before.
        """
        claim = self._claim(server_name, cause, is_known=is_known)
        return await self._ended.fetch(
            server_name, lambda: self._fetch_in_turn(server_name, cause, claim)
        )

    async def refresh(self, server_name: ServerName, cause: Cause) -> Came:
        """As `fetch`, but only a server that was silent a moment ago is left alone."""
        claim = self._claim(server_name, cause, is_known=False)
        return await self._ended.fetch(
            server_name,
            lambda: self._fetch_in_turn(server_name, cause, claim),
            is_wanted=lambda came: isinstance(came, Failed) and came.is_silence,
        )

    def pauses(self) -> list[Pause]:
        """The servers whose keys are not fetched now, as that was tried just before."""
        return [_pause(kept) for kept in self._ended.kept()]

    def pause(self, server_name: ServerName) -> Pause | None:
        """As `pauses`, of one server; None where its keys may be fetched."""
        kept = self._ended.find(server_name)
        return None if kept is None else _pause(kept)

    def end_pause(self, server_name: ServerName) -> None:
        """Fetch the keys of a server when they are asked for, whatever has failed."""
        self._ended.forget(server_name)
        self._back_off.succeed(server_name)

    def end_pauses(self) -> None:
        """As `end_pause`, of every server."""
        self._ended.forget_all()
        self._back_off.forget_all()

    def forget(self, server_name: ServerName) -> None:
        """As `end_pause`; what a fetch that is under way brings is not taken."""
        self._forgotten[server_name] += 1
        self.end_pause(server_name)

    def _claim(self, name: ServerName, cause: Cause, *, is_known: bool) -> Claim:
        """The claim of a cause; a fetch that is under way has it as well."""
        claim = self.shares.claim(cause, domain_of(name), is_known=is_known)
        self.shares.join(name, claim)
        return claim

    async def _fetch_in_turn(
        self, server_name: ServerName, cause: Cause, claim: Claim
    ) -> tuple[Came, float]:
        """Fetch the keys of a server, with few others at the same time.

        Returns how it ended, and for how long there is no other try.
        """
        aimed = replace(cause, aims_at=partial(self.shares.aim, server_name))
        try:
            came = await self.shares.run(
                server_name, claim, lambda: self._fetch(server_name, aimed)
            )
        except GaveWay as problem:
            why = Explanation.plain(f"too many keys are being fetched: {problem}")
            return Failed(why, is_silence=True), 0.0
        if isinstance(came, Failed):
            self._observe("failed")
            return came, 0.0 if came.is_ours else self._back_off.fail(server_name)
        self._observe("fetched")
        self._back_off.succeed(server_name)
        return came, _FRESH_SECONDS

    async def _fetch(self, server_name: ServerName, cause: Cause) -> Came:
        age = self._forgotten[server_name]
        answer = await self._ask(server_name, cause)
        if isinstance(answer, Failed):
            return answer
        if self._forgotten[server_name] != age:
            return Failed(Explanation.plain(f"{server_name} was forgotten meanwhile"))
        if answer.document is None:
            return Failed(answer.why or Explanation.plain("no document"))
        return await self._take(answer.document, answer.peer)

    async def _ask(self, server_name: ServerName, cause: Cause) -> KeysAnswer | Failed:
        """Ask for the version 2 document, and for version 1 where there is no such."""
        begun_ts = int(wall_seconds(self._clock) * 1000)
        second = await _tried(self._client.fetch_keys_v2(server_name, cause))
        if isinstance(second, Failed) or second.why is None:
            return second
        peer = second.peer
        if peer.document is not None and peer.verified_ts >= begun_ts:
            # Version 1 was read just now, to verify the connection.
            return KeysAnswer(peer.document, None, peer)
        first = await _tried(self._client.fetch_keys_v1(server_name, cause))
        if first.why is None:
            return first
        return replace(first, why=second.why.then(first.why))


async def _tried(asking: Coroutine[Any, Any, KeysAnswer]) -> KeysAnswer | Failed:
    try:
        return await asking
    except Unreachable as problem:
        if problem.conflict is not None:
            return Failed(Explanation.plain(problem.conflict), is_conflict=True)
        is_ours = problem.reason == "over_budget"
        return Failed(problem.explanation, is_silence=True, is_ours=is_ours)
    except (Refused, ProtocolError) as problem:
        return Failed(problem.explanation)


def _pause(kept: Kept[ServerName, Came]) -> Pause:
    problem = kept.value.why.in_full if isinstance(kept.value, Failed) else None
    return Pause(kept.key, problem, kept.left)
