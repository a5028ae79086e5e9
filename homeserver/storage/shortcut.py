"""What is short, done at once in the reactor's thread.

Rules of the room: nothing here waits, for a lock, for the disk or for anything else.
Whatever goes wrong, nothing was written, and nothing is told from here: the same jobs
are run again by a thread, which may wait, and knows what to make of it.
"""

from collections.abc import Callable
from typing import TypeVar

from homeserver.storage.connection import Connection
from homeserver.storage.database import Job
from homeserver.storage.groups import Call, Outcome, commit

_T = TypeVar("_T")


class NotNow(Exception):
    """It was not done."""


class Shortcut:
    """A connection of the reactor's thread."""

    def __init__(self, connect: Callable[[], Connection] | None) -> None:
        """`connect` makes a connection that waits for nobody; None for none."""
        self._connect = connect
        self._connection: Connection | None = None

    def read(self, job: Job[_T]) -> _T:
        """What a job returns; raises `NotNow`, whatever it raises."""
        try:
            return job(self._open().cursor())
        except Exception:  # noqa: BLE001 - see above
            self._drop()
            raise NotNow from None

    def write(self, group: list[Call]) -> list[Outcome] | None:
        """Run jobs in one transaction; None if nothing was done.

        What they return is to be told when the engine has it on the disk.
        """
        try:
            return commit(self._open(), group)
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
        """Use a connection no more that is of no use."""
        if self._connection is not None and self._connection.is_lost:
            self.close()
