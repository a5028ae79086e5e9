"""The request log: one line for each request, written when it is answered.

Rules: each module writes what it finds about a request into the record of the request;
the record becomes one line of the log and is counted. Text of the client is escaped
and shortened. Headers, bodies and query strings are never logged: they may contain
secrets.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from homeserver.http.request import Request
from homeserver.protocol.errors import printable

NO_ROUTE = "other"
"""The route of a request whose path is unknown."""

# Monitoring requests them every few seconds; they are logged at level debug.
_ROUTINE = frozenset({"/health", "/metrics"})

_MAX_SHOWN = 200  # characters of a method or a path; a path of ours has about sixty


class RequestRecord(Struct):
    """What is known of one request."""

    request_log: "RequestLog | None" = None
    """The log that it is written to; None if there is none."""

    listener: str = ""
    """`federation` or `control`."""

    method: str = ""
    path: str = ""
    address: str = ""
    """The IP address of the client."""

    began: float = 0.0
    """When the request arrived, in seconds."""

    route: str = NO_ROUTE
    """The template of the path, as in `/_matrix/federation/v1/send/{txnId}`."""

    origin: str | None = None
    """The origin, proven or only claimed."""

    is_proven: bool = False
    """Whether the origin is authenticated."""

    failure: str | None = None
    """Why it is not authenticated: one of `authentication.FAILURES`."""

    facts: Mapping[str, object] = field(default_factory=dict)
    """Further members of the log line; `verdict` is shown in its text."""

    errcode: str | None = None
    error: str | None = None
    """Why the request was refused."""

    is_gone: bool = False
    """Whether the client disconnected before the response."""

    status: int = 0
    seconds: float = 0.0
    """From the arrival of the request until its response."""

    @classmethod
    def of(cls, request: Request) -> "RequestRecord":
        """The record of a request."""
        record = getattr(request, "record", None)
        return record if isinstance(record, cls) else cls()

    def close(self, status: int) -> None:
        """Write the record to the log: the request is answered."""
        self.status = status
        if self.request_log is not None:
            self.request_log.enter(self)


class RequestLog:
    """The records of the requests to one listener."""

    _log = Logger()

    def __init__(
        self,
        listener: str,
        clock: IReactorTime,
        observe: Callable[[RequestRecord], object] = lambda _: None,
        least: Any = LogLevel.debug,
    ) -> None:
        """`listener` is `federation` or `control`.

        `observe` takes each closed record. Lines below the level `least` are not
        formatted.
        """
        self.listener = listener
        self._clock = clock
        self._observe = observe
        self._least = least

    def open(self, method: bytes, target: bytes, address: str) -> RequestRecord:
        """The record of a request that arrives now."""
        path = target.partition(b"?")[0]
        return RequestRecord(
            self,
            self.listener,
            _shown(method),
            _shown(path),
            address,
            self._clock.seconds(),
        )

    def enter(self, record: RequestRecord) -> None:
        """Write the line of a request that is answered now."""
        # Never negative, even if the clock was set back.
        record.seconds = max(0.0, self._clock.seconds() - record.began)
        level = LogLevel.info
        if record.route in _ROUTINE:
            level = LogLevel.debug
        elif record.status >= 500:
            level = LogLevel.error
        if level >= self._least:
            self._log.emit(level, _form(record), **self._members(record))
        self._observe(record)

    def _members(self, record: RequestRecord) -> dict[str, object]:
        members = {
            "listener": record.listener,
            "method": record.method,
            "path": record.path,
            "route": record.route,
            "address": record.address,
            "status": record.status,
            "seconds": round(record.seconds, 4),
            **record.facts,
        }
        if record.origin is not None:
            members |= {"origin": record.origin, "is_proven": record.is_proven}
        if record.error is not None:
            members |= {"errcode": record.errcode, "error": record.error}
        if record.failure is not None:
            members["failure"] = record.failure
        if record.is_gone:
            members["is_gone"] = True
        return members


def _form(record: RequestRecord) -> str:
    """The text of a line, as a format of its members."""
    form = "{listener}: {method} {path}"
    if record.origin is not None:
        form += " of {origin}" if record.is_proven else " of {origin} (not proven)"
    form += " at {address}: {status} in {seconds} s"
    if record.is_gone:
        form += " (client disconnected)"
    if "verdict" in record.facts:
        form += ": {verdict}"
    if record.error is not None:
        form += ": {errcode}: {error}"
    return form


def _shown(text: bytes) -> str:
    """Text of a client, escaped and shortened."""
    return printable(text[:_MAX_SHOWN].decode("ascii", "backslashreplace"))
