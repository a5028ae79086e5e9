"""The requests of other servers that were refused, and why.

Rules: for who tests a server against this one. Whoever is refused chooses how often, so
they are recorded together, some times a second, and only so many wait for that. What
was sent is not kept, nor any signature.
"""

from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from homeserver.http.request import Request
from homeserver.http.request_log import Account
from homeserver.net.bounds import Bound
from homeserver.net.wall_clock import wall_seconds
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import ProtocolError, printable
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.notifier import Changes
from homeserver.storage.refusals import RefusalStore

# Soon for a person who waits for one, and four writes a second at most.
_RECORD_SECONDS = 0.25

_MAX_WAITING = 250  # a write of so many takes five milliseconds

_MAX_PATH = 500  # characters; a path of ours has about sixty
_MAX_ERROR = 1000


class Refusals:
    """Records refusals, and tells them to who asks."""

    def __init__(self, store: RefusalStore, clock: IReactorTime) -> None:
        self._store = store
        self._clock = clock
        self._changes = Changes(clock)
        self._waiting: list[Json] = []
        self._is_recording = False
        self._recording: Deferred[None] | None = None
        self._next: IDelayedCall | None = None
        self.bound = Bound(
            "refusals_waiting",
            "refused requests that wait to be recorded",
            _MAX_WAITING,
            lambda: len(self._waiting),
        )

    def record(
        self, request: Request, origin: str | None, problem: ProtocolError
    ) -> None:
        """Record that `request`, which says that it is of `origin`, was refused."""
        if self.bound.is_reached:
            self.bound.refuse()
            return
        account = Account.of(request)
        self._waiting.append(
            {
                "refused_ts": int(wall_seconds(self._clock) * 1000),
                "address": request.getClientAddress().host,
                "origin": origin,
                "proven": account.is_proven,
                "method": _shown(request.method, _MAX_PATH),
                "path": _shown(request.uri, _MAX_PATH),
                "status": problem.status,
                "errcode": problem.errcode,
                "error": problem.explanation.in_full[:_MAX_ERROR],
                "reason": account.failure or "content",
            }
        )
        self._record_soon()

    async def stop(self) -> None:
        """Record what waits, if that can be done now."""
        if self._recording is not None:
            await self._recording
        await self._record()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def end_waits(self) -> None:
        """From now on nobody waits for a refusal."""
        self._changes.end_waits()

    async def after(
        self, after: int, origin: ServerName | None, limit: int, wait: float
    ) -> list[Json]:
        """Up to `limit` refusals with an ID above `after`, oldest first.

        Each is `{"id", "refused_ts", "address", "origin", "proven", "method", "path",
        "status", "errcode", "error", "reason"}`; `reason` is one of
        `authentication.FAILURES`, or `content` of a request whose origin is proven.
        Where there are none, waits up to `wait` seconds for one.
        """
        return await self._changes.until(
            lambda: self._store.after(after, origin, limit), bool, wait
        )

    def _record_soon(self) -> None:
        """Record what waits in a moment, unless that is under way."""
        if self._waiting and self._next is None and not self._is_recording:
            self._next = self._clock.callLater(_RECORD_SECONDS, self._begin)

    def _begin(self) -> None:
        self._next = None
        self._recording = Deferred.fromCoroutine(self._record())

    async def _record(self) -> None:
        """Record what waits; what cannot be recorded now is tried again."""
        count = len(self._waiting)
        if count:
            self._is_recording = True
            with suppress(StoreUnavailable):  # which is told elsewhere
                await self._store.record(self._waiting[:count])
                del self._waiting[:count]
                self._changes.announce()
            self._is_recording = False
            self._record_soon()


def _shown(text: bytes, length: int) -> str:
    return printable(text.decode("ascii", "backslashreplace")[:length])
