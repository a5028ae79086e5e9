"""The reactor thread's own connection, for short jobs.

A thread that runs a few statements costs more than the statements, because both
threads take turns at the interpreter's lock. Short jobs therefore run here. The
connection commits without syncing the log, and the writer's thread syncs it before any
result is reported.

Rules: nothing here waits, for a lock or for the disk. On any error nothing was written
and nothing is reported from here: the jobs run again in a thread, which may wait, and
which reports what is wrong.
"""

from collections.abc import Callable
from typing import TypeVar

from homeserver.storage.engine.connection import Connection

_T = TypeVar("_T")


class Shortcut:
    """A connection of the reactor's thread."""

    def __init__(self, connect: Callable[[], Connection] | None) -> None:
        """`connect` makes a connection that waits for no lock; None for none."""
        self._connect = connect
        self._connection: Connection | None = None
        self.is_possible = connect is not None
        """Whether the engine has one."""

    def run(self, use: Callable[[Connection], _T]) -> _T | None:
        """What `use` returns for the connection; None on any error."""
        if self._connect is None:
            return None
        try:
            if self._connection is None:
                self._connection = self._connect()
            self._connection.check()
            return use(self._connection)
        except Exception:  # noqa: BLE001 - see above
            if self._connection is not None and self._connection.is_lost:
                self.close()
            return None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
