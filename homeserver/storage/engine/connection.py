"""A connection to the store, and a cursor that has the same errors for each engine.

Rules: an engine's own exceptions stop here. A mistake in a job's statement passes
unchanged. Every other error is `Conflict` where the same jobs may succeed when they run
again, and `StoreUnavailable` otherwise.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from homeserver.storage.engine.interface import Cursor


class Conflict(Exception):
    """Another writer was in the way; the same jobs may succeed when run again."""


class Connection(Protocol):
    """A connection to the store, used by one thread at a time."""

    @property
    def is_lost(self) -> bool:
        """Whether it can never be used again, so that another one is needed."""

    def check(self) -> None:
        """Raise `StoreUnavailable` if it cannot be used; costs next to nothing."""

    def abort(self) -> None:
        """Make a call that hangs fail; called by another thread, and raises nothing."""

    def cursor(self) -> Cursor:
        """A new cursor."""

    def begin(self) -> None:
        """Begin a transaction that will write."""

    def commit(self) -> None:
        """Commit; what was written is on the disk when this returns."""
        self.cursor().execute("COMMIT")

    def sync(self) -> None:
        """Bring the commits of all connections to the disk."""
        self.touch()

    def touch(self) -> None:
        """Commit without a change, which syncs the commits before it as any other."""
        with transaction(self):
            self.record_version(self.load_version())

    def rollback(self) -> None:
        """Undo the transaction, if one is open; raises nothing."""
        with suppress(Exception):  # the engine may have undone it already
            self.cursor().execute("ROLLBACK")

    def load_version(self) -> int:
        """The version of the schema, in a transaction; 0 if the store is empty."""

    def record_version(self, version: int) -> None:
        """Record the version of the schema."""

    def close(self) -> None:
        """Close it; raises nothing."""


@contextmanager
def transaction(connection: Connection) -> Iterator[Cursor]:
    """Commit what the block has written, or roll it back if anything is raised."""
    try:
        connection.begin()
        yield connection.cursor()
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


@dataclass(slots=True)
class EngineCursor:
    """An engine's cursor, with SQL and errors that are the same for each engine."""

    own: Cursor
    translate: Callable[[str], str]
    error: type[Exception]
    """The base of the engine's errors, which `explain` converts."""

    explain: Callable[[Any], Exception]

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> "EngineCursor":
        """As `Cursor.execute`."""
        self._call(self.own.execute, self.translate(sql), parameters)
        return self

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> None:
        """As `Cursor.executemany`."""
        self._call(self.own.executemany, self.translate(sql), rows)

    def fetchone(self) -> Any:
        """As `Cursor.fetchone`."""
        return self._call(self.own.fetchone)

    def fetchall(self) -> list[Any]:
        """As `Cursor.fetchall`."""
        rows: list[Any] = self._call(self.own.fetchall)
        return rows

    def _call(self, method: Callable[..., Any], *arguments: object) -> Any:
        try:
            return method(*arguments)
        except self.error as error:
            raise self.explain(error) from None
