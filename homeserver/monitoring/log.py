"""The log: text lines for people, or JSON lines for programs.

Rules: one event is one line, whatever text of a peer is in it. A JSON line has the
message and each value in it as a member of its own. Events of other packages have the
message only, as their other values may hold anything.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TextIO

import msgspec
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    formatEvent,
    formatTime,
    globalLogBeginner,
)
from zope.interface import implementer

from homeserver.config.values import Log
from homeserver.net.exchange import Exchange
from homeserver.protocol.errors import printable

_OURS = "homeserver."


def begin(config: Log, stream: TextIO, quiet: Sequence[str] = ()) -> None:
    """Start logging to `stream`, as configured.

    Of the namespaces in `quiet`, critical events alone are logged.
    """
    level = LogLevel.lookupByName(config.level)
    predicate = LogLevelFilterPredicate(defaultLogLevel=level)
    if level is not LogLevel.debug:
        # Below warnings, Twisted logs each UDP port that is opened, and the like.
        for namespace in ("twisted", "log_legacy"):
            predicate.setLogLevelForNamespace(namespace, LogLevel.warn)
    for namespace in quiet:
        predicate.setLogLevelForNamespace(namespace, LogLevel.critical)
    globalLogBeginner.beginLoggingTo(
        [FilteringLogObserver(_Lines(stream, _FORMATS[config.format]), [predicate])],
        # What the process prints is for the user who started it, not for the log.
        redirectStandardIO=False,
    )


def _as_text(event: LogEvent) -> str:
    """One line of time, level and message; a traceback follows, if any."""
    line = f"{_time(int(event['log_time']))} {event['log_level'].name} "
    line += printable(_message(event))
    failure = event.get("log_failure")
    traceback = [] if failure is None else failure.getTraceback().splitlines()
    # Indented, so that no line of an error's text can look like an event.
    return "\n".join([line, *(f"  {printable(below)}" for below in traceback)])


def _as_json(event: LogEvent) -> str:
    """One JSON object."""
    source = event.get("log_namespace")
    line: dict[str, object] = {
        "time": _time(int(event["log_time"])),
        "level": event["log_level"].name,
        "message": _without_surrogates(_message(event)),
        "from": source,
    }
    if source is not None and source.startswith(_OURS):
        exchange = event.get("exchange")
        parts = exchange.members() if isinstance(exchange, Exchange) else event
        line |= {
            name: _member(value)
            for name, value in parts.items()
            if name not in line and not name.startswith("log_")
        }
    failure = event.get("log_failure")
    if failure is not None:
        line["traceback"] = _without_surrogates(failure.getTraceback())
    return msgspec.json.encode(line).decode("utf-8")


_FORMATS: dict[str, Callable[[LogEvent], str]] = {"text": _as_text, "json": _as_json}


@lru_cache(maxsize=1)  # many lines have the same second
def _time(second: int) -> str:
    """A time in ISO 8601, with the local offset from UTC."""
    return formatTime(second)


def _message(event: LogEvent) -> str:
    """The formatted message: `formatEvent` of Twisted, with a faster common case.

    Only `formatEvent` supports calls, `{name()}`, and describes a bad format.
    """
    try:
        message: str = event["log_format"].format_map(event)
    except Exception:  # noqa: BLE001 - `formatEvent` describes any error
        return formatEvent(event)
    return message


def _member(value: object) -> object:
    """A value of a message as JSON."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return _without_surrogates(str(value))


def _without_surrogates(text: str) -> str:
    """`text` with lone surrogates escaped, which JSON in UTF-8 does not have."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@implementer(ILogObserver)
class _Lines:
    """Writes each event as a line."""

    def __init__(self, stream: TextIO, form: Callable[[LogEvent], str]) -> None:
        self._stream = stream
        self._form = form

    def __call__(self, event: LogEvent) -> None:
        """As `ILogObserver`."""
        self._stream.write(self._form(event) + "\n")
        self._stream.flush()
