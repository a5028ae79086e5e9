"""The server that a host delegates to, by `https://HOST/.well-known/matrix/server`.

Rules of the room: every hop is https, to a host whose trusted certificate names it and
whose address may be connected to. A body, a chain of redirects and the time for all of
it are bounded. Whatever is wrong is a reason, and is remembered: a host without the
document is not asked again with each request.

Specification: Server-server API, "Resolving server names", step 3, and "GET
/.well-known/matrix/server" for how long its answers are kept; RFC 9111, section 5.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from msgspec import Struct
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from homeserver.net.addresses import RefusedAddress
from homeserver.net.cache import BackOff, Cache
from homeserver.net.cause import Cause
from homeserver.net.networks import domain_of_host
from homeserver.net.shares import Claim, GaveWay, Shares
from homeserver.net.wall_clock import wall_seconds
from homeserver.outbound.discovery.freshness import (
    MIN_SECONDS,
    asked_seconds,
    header_values,
    within_bounds,
)
from homeserver.outbound.transport.budget import Allowance, Budgets, OverBudget
from homeserver.outbound.transport.connection import Fetched, NoAnswer
from homeserver.outbound.transport.dialer import Dialer, without
from homeserver.outbound.transport.failures import NotDialled
from homeserver.protocol.canonical_json import as_text, parse_object
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.errors import ProtocolError, quote
from homeserver.protocol.identifiers import ServerName

PATH = "/.well-known/matrix/server"

_PORT = 443

_MAX_BODY_BYTES = 50 * 1024  # what the servers in use take; real ones have a hundred
_MAX_REDIRECTS = 5  # a website needs one or two, to its own host
_SECONDS = 10.0  # for all hops together
_ADDRESS_SECONDS = 4.0  # for one of several addresses, by one hop
_MAX_FETCHES = 100  # at once: each takes a socket, of a process that may have 1024
_MAX_WAITING = 1000  # for one of those

_HOUR = 3600.0

# "Errors are recommended to be cached for up to an hour, and servers are encouraged to
# exponentially back off for repeated failures": an answer that is no delegation will be
# the same in a minute, no answer at all may be our own network's fault.
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

# A path and a query, as they may stand in a request; reasons with it are kept.
_TARGET = re.compile(r"/[!-~]{0,999}")


class Delegation(Struct, frozen=True):
    """What a well-known document says."""

    target: ServerName
    is_kept_longer: bool
    """Whether its server asks for less than the time that every answer is kept."""


class _TriedInPart(LookupFailed):
    """What was tried for a client failed; where all is tried it may not."""


class _NoDelegation(Exception):
    """There was an answer, and it delegates to nobody; `str()` says why."""


class WellKnown:
    """Asks for delegations, and remembers what came of it."""

    def __init__(
        self,
        dialer: Dialer,
        budgets: Budgets,
        clock: IReactorTime,
        trusts: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`trusts` is as of `Shares`."""
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
            found = await look_up()  # that one was under way, for a client
        if not is_wanted(found):
            found = await look_up()  # and so was that one
        if isinstance(found, LookupFailed):
            raise LookupFailed(str(found), found.reason)
        return found.target

    def forget(self, host: str) -> None:
        """Ask `host` again when it is asked about, however often that has failed."""
        self.answers.forget(host.lower())
        self._silences.succeed(host.lower())

    def forget_all(self) -> None:
        """As `forget`, of every host."""
        self.answers.forget_all()
        self._silences.forget_all()

    async def _look_up(
        self, host: str, cause: Cause, claim: Claim
    ) -> tuple[Delegation | LookupFailed, float]:
        """The delegation or why there is none, and for how many seconds to keep it."""
        failed = LookupFailed if cause.is_ours else _TriedInPart

        async def follow() -> Fetched:
            following = Deferred.fromCoroutine(self._follow(host, cause))
            return await following.addTimeout(_SECONDS, self._clock)

        try:
            fetched = await self.shares.run(host, claim, follow)
        except GaveWay as problem:
            # Not that there is no delegation: who fills all slots would choose the way.
            raise OverBudget(str(problem)) from None
        except defer.TimeoutError:
            why = f"no whole answer within {_SECONDS:.0f} seconds"
            return failed(why), self._silences.fail(host)
        except LookupFailed as failure:
            # Another one: this one's frames hold all that was received.
            return failed(str(failure), failure.reason), self._silences.fail(host)
        except _NoDelegation as answer:
            self._silences.succeed(host)
            return LookupFailed(str(answer), "no_delegation"), _FAILURE_SECONDS
        self._silences.succeed(host)
        try:
            target = _parse(fetched)
        except ProtocolError as problem:
            return LookupFailed(str(problem), "no_delegation"), _FAILURE_SECONDS
        asked = asked_seconds(fetched.headers, wall_seconds(self._clock))
        return Delegation(target, asked < MIN_SECONDS), within_bounds(asked)

    async def _follow(self, host: str, cause: Cause) -> Fetched:
        """What the document's URL leads to in the end.

        Raises `_NoDelegation` for another answer, `LookupFailed` for none, and
        `OverBudget`.
        """
        hop = _Hop(f"https://{host}{PATH}", host, _PORT, host, PATH)
        seen: list[str] = []
        while True:
            if hop.url in seen:
                raise _NoDelegation(f"redirects in a circle, to {hop.url}")
            if len(seen) > _MAX_REDIRECTS:
                raise _NoDelegation(f"redirects more than {_MAX_REDIRECTS} times")
            seen.append(hop.url)
            # The first URL is known to who asked.
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
                raise _NoDelegation(f"{where}status {fetched.status}")
            hop = hop.follow(header_values(fetched.headers, b"Location"))

    async def _fetch(self, hop: "_Hop", host: str, cause: Cause) -> Fetched:
        """The response to one request, by the first address that gives one."""
        allowance = self._budgets.step(cause, host)
        addresses: Sequence[str] = await self._dialer.addresses(hop.host, cause)
        while True:
            addresses = allowance.choose(addresses)
            asking = Deferred.fromCoroutine(self._ask(addresses, hop, allowance))
            try:
                # A silent address leaves time for the next one.
                if len(addresses) > 1:
                    asking.addTimeout(_ADDRESS_SECONDS, self._clock)
                return await asking
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
        self, addresses: Sequence[str], hop: "_Hop", allowance: Allowance
    ) -> Fetched:
        dialled = await self._dialer.dial(
            addresses, hop.port, hop.host, allowance, must_be_trusted=True
        )
        try:
            if dialled.handshake.problem is not None:
                why = dialled.handshake.problem
                raise NotDialled("not_verified", why, dialled.address)
            return await dialled.connection.fetch(
                hop.target, hop.host_header, _SECONDS, _MAX_BODY_BYTES, self._clock
            )
        except NoAnswer as problem:
            raise NotDialled("no_answer", str(problem), dialled.address) from None
        finally:
            dialled.connection.abort()


