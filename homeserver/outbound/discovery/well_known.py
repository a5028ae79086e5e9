"""The server that a host delegates to, by `https://HOST/.well-known/matrix/server`.

Rules: every hop is https, with a trusted certificate for the host, to an address that
may be connected to. The body, the number of redirects and the total time are bounded.
Failures are cached as well: a host without a document is not asked for every request.

Specification: Server-server API, "Resolving server names", step 3, and "GET
/.well-known/matrix/server" for how long its answers are kept; RFC 9111, section 5.
"""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any

from msgspec import Struct
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.net.addresses import RefusedAddress
from homeserver.net.back_off import BackOff
from homeserver.net.cache import Cache
from homeserver.net.cause import Cause
from homeserver.net.handled import handled
from homeserver.net.networks import domain_of_host
from homeserver.net.shares import GaveWay, Shares
from homeserver.net.time_limit import within
from homeserver.net.waiting_work import Claim
from homeserver.net.wall_clock import wall_seconds
from homeserver.outbound.discovery.freshness import (
    MIN_SECONDS,
    asked_seconds,
    header_values,
    within_bounds,
)
from homeserver.outbound.discovery.hop import PORT, Hop, NoDelegation
from homeserver.outbound.transport.budget import Allowance, Budgets, OverBudget
from homeserver.outbound.transport.connection import Get, NoAnswer
from homeserver.outbound.transport.dialer import Dialer, Target, without
from homeserver.outbound.transport.failures import NotDialled
from homeserver.outbound.transport.response import Response
from homeserver.protocol.canonical_json import as_text, parse_object
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.errors import MISSING, ProtocolError
from homeserver.protocol.identifiers import ServerName

PATH = "/.well-known/matrix/server"


_MAX_BODY_BYTES = 50 * 1024  # as other homeservers; real documents have 100 bytes
_MAX_REDIRECTS = 5  # a website needs one or two
_SECONDS = 10.0  # for all hops together
_ADDRESS_SECONDS = 4.0  # for one of several addresses of a hop
_MAX_FETCHES = 100  # at once: each takes a socket, of a process that may have 1024
_MAX_WAITING = 1000  # for one of those

_HOUR = 3600.0

# "Errors are recommended to be cached for up to an hour, and servers are encouraged to
# exponentially back off for repeated failures". An answer without a delegation will
# be the same in a minute; a missing answer may be the fault of our own network.
_FAILURE_SECONDS = _HOUR
_FIRST_SILENCE_SECONDS = 60.0

_REDIRECTS = frozenset(
    {
        HTTPStatus.MOVED_PERMANENTLY,
        HTTPStatus.FOUND,
        HTTPStatus.SEE_OTHER,
        HTTPStatus.TEMPORARY_REDIRECT,
        HTTPStatus.PERMANENT_REDIRECT,
    }
)


class Delegation(Struct, frozen=True):
    """The content of a well-known document."""

    target: ServerName
    is_kept_longer: bool
    """Whether the server asks for less than the minimum time in the cache."""


class _TriedInPart(LookupFailed):
    """Failed with the few attempts of a client; with all attempts it may succeed."""


