"""What is known of one request, told once: when it is answered.

Rules of the room: who learns something of a request writes it into its record; when
the request is answered, that becomes one line of the log, and is counted. What the
client chose is escaped and shortened. Headers, bodies and the query of a target are
never told: what they hold may be secret.
"""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger, LogLevel

from homeserver.http.request import Request
from homeserver.protocol.errors import printable

NO_ROUTE = "other"
"""The route of a request for what is not there."""

# These come every few seconds, and who asks reads the answer.
_ROUTINE = frozenset({"/health", "/metrics"})

_MAX_SHOWN = 200  # characters of a method or a path; a path of ours has about sixty


class RequestRecord(Struct):
    """One request, as far as it is known."""

    request_log: "RequestLog | None" = None
    """Where it is told; None where nobody keeps records."""

    listener: str = ""
    """`federation` or `control`."""

    method: str = ""
    path: str = ""
    address: str = ""
    """The IP address of the client."""

    began: float = 0.0
    """When the request had arrived, in seconds."""

    route: str = NO_ROUTE
    """The template of the path, as in `/_matrix/federation/v1/send/{txnId}`."""

    origin: str | None = None
    """The server that asks, or that the request says it is."""

    is_proven: bool = False
    """Whether the origin is who it says."""

    failure: str | None = None
    """Why it is not proven: one of `authentication.FAILURES`."""

    facts: Mapping[str, object] = field(default_factory=dict)
    """What was found, by name; `verdict` is that for people."""

    errcode: str | None = None
    error: str | None = None
    """Why it was refused."""

    is_gone: bool = False
    """Whether the client did not wait for the answer."""

    status: int = 0
    seconds: float = 0.0
    """From when the request had arrived until its answer was there."""

    @classmethod
    def of(cls, request: Request) -> "RequestRecord":
        """The record that the site of a request keeps of it."""
        record = getattr(request, "record", None)
        return record if isinstance(record, cls) else cls()

    def close(self, status: int) -> None:
        """Tell of the request, which is answered now."""
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
        """`listener` is what it is called: `federation` or `control`.

        `observe` takes each record that is closed. What the log would not write,
        as its level is below `least`, is not put together for it.
        """
        self.listener = listener
        self._clock = clock
        self._observe = observe
        self._least = least

    def open(self, method: bytes, target: bytes, address: str) -> RequestRecord:
        """The record of a request that has arrived now."""
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
        """Tell of a request that is answered now."""
        # Not below nothing, should the clock have been set back.
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
    """How a line says it to people, as a format of the members."""
    form = "{listener}: {method} {path}"
    if record.origin is not None:
        form += " of {origin}" if record.is_proven else " of {origin} (not proven)"
    form += " at {address}: {status} in {seconds} s"
    if record.is_gone:
        form += ", to nobody any more"
    if "verdict" in record.facts:
        form += ": {verdict}"
    if record.error is not None:
        form += ": {errcode}: {error}"
    return form


def _shown(text: bytes) -> str:
    """What a client sent, as a line can show it."""
    return printable(text[:_MAX_SHOWN].decode("ascii", "backslashreplace"))
