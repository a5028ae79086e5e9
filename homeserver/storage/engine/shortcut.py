"""The reactor thread's own connection, for short jobs.

A thread that runs a few statements costs more than the statements, because both
threads take turns at the interpreter's lock. Short jobs therefore run here. The
connection commits without syncing the log, and the writer's thread syncs it with an
ordinary commit of its own before anyone learns of the results.

Rules: nothing here waits, for a lock or for the disk. On any error nothing was
written and nothing is reported from here: the jobs run again in a thread, which may
wait, and which reports what is wrong.
"""

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime

from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.group_commit import Call, Outcome, commit
from homeserver.storage.engine.interface import Job

_T = TypeVar("_T")

# After it, the remaining jobs of a group wait for the next one, so that connections
# are served between them. A job takes about a millisecond at most.
_TURN_SECONDS = 0.002


class NotNow(Exception):
    """The job did not run."""


class Shortcut:
    """A connection of the reactor's thread."""

    def __init__(
        self, connect: Callable[[], Connection] | None, clock: IReactorTime
    ) -> None:
        """`connect` makes a connection that waits for no lock; None for none."""
        self._connect = connect
        self._clock = clock
        self._connection: Connection | None = None

    def read(self, job: Job[_T]) -> _T:
        """The result of a job; raises `NotNow` for any error."""
        try:
            return job(self._open().cursor())
        except Exception:  # noqa: BLE001 - see above
            self._drop()
            raise NotNow from None

    def write(self, group: list[Call]) -> list[Outcome] | None:
        """Run jobs in one transaction, as many as fit into a turn; None on any error.

        The outcomes may be reported once the log is synced.
        """
        ends_at = self._clock.seconds() + _TURN_SECONDS
        try:
            return commit(self._open(), group, lambda: self._clock.seconds() >= ends_at)
        except Exception:  # noqa: BLE001 - see above
            self._drop()
            return None

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connect is None:
            raise NotNow
        if self._connection is None:
            self._connection = self._connect()
        self._connection.check()
        return self._connection

    def _drop(self) -> None:
        """Close a connection that is lost."""
        if self._connection is not None and self._connection.is_lost:
            self.close()
