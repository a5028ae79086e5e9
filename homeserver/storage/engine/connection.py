"""What the threads need of an engine: a connection, and cursors over it.

Rules of the room: an engine's errors stop here. A mistake of a job's own is left as it
is, and everything else is `StoreUnavailable` or, if trying again may help, `Conflict`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from homeserver.storage.engine.interface import Cursor


class Conflict(Exception):
    """Another writer was in the way; the same jobs may succeed when run again."""


class Connection(Protocol):
    """A connection to the store, for one thread."""

    @property
    def is_lost(self) -> bool:
        """Whether only another connection can be of use."""
        ...

    def check(self) -> None:
        """Raise `StoreUnavailable` if it is of no use; costs next to nothing."""
        ...

    def abort(self) -> None:
        """Let what hangs fail; called by another thread, and raises nothing."""
        ...

    def cursor(self) -> Cursor:
        """A new cursor."""
        ...

    def begin(self) -> None:
        """Begin a transaction that will write."""
        ...

    def commit(self) -> None:
        """Commit; what was written is on the disk when this returns."""
        ...

    def rollback(self) -> None:
        """Undo the transaction, if there still is one; raises nothing."""
        ...

    def load_version(self) -> int:
        """The version of the schema, in a transaction; 0 if the store is empty."""
        ...

    def record_version(self, version: int) -> None:
        """Record the version of the schema."""
        ...

    def close(self) -> None:
        """Close it; raises nothing."""
        ...


class EngineCursor:
    """An engine's cursor, which takes our SQL and raises our errors."""

    def __init__(
        self,
        cursor: Cursor,
        translate: Callable[[str], str],
        error: type[Exception],
        explain: Callable[[Any], Exception],
    ) -> None:
        """`error` is the base of the engine's errors, which `explain` converts."""
        self._cursor = cursor
        self._translate = translate
        self._error = error
        self._explain = explain

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> "EngineCursor":
        """As `Cursor.execute`."""
        try:
            self._cursor.execute(self._translate(sql), parameters)
        except self._error as error:
            raise self._explain(error) from None
        return self

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> None:
        """As `Cursor.executemany`."""
        try:
            self._cursor.executemany(self._translate(sql), rows)
        except self._error as error:
            raise self._explain(error) from None

    def fetchone(self) -> Any:
        """As `Cursor.fetchone`."""
        try:
            return self._cursor.fetchone()
        except self._error as error:
            raise self._explain(error) from None

    def fetchall(self) -> list[Any]:
        """As `Cursor.fetchall`."""
        try:
            return self._cursor.fetchall()
        except self._error as error:
            raise self._explain(error) from None
