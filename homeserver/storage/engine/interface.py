"""The interface between what is stored and the engine that stores it.

Rules: a write is on the disk when its Deferred fires, with everything that it could
have read. A job is plain statements over a cursor. It may run in another thread, so it
uses nothing but its arguments. It may run again from its beginning, so it changes
nothing but the store. Other processes may use the same store, so a row that a job has
read may change before the job writes it, unless the job locks the row (`FOR UPDATE`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

_T = TypeVar("_T")


class StoreUnavailable(Exception):
    """The store failed: a full disk, a lock, damage, no connection.

    Nothing was written, or it is unknown whether the commit succeeded; either way the
    write may be repeated.
    """


class StoreTooNew(StoreUnavailable):
    """The store was written by a later version of this program."""


class Cursor(Protocol):
    """What a job needs of a DB-API cursor; its SQL is that of `dialect`."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> "Cursor":
        """Run one statement."""

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> object:
        """Run one statement that returns nothing, once for each of `rows`."""

    def fetchone(self) -> Any:
        """The next row, or None."""

    def fetchall(self) -> list[Any]:
        """All remaining rows."""


@contextmanager
def snapshot(cursor: Cursor) -> Iterator[None]:
    """Let the statements of a job that reads see one state of the store.

    Nothing is locked: others write meanwhile.
    """
    cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    try:
        yield
    finally:
        cursor.execute("COMMIT")


Job = Callable[[Cursor], _T]


class Short(Struct, Generic[_T], frozen=True):
    """A job on few rows, which it finds by their keys: it takes about a millisecond."""

    job: Job[_T]

    def __call__(self, cursor: Cursor) -> _T:
        """Run the job."""
        return self.job(cursor)


StoreClock = Callable[[Cursor], int]
"""The time in milliseconds since 1970, the same for all processes of a store."""


class Database(Protocol):
    """What the stores need of a database."""

    async def write(self, job: Job[_T]) -> _T:
        """Run `job` in a transaction; return its result once it is committed.

        Raises `StoreUnavailable`, and whatever `job` raises.
        """

    async def read(self, job: Job[_T]) -> _T:
        """Run `job`, which writes nothing, over committed rows; raises as `write`.

        A row that it sees may not be synced to the disk yet. A later write syncs it.
        """

    async def settle(self) -> None:
        """Sync to the disk what was read; raises `StoreUnavailable`."""