class _Hop(Struct, frozen=True):
    """One request of the chain."""

    url: str
    host: str
    port: int
    host_header: str
    target: str

    def follow(self, locations: Sequence[str]) -> "_Hop":
        """The request that the `Location` headers of the response lead to.

        Raises `_NoDelegation` for what is not followed.
        """
        if not locations:
            raise _NoDelegation("redirects to nowhere: there is no Location")
        location = locations[0]
        try:
            parts = urlsplit(urljoin(self.url, location))
            # A URL's authority is what a server name is, but for a user's name.
            name = ServerName.parse(parts.netloc)
        except (ValueError, ProtocolError):
            raise _NoDelegation(f"redirects to {quote(location)}") from None
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        if parts.scheme != "https":
            raise _NoDelegation(f"redirects to {quote(location)}, which is not https")
        if not _TARGET.fullmatch(target):
            raise _NoDelegation(f"redirects to {quote(location)}, which is not a URL")
        port = _PORT if name.port is None else name.port
        return _Hop(f"https://{name}{target}", name.host, port, name.name, target)


def _parse(fetched: Fetched) -> ServerName:
    """The name in a document, whatever its `Content-Type`; raises `ProtocolError`."""
    document = parse_object(fetched.body)
    return ServerName.parse(as_text(document.get("m.server"), "`m.server`"))
