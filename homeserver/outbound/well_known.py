"""The server that a host delegates to, by `https://HOST/.well-known/matrix/server`.

Rules of the room: every hop is https, to a host whose trusted certificate names it and
whose address may be connected to. A body, a chain of redirects and the time for all of
it are bounded. Whatever is wrong is a reason, and is remembered: a host without the
document is not asked again with each request.

Specification: Server-server API, "Resolving server names", step 3, and "GET
/.well-known/matrix/server" for how long its answers are kept; RFC 9111, section 5.
"""

import re
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from msgspec import Struct
from twisted.internet import defer
from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers

from homeserver.addresses import RefusedAddress
from homeserver.cache import BackOff, Cache
from homeserver.cause import Cause
from homeserver.outbound.connection import Fetched, NoAnswer
from homeserver.outbound.dialer import Dialer, NotDialled
from homeserver.protocol.canonical import as_text, parse_object
from homeserver.protocol.discovery import LookupFailed
from homeserver.protocol.errors import ProtocolError, quote
from homeserver.protocol.names import ServerName
from homeserver.wall_clock import wall_seconds

PATH = "/.well-known/matrix/server"

_PORT = 443

_MAX_BODY_BYTES = 50 * 1024  # what the servers in use take; real ones have a hundred
_MAX_REDIRECTS = 5  # a website needs one or two, to its own host
_SECONDS = 10.0  # for all hops together
_MAX_FETCHES = 100  # at once: each takes a socket, of a process that may have 1024

_HOUR = 3600.0

# "Servers should respect the cache control headers [...] use a sensible default":
# the 24 hours and the maximum of 48 are the specification's. A document that says that
# it must not be kept would be asked for with every request.
_DEFAULT_SECONDS = 24 * _HOUR
_MAX_SECONDS = 48 * _HOUR
MIN_SECONDS = 300.0

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
_AGE = re.compile(r"[0-9]+")
_MAX_AGE = re.compile(r'max-age="?([0-9]+)"?', re.IGNORECASE)


class Delegation(Struct, frozen=True):
    """What a well-known document says."""

    target: ServerName
    is_kept_longer: bool
    """Whether its server asks for less than the time that every answer is kept."""


class _NoDelegation(Exception):
    """There was an answer, and it delegates to nobody; `str()` says why."""


class WellKnown:
    """Asks for delegations, and remembers what came of it."""

    def __init__(self, dialer: Dialer, clock: IReactorTime) -> None:
        self._dialer = dialer
        self._clock = clock
        self._slots = DeferredSemaphore(_MAX_FETCHES)
        self._silences: BackOff[str] = BackOff(_FIRST_SILENCE_SECONDS, _FAILURE_SECONDS)
        self.answers: Cache[str, Delegation | LookupFailed] = Cache(clock)

    async def delegation(self, host: str, cause: Cause) -> ServerName:
        """The server that `host` delegates to; raises `LookupFailed`."""
        key = host.lower()
        found = await self.answers.fetch(key, lambda: self._look_up(key, cause))
        if isinstance(found, LookupFailed):
            raise LookupFailed(str(found))
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
        self, host: str, cause: Cause
    ) -> tuple[Delegation | LookupFailed, float]:
        """The delegation or why there is none, and for how many seconds to keep it."""
        try:
            async with self._slots:
                fetched = await Deferred.fromCoroutine(
                    self._follow(host, cause)
                ).addTimeout(_SECONDS, self._clock)
        except defer.TimeoutError:
            why = f"no whole answer within {_SECONDS:.0f} seconds"
            return LookupFailed(why), self._silences.fail(host)
        except LookupFailed as failure:
            # Another one: this one's frames hold all that was received.
            return LookupFailed(str(failure)), self._silences.fail(host)
        except _NoDelegation as answer:
            self._silences.succeed(host)
            return LookupFailed(str(answer)), _FAILURE_SECONDS
        self._silences.succeed(host)
        try:
            target = _parse(fetched)
        except ProtocolError as problem:
            return LookupFailed(str(problem)), _FAILURE_SECONDS
        asked = _asked_seconds(fetched.headers, wall_seconds(self._clock))
        return Delegation(target, asked < MIN_SECONDS), _within_bounds(asked)

    async def _follow(self, host: str, cause: Cause) -> Fetched:
        """What the document's URL leads to in the end.

        Raises `_NoDelegation` for another answer, `LookupFailed` for none.
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
                fetched = await self._fetch(hop, cause)
            except (LookupFailed, RefusedAddress, NotDialled, NoAnswer) as problem:
                raise LookupFailed(f"{where}{problem}") from None
            if fetched.status not in _REDIRECTS:
                if fetched.status == HTTPStatus.OK:
                    return fetched
                raise _NoDelegation(f"{where}status {fetched.status}")
            hop = hop.follow(_values(fetched.headers, b"Location"))

    async def _fetch(self, hop: "_Hop", cause: Cause) -> Fetched:
        addresses = await self._dialer.addresses(hop.host, cause)
        dialled = await self._dialer.dial(
            addresses, hop.port, hop.host, must_be_trusted=True
        )
        try:
            if dialled.handshake.problem is not None:
                raise LookupFailed(dialled.handshake.problem)
            return await dialled.connection.fetch(
                hop.target, hop.host_header, _SECONDS, _MAX_BODY_BYTES, self._clock
            )
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


def lifetime(headers: Headers, now: float) -> float:
    """For how many seconds a document with these headers is kept.

    That is what they ask for, within our bounds, of which the upper one is the
    specification's.
    """
    return _within_bounds(_asked_seconds(headers, now))


def _asked_seconds(headers: Headers, now: float) -> float:
    """For how many seconds these headers ask to keep a document.

    `Cache-Control`, less the `Age`, goes before `Expires`, which goes before the
    default.
    """
    directives = [
        directive.strip()
        for line in _values(headers, b"Cache-Control")
        for directive in line.split(",")
    ]
    if any(each.lower() in {"no-store", "no-cache"} for each in directives):
        return 0.0
    ages = [match for each in directives if (match := _MAX_AGE.fullmatch(each))]
    if ages:
        age = _AGE.fullmatch("".join(_values(headers, b"Age")[:1]))
        return float(ages[0][1]) - float(age[0] if age else 0)
    dates = _values(headers, b"Expires")
    if not dates:
        return _DEFAULT_SECONDS
    try:
        expires = parsedate_to_datetime(dates[0])
    except (ValueError, OverflowError):
        return 0.0  # an invalid date stands for one in the past
    # HTTP's dates are of Greenwich, also where they do not say so.
    return expires.replace(tzinfo=UTC).timestamp() - now


def _values(headers: Headers, name: bytes) -> list[str]:
    return [each.decode("latin-1") for each in headers.getRawHeaders(name, [])]


def _within_bounds(seconds: float) -> float:
    return min(max(seconds, MIN_SECONDS), _MAX_SECONDS)
