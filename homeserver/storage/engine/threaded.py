"""A database with threads: one writes and one reads, each with its own connection.

Rules of the room: what is short may be done in the reactor's thread, where the engine
has a shortcut: threads of Python that take turns cost more than what they do. A write
is told when it is on the disk all the same, and only the thread waits for the disk.
Whatever keeps something short from being done at once is the thread's to deal with.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from twisted.internet.interfaces import IReactorFromThreads, IReactorTime

from homeserver.storage.engine.choose import Engine
from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.group_commit import (
    read_group,
    try_read,
    try_write,
    write_group,
)
from homeserver.storage.engine.health import Condition
from homeserver.storage.engine.interface import Job, Short
from homeserver.storage.engine.migrate import migrate
from homeserver.storage.engine.shortcut import NotNow, Shortcut
from homeserver.storage.engine.thread import Duty, Worker

_T = TypeVar("_T")


class ThreadedDatabase:
    """A `Database`, with a thread that writes and a thread that reads."""

    def __init__(
        self,
        engine: Engine,
        reactor: IReactorFromThreads,
        clock: IReactorTime,
        observe: Callable[[int, float], object] = lambda *_: None,
    ) -> None:
        """Connect, and bring the schema up to date; raises `StoreUnavailable`.

        `observe` takes how many jobs were committed together, and how many seconds
        that took.
        """
        self._condition = Condition(clock)
        self._shortcut = Shortcut(engine.connect_for_shortcut, clock)
        duties = (
            Duty(
                "writer",
                _prepare,
                write_group,
                try_write,
                observe,
                self._shortcut.write,
            ),
            Duty("reader", lambda _: None, read_group, try_read),
        )
        self._writer, self._reader = [
            Worker(duty, engine.connect, reactor, clock, self._condition)
            for duty in duties
        ]
        try:
            self._writer.open()
            self._reader.open()
        except BaseException:
            self._writer.abandon()
            raise

    @property
    def problem(self) -> str | None:
        """What is wrong with the store; None if the last that was tried went well."""
        return self._condition.problem

    def start(self) -> None:
        """Start the threads."""
        self._writer.start()
        self._reader.start()

    async def write(self, job: Job[_T]) -> _T:
        """As `Database.write`."""
        return await self._writer.call(job)

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""
        if isinstance(job, Short) and self.problem is None:
            with suppress(NotNow):
                result: _T = self._shortcut.read(job)
                return result
        return await self._reader.call(job)

    async def settle(self) -> None:
        """As `Database.settle`."""
        if self._writer.is_in_debt:
            # It is done when all commits before it are on the disk.
            await self._writer.call(Short(lambda _: None))

    async def close(self) -> None:
        """Finish what was begun, close the connections and end the threads."""
        await self._writer.stop()
        await self._reader.stop()
        self._shortcut.close()


def _prepare(connection: Connection) -> None:
    """Migrate, and sync the commits that a killed process may have left in the log."""
    migrate(connection)
    try_write(connection)
