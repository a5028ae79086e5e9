"""Fetching the devices of a user from the user's server.

Rules: one fetch of a user at a time in each process; an update that arrives meanwhile,
at any process, is followed by one more, and what another one has fetched stays. All our
servers together have few fetches at once. A server that cannot be reached, is busy or
broken is left alone for some seconds, twice as long after each failure, or for as long
as it asks for; a user whose list is refused or wrong likewise, and no other user of the
server. Nothing is fetched then, and nothing is repeated by itself.

Specification: Server-server API, `GET /user/devices/{userId}`.
"""

from collections.abc import Callable, Hashable
from functools import partial
from typing import Generic, TypeVar

from msgspec.structs import replace
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.net.back_off import MAX_KEYS, BackOff
from homeserver.net.bounded_map import BoundedMap
from homeserver.net.cause import Cause
from homeserver.net.handled import handled
from homeserver.net.networks import domain_of
from homeserver.net.shares import GaveWay, Shares
from homeserver.outbound.calls import Call, FederationCalls
from homeserver.outbound.client import Limits
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.targets import federation_target
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.device_lists import (
    MAX_LIST_BYTES,
    DeviceList,
    parse_device_list,
)
from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.federation_paths import V1
from homeserver.protocol.identifiers import ServerName, UserId
from homeserver.storage.device_lists import DeviceListStore, KnownDevices

_K = TypeVar("_K", bound=Hashable)

_log = Logger()

# A reply may be written with more spaces and escapes than it is kept with.
_LIMITS = Limits(2 * MAX_LIST_BYTES, 30.0)

_AT_ONCE = 8
_MAX_WAITING = 100

_PAUSE_SECONDS, _MAX_PAUSE_SECONDS = 5.0, 3600.0

_MAX_PROBLEM = 1000  # characters


def device_list_shares(
    clock: IReactorTime,
    trusts: Callable[[str], bool] = lambda _: False,
    workers: int = 1,
) -> Shares:
    """The fetches at once of all our servers; `trusts` is as in `Shares`.

    Each of so many `workers` has its part of them, and at least one.
    """
    bound = "device_list_fetches", "fetches of the devices of other servers' users"
    at_once = max(1, _AT_ONCE // workers)
    return Shares(bound, at_once, max(1, _MAX_WAITING // workers), clock, trusts)


class DeviceListFetches:
    """The fetches of one of our servers."""

    def __init__(
        self,
        calls: FederationCalls,
        store: DeviceListStore,
        shares: Shares,
        clock: IReactorTime,
    ) -> None:
        self._calls = calls
        self._store = store
        self._shares = shares
        self._clock = clock
        self._running: dict[UserId, Deferred[None]] = {}
        self._servers: _LeftAlone[ServerName] = _LeftAlone(clock)
        # Not in one table: many users of one server push out no other server.
        self._users: _LeftAlone[UserId] = _LeftAlone(clock)

    def want(self, user: UserId, wanted_by: str, cause: Cause) -> None:
        """Fetch the devices of a user, unless it or its server is left alone.

        `wanted_by` is as in `KnownDevices`. A fetch that runs finds it in the store.
        """
        if user in self._running:
            return
        if user not in self._users and user.server_name not in self._servers:
            running = self._running[user] = Deferred.fromCoroutine(
                self._fetch_all(user, wanted_by, cause)
            )
            running.addErrback(_end).addBoth(lambda _: self._leave(user))

    def stop(self) -> None:
        """End all fetches."""
        for running in list(self._running.values()):
            running.cancel()

    def _leave(self, user: UserId) -> None:
        self._running.pop(user, None)

    async def _fetch_all(self, user: UserId, wanted_by: str, cause: Cause) -> None:
        """Fetch the devices, and again for an update that arrives meanwhile."""
        again: str | None = wanted_by
        while again is not None:
            again = await self._fetch(user, again, cause)

    async def _fetch(self, user: UserId, wanted_by: str, cause: Cause) -> str | None:
        """Fetch and record the devices.

        Returns what wants them again; None if nothing does, or if the fetch failed.
        """
        try:
            found = await self._ask(user, cause)
        except (Unreachable, Refused, ProtocolError, GaveWay) as problem:
            why = str(handled(problem))[:_MAX_PROBLEM]
            if _is_of_server(problem):
                self._servers.fail(user.server_name, _asked_pause(problem))
            elif not isinstance(problem, GaveWay):
                self._servers.succeed(user.server_name)
                self._users.fail(user)
            await self._store.change(user, partial(_failed, why))
            return None
        self._servers.succeed(user.server_name)
        self._users.succeed(user)
        known = await self._store.change(user, partial(_fetched, found, wanted_by))
        return None if known is None or known.problem is None else known.wanted_by

    async def _ask(self, user: UserId, cause: Cause) -> DeviceList:
        name = user.server_name
        claim = self._shares.claim(cause, domain_of(name), ours=str(id(self)))
        key = (self, user)
        call = Call(
            method="GET",
            path=federation_target("user", "devices", user.user_id),
            route=f"{V1}/user/devices/{{userId}}",
            limits=_LIMITS,
        )
        aimed = replace(cause, aims_at=partial(self._shares.aim, key))
        reply = await self._shares.run(
            key, claim, lambda: self._calls.ask(name, call, aimed)
        )
        return parse_device_list(reply, user)


class _LeftAlone(Generic[_K]):
    """Those that failed, until they are asked again."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._back_off: BackOff[_K] = BackOff(_PAUSE_SECONDS, _MAX_PAUSE_SECONDS)
        self._until: BoundedMap[_K, float] = BoundedMap(MAX_KEYS)

    def __contains__(self, key: _K) -> bool:
        return self._until.get(key, 0.0) > self._clock.seconds()

    def fail(self, key: _K, least: float = 0.0) -> None:
        """Leave it alone, for twice as long as before, and for `least` seconds."""
        self._until[key] = self._clock.seconds() + self._back_off.fail(key, least)

    def succeed(self, key: _K) -> None:
        """Forget that it failed."""
        self._back_off.succeed(key)


def _is_of_server(problem: Exception) -> bool:
    """Whether the server would fail for its other users as well."""
    if isinstance(problem, Refused):
        return problem.status == 429 or problem.status >= 500
    return isinstance(problem, Unreachable)


def _asked_pause(problem: Exception) -> float:
    """The seconds for which the server asks to be left alone."""
    return problem.retry_after if isinstance(problem, Refused) else 0.0


def _fetched(
    found: DeviceList, wanted_by: str, known: KnownDevices | None
) -> KnownDevices | None:
    """What is known after a fetch; nothing of a user that was forgotten meanwhile.

    Where another process was faster, its list may be newer and has updates since.
    """
    if known is None or known.problem is None:
        return known
    is_last = known.wanted_by == wanted_by
    return replace(known, devices=found, problem=None if is_last else known.problem)


def _failed(why: str, known: KnownDevices | None) -> KnownDevices | None:
    """What is known after a fetch that failed."""
    if known is None or known.problem is None:
        return known
    return replace(known, problem=why)


def _end(failure: Failure) -> None:
    """Let a fetch end that was stopped, or could not be recorded."""
    if failure.check(CancelledError) is None:
        why = "the devices of a user were not recorded"
        _log.failure(why, failure)
