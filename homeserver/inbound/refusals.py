"""The last requests of other servers that were refused, and why.

Rules of the room: for who tests a server against this one. Kept in memory alone, and
bounded: whoever is refused chooses how often. What was sent is not kept, nor any
signature.
"""

from collections import deque

from twisted.internet.interfaces import IReactorTime

from homeserver.inbound.request import Request
from homeserver.protocol.canonical import Json
from homeserver.protocol.errors import ProtocolError, quote
from homeserver.storage.changes import Changes
from homeserver.wall_clock import wall_seconds

_MAX_REFUSALS = 1000  # a megabyte at most


class Refusals:
    """Remembers refusals, and tells them to who asks."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._changes = Changes(clock)
        self._last: deque[Json] = deque(maxlen=_MAX_REFUSALS)
        self._count = 0

    def record(
        self, request: Request, origin: str | None, problem: ProtocolError
    ) -> None:
        """Record that `request`, which says that it is of `origin`, was refused."""
        self._count += 1
        line = request.method + b" " + request.uri
        refusal: Json = {
            "id": self._count,
            "refused_ts": int(wall_seconds(self._clock) * 1000),
            "address": request.getClientAddress().host,
            "origin": origin,
            "request": quote(line.decode("ascii", "backslashreplace")),
            "status": problem.status,
            "errcode": problem.errcode,
            "error": problem.explanation.in_full,
        }
        self._last.append(refusal)
        self._changes.announce()

    def end_waits(self) -> None:
        """From now on nobody waits for a refusal."""
        self._changes.end_waits()

    async def after(self, after: int, limit: int, wait: float) -> list[Json]:
        """Up to `limit` refusals with an ID above `after`, oldest first.

        Where there are none, waits up to `wait` seconds for one.
        """

        async def look() -> list[Json]:
            return [each for each in self._last if int(str(each["id"])) > after][:limit]

        return await self._changes.until(look, bool, wait)