class WellKnown:
    """Fetches delegations, with a cache."""

    def __init__(
        self,
        dialer: Dialer,
        budgets: Budgets,
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`trusts` is as in `Shares`."""
        self._dialer = dialer
        self._budgets = budgets
        self._clock = clock
        self.shares = Shares(
            ("well_known_fetches", "well-known documents being fetched"),
            _MAX_FETCHES,
            _MAX_WAITING,
            clock,
            trusts,
        )
        self._silences: BackOff[str] = BackOff(_FIRST_SILENCE_SECONDS, _FAILURE_SECONDS)
        self.answers: Cache[str, Delegation | LookupFailed] = Cache(clock)

    async def delegation(self, host: str, cause: Cause) -> ServerName:
        """The server that `host` delegates to.

        Raises `LookupFailed`, and `OverBudget`.
        """
        key = host.lower()
        claim = self.shares.claim(cause, domain_of_host(host))
        self.shares.join(key, claim)

        def is_wanted(found: Delegation | LookupFailed) -> bool:
            return not (cause.is_ours and isinstance(found, _TriedInPart))

        def look_up() -> Awaitable[Delegation | LookupFailed]:
            return self.answers.fetch(
                key, lambda: self._look_up(key, cause, claim), is_wanted
            )

        try:
            found = await look_up()
        except OverBudget:
            if not cause.is_ours:
                raise
            found = await look_up()  # the first one was a client's
        if not is_wanted(found):
            found = await look_up()  # and so was this one
        if isinstance(found, LookupFailed):
            raise LookupFailed(str(found), found.reason)
        return found.target

    def forget(self, host: str) -> None:
        """Forget the answer of `host`, and its failures."""
        self.answers.forget(host.lower())
        self._silences.succeed(host.lower())

    def forget_all(self) -> None:
        """As `forget`, for every host."""
        self.answers.forget_all()
        self._silences.forget_all()

    async def _look_up(
        self, host: str, cause: Cause, claim: Claim
    ) -> tuple[Delegation | LookupFailed, float]:
        """The delegation, or why there is none; and for how many seconds to keep it."""
        failed = LookupFailed if cause.is_ours else _TriedInPart

        def follow() -> Coroutine[Deferred[Any], Any, Response]:
            return within(_SECONDS, self._clock, self._follow(host, cause))

        try:
            fetched = await self.shares.run(host, claim, follow)
        except GaveWay as problem:
            # Not `LookupFailed`, after which discovery goes on without the delegation:
            # a client that fills all slots would choose the route.
            raise OverBudget(str(problem)) from None
        except defer.TimeoutError as problem:
            handled(problem)
            why = f"no complete answer within {_SECONDS:.0f} seconds"
            return failed(why), self._silences.fail(host)
        except LookupFailed as failure:
            handled(failure)
            return failed(str(failure), failure.reason), self._silences.fail(host)
        except NoDelegation as answer:
            self._silences.succeed(host)
            return LookupFailed(str(answer), "no_delegation"), _FAILURE_SECONDS
        self._silences.succeed(host)
        try:
            target = _parse(fetched)
        except ProtocolError as problem:
            return LookupFailed(str(problem), "no_delegation"), _FAILURE_SECONDS
        asked = asked_seconds(fetched.headers, wall_seconds(self._clock))
        return Delegation(target, asked < MIN_SECONDS), within_bounds(asked)

    async def _follow(self, host: str, cause: Cause) -> Response:
        """The response with status 200 that the redirects lead to.

        Raises `NoDelegation` for another response, `LookupFailed` for none, and
        `OverBudget`.
        """
        hop = Hop(f"https://{host}{PATH}", host, PORT, host, PATH)
        seen: list[str] = []
        while True:
            if hop.url in seen:
                raise NoDelegation(f"redirects in a circle, to {hop.url}")
            if len(seen) > _MAX_REDIRECTS:
                raise NoDelegation(f"redirects more than {_MAX_REDIRECTS} times")
            seen.append(hop.url)
            # Readers know the first URL.
            where = f"{hop.url}: " if len(seen) > 1 else ""
            try:
                fetched = await self._fetch(hop, host, cause)
            except LookupFailed as problem:
                raise LookupFailed(f"{where}{problem}", problem.reason) from None
            except (RefusedAddress, NotDialled) as problem:
                raise LookupFailed(f"{where}{problem}") from None
            if fetched.status not in _REDIRECTS:
                if fetched.status == HTTPStatus.OK:
                    return fetched
                raise NoDelegation(f"{where}status {fetched.status}")
            hop = hop.follow(header_values(fetched.headers, b"Location"))

    async def _fetch(self, hop: Hop, host: str, cause: Cause) -> Response:
        """The response of the first address that sends one."""
        allowance = self._budgets.step(cause, host)
        addresses: Sequence[str] = await self._dialer.addresses(hop.host, cause)
        while True:
            addresses = allowance.choose(addresses)
            asking = self._ask(addresses, hop, allowance)
            try:
                if len(addresses) == 1:
                    return await asking
                # Leave time for the next address.
                return await within(_ADDRESS_SECONDS, self._clock, asking)
            except NotDialled as problem:
                left = without(addresses, problem)
                if not left or allowance.is_spent:
                    raise
            except defer.TimeoutError:
                left = list(addresses[1:])
                if allowance.is_spent:
                    raise LookupFailed("no answer in time") from None
            addresses = left

    async def _ask(
        self, addresses: Sequence[str], hop: Hop, allowance: Allowance
    ) -> Response:
        dialled = await self._dialer.dial(
            Target(addresses, hop.port, hop.host, True, hop.host),  # noqa: FBT003
            allowance,
        )
        try:
            if dialled.handshake.problem is not None:
                why = dialled.handshake.problem
                raise NotDialled("not_verified", why, dialled.address)
            exchange = self._dialer.exchanges.open("request", "out", "GET")
            exchange.peer, exchange.address = hop.host, dialled.address
            get = Get(hop.target, hop.host_header, _SECONDS, _MAX_BODY_BYTES)
            return await dialled.connection.fetch(get, exchange, self._clock)
        except NoAnswer as problem:
            raise NotDialled("no_answer", str(problem), dialled.address) from None
        finally:
            dialled.connection.abort()


def _parse(fetched: Response) -> ServerName:
    """The name in a document of any `Content-Type`; raises `ProtocolError`."""
    document = parse_object(fetched.body)
    return ServerName.parse(as_text(document.get("m.server", MISSING), "`m.server`"))
