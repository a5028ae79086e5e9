"""The record as a file: a line of JSON for each exchange, as they come.

Rules: lines are written together after a turn of the reactor. A file that cannot be
written is said once in the log and ends the journal; the exchanges go on.
"""

from collections.abc import Callable
from pathlib import Path

import msgspec
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from homeserver.lab.record.entry import Entry
from homeserver.lab.record.record import Record
from homeserver.lab.record.views import view_details
from homeserver.net.system_errors import in_words

_ENCODER = msgspec.json.Encoder()


class Journal:
    """Appends each exchange to a file."""

    _log = Logger()

    def __init__(self, path: Path, record: Record, clock: IReactorTime) -> None:
        """Raises `OSError` if the file cannot be written."""
        self._path = path
        self._clock = clock
        # Without a buffer, which would keep what could not be written.
        self._file = path.open("ab", buffering=0)
        self._lines: list[bytes] = []
        self._end_watch: Callable[[], object] = record.watch(self._take)

    def close(self) -> None:
        """Write what is left."""
        self._end_watch()
        self._write()
        self._file.close()

    def _take(self, entry: Entry) -> None:
        if not self._lines:
            self._clock.callLater(0, self._write)
        self._lines.append(encode_line(entry))

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        if not lines or self._file.closed:
            return
        try:
            self._file.write(b"".join(lines))
        except OSError as problem:
            self._log.error(
                "{path}: {problem}; no more exchanges are written to it",
                path=str(self._path),
                problem=in_words(problem),
            )
            self._end_watch()


def encode_line(entry: Entry) -> bytes:
    """An exchange with everything that is known of it, as a line of JSON."""
    return _ENCODER.encode(view_details(entry)) + b"\n"
