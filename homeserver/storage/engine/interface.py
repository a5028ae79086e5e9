"""The seam between what is stored and the engine that stores it.

Rules of the room: a write is done when its Deferred fires, and then it is on the disk,
and all that it could have read. A job is plain statements over a cursor. It may run in
a thread, so it touches nothing but its arguments; it may be run again from its
beginning, so it changes nothing but the store; other processes may be at work on the
same store, so what it reads may have changed before it writes, unless it holds the row
(`FOR UPDATE`).
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

_T = TypeVar("_T")


class StoreUnavailable(Exception):
    """The store could not do it: full disk, lock, damage, no connection.

    Nothing was written; or nobody knows whether it was, and then it may be done again.
    """


class StoreTooNew(StoreUnavailable):
    """The store was written by a later version of this program."""


class Cursor(Protocol):
    """What a job needs of a DB-API cursor; its SQL is that of `dialect`."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> "Cursor":
        """Run one statement."""
        ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> object:
        """Run one statement that returns nothing, once for each of `rows`."""
        ...

    def fetchone(self) -> Any:
        """The next row, or None."""
        ...

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        ...


Job = Callable[[Cursor], _T]


class Short(Struct, Generic[_T], frozen=True):
    """A job that touches few rows, which it finds by their keys, and little data.

    It takes about a millisecond at most: it may run in the reactor's thread.
    """

    job: Job[_T]

    def __call__(self, cursor: Cursor) -> _T:
        """Do the job."""
        return self.job(cursor)


StoreClock = Callable[[Cursor], int]
"""The time in milliseconds since 1970 that all who use a store agree on."""


class Database(Protocol):
    """What the stores need of a database."""

    async def write(self, job: Job[_T]) -> _T:
        """Run `job` in a transaction; return its result once it is committed.

        Raises `StoreUnavailable`, and whatever `job` raises.
        """
        ...

    async def read(self, job: Job[_T]) -> _T:
        """Run `job`, which writes nothing, over what is committed; as `write`.

        What it returns may be about to be on the disk: before a write that follows.
        """
        ...

    async def settle(self) -> None:
        """Have on the disk what was read; raises `StoreUnavailable`."""
        ...
