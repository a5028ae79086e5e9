"""Refused requests of other servers, kept for those who test a server against ours.

Rules: what was refused can be read at once, though it is written a moment later
(`refusal_queue`). Neither bodies nor signatures are stored; where the hints on a
refusal are still to be found, they are in memory until an operator asks, the last ones
alone.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from homeserver.http.request import Request
from homeserver.inbound.authentication import FAILURES
from homeserver.inbound.diagnoses import Evidence
from homeserver.inbound.refusal_queue import RefusalQueue
from homeserver.net.bounded_map import BoundedMap
from homeserver.net.exchange import NO_ROUTE, Exchange
from homeserver.net.wall_clock import wall_ts
from homeserver.protocol.diagnosis.hint import Hint
from homeserver.protocol.errors import ProtocolError, printable
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.notifier import Changes
from homeserver.storage.refusals import RecordedRefusal, Refusal, RefusalStore

# Of a request whose hints are to be found when an operator asks.
_MAX_EVIDENCE_BYTES = 16 * 1024

# Each server asks this first of a name without a port, and 404 says that the name
# delegates to no other one.
_WELL_KNOWN = "/.well-known/matrix/server"

_MAX_PATH = 500  # characters; our paths have about sixty
_MAX_ERROR = 1000  # characters; a reply has about as many


REASONS: Mapping[str, str] = {
    **FAILURES,
    "content": "the origin is proven, and the content breaks a rule of the route",
    "unknown_path": "no route has this path",
    "not_found": "the route is known, and there is nothing to answer",
    "method_not_allowed": "the path is known, but not with this method",
    "too_large": "the request has more bytes than the limit",
    "timeout": "the request did not arrive in time",
    "limit": "a limit is reached, of the client or of this server; repeat it later",
    "internal": "this server failed",
    "rule": "a rule of the operator's makes the error, whatever is asked",
    "malformed_request": "the request breaks a rule of HTTP or of the route",
}
"""Why a request is refused: each reason code, and what it means."""


_BY_STATUS = {
    405: "method_not_allowed",
    408: "timeout",
    413: "too_large",
    429: "limit",
    500: "internal",
    503: "limit",
}

Diagnose = Callable[[Evidence], Awaitable[list[Hint]]]


class Refusals:
    """Records the refused requests to one of our servers, and lists them."""

    def __init__(
        self,
        store: RefusalStore,
        queue: RefusalQueue,
        clock: IReactorTime,
        diagnose: Diagnose | None = None,
        changes: Changes | None = None,
    ) -> None:
        """`diagnose` finds the hints on refusals whose evidence is kept.

        `changes` are those of the refusals, also in other processes.
        """
        self._store = store
        self._queue = queue
        self._diagnose = diagnose
        self._evidence: BoundedMap[str, tuple[Evidence, Exchange]] = BoundedMap(
            queue.evidence
        )
        self._clock = clock
        self._changes = changes or Changes(clock)

    def record(
        self, request: Request, problem: ProtocolError, evidence: Evidence | None = None
    ) -> None:
        """Record the refusal of a request, whose exchange has reason code and hints.

        With `evidence`, the hints are found when an operator asks.
        """
        if not self._queue.has_room(self):
            return
        exchange = request.exchange
        self._queue.add(
            self,
            Refusal(
                refused_ts=wall_ts(self._clock),
                address=exchange.address,
                origin=exchange.peer,
                proven=exchange.is_proven,
                method=_shown(request.method, _MAX_PATH),
                path=_shown(request.uri, _MAX_PATH),
                status=problem.status,
                errcode=problem.errcode,
                error=problem.explanation.in_full[:_MAX_ERROR],
                reason=exchange.reason or "content",
                hints=tuple(exchange.hints) if evidence is None else None,
                evidence=None if evidence is None else self._keep(evidence, exchange),
            ),
        )

    def note(self, exchange: Exchange) -> None:
        """Record an exchange that ended with an error, unless `record` did.

        The reason is set where there is none.
        """
        if exchange.reason is not None:
            return
        exchange.reason = _reason(exchange)
        is_answer = exchange.reason == "not_found" and exchange.route == _WELL_KNOWN
        if is_answer or not self._queue.has_room(self):
            return
        self._queue.add(
            self,
            Refusal(
                refused_ts=wall_ts(self._clock),
                address=exchange.address,
                origin=exchange.peer,
                proven=exchange.is_proven,
                method=exchange.method,
                path=exchange.path,
                status=exchange.status or 0,
                errcode=exchange.errcode or "M_UNKNOWN",
                error=(exchange.error or "internal error")[:_MAX_ERROR],
                reason=exchange.reason,
                seconds=exchange.seconds,
                content=_content(exchange),
            ),
        )

    async def write(self, waiting: Sequence[Refusal]) -> None:
        """Record refusals now; raises `StoreUnavailable`."""
        await self._store.record(waiting)
        self._changes.announce()

    def end_waits(self) -> None:
        """End all waits for new refusals, now and later."""
        self._changes.end_waits()

    async def after(
        self, after: int, origin: ServerName | None, limit: int, wait: float
    ) -> list[RecordedRefusal]:
        """Up to `limit` refusals with an ID above `after`, oldest first.

        The `reason` of each is one of `REASONS`.
        Without any, waits up to `wait` seconds for one.
        """
        await self._queue.catch_up()
        found = await self._changes.until(
            lambda: self._store.after(after, origin, limit), bool, wait
        )
        return [await self.completed(each) for each in found]

    async def completed(self, refusal: RecordedRefusal) -> RecordedRefusal:
        """A refusal with its hints, which are found now if its evidence is kept."""
        if refusal.hints is not None:
            return refusal
        kept = self._evidence.pop(refusal.evidence or "", None)
        if kept is None or self._diagnose is None:
            return refusal
        evidence, exchange = kept
        # A record may have the exchange, and shows these hints from now on.
        exchange.hints = hints = await self._diagnose(evidence)
        refusal = replace(refusal, hints=tuple(hints), evidence=None)
        await self._store.complete(refusal)
        return refusal

    def _keep(self, evidence: Evidence, exchange: Exchange) -> str | None:
        """Keep evidence for a while; returns its name, or None if it is too large."""
        if len(evidence.request.body) > _MAX_EVIDENCE_BYTES:
            return None
        name = secrets.token_hex(8)
        self._evidence[name] = evidence, exchange
        return name


def _content(exchange: Exchange) -> str | None:
    content = exchange.facts.get("content")
    return content if isinstance(content, str) else None


def _reason(exchange: Exchange) -> str:
    """The reason code of an error that no part of the route explains."""
    if exchange.is_by_rule:
        return "rule"
    if exchange.status == 404:
        return "unknown_path" if exchange.route == NO_ROUTE else "not_found"
    return _BY_STATUS.get(exchange.status or 0, "malformed_request")


def _shown(text: bytes, length: int) -> str:
    return printable(text.decode("ascii", "backslashreplace")[:length])
