"""The database with two threads: one writes and one reads.

Rules: short jobs run in the reactor's thread where the engine has a shortcut, and all
others in a thread. Only a thread waits, for a lock or for the disk. A write is reported
after it is synced, wherever it ran.
"""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from twisted.internet.interfaces import IReactorFromThreads, IReactorTime

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.choose import Engine
from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.group_commit import (
    Call,
    Outcome,
    commit,
    probe_read,
    probe_write,
    read_group,
    write_group,
)
from homeserver.storage.engine.health import StoreHealth
from homeserver.storage.engine.interface import Job, Short
from homeserver.storage.engine.shortcut import Shortcut
from homeserver.storage.engine.thread import DatabaseThread, Role
from homeserver.storage.migrations.migrate import migrate

_T = TypeVar("_T")

# After it, the remaining short jobs of a group wait for the next one, so that
# connections are served between them. A job takes about a millisecond at most.
_TURN_SECONDS = 0.002


class ThreadedDatabase:
    """A `Database`, with a thread that writes and a thread that reads."""

    def __init__(
        self,
        engine: Engine,
        reactor: IReactorFromThreads,
        clock: IReactorTime,
        owner: ServerName,
        observe: Callable[[int, float], object] = lambda *_: None,
    ) -> None:
        """Connect, and bring the schema up to date; raises `StoreUnavailable`.

        `owner` is as in `migrate`. `observe` takes the number of jobs in each commit,
        and its seconds.
        """
        self._clock = clock
        self._health = StoreHealth(clock)
        self._shortcut = Shortcut(engine.connect_for_shortcut)
        self._others_have_shortcuts = engine.is_shared and self._shortcut.is_possible
        prepare = partial(_prepare, owner)
        writer = Role(
            "writer", write_group, probe_write, prepare, observe, self._write_short
        )
        reader = Role("reader", read_group, probe_read)
        self._writer, self._reader = (
            DatabaseThread(role, engine.connect, reactor, clock, self._health)
            for role in (writer, reader)
        )
        try:
            self._writer.open()
            self._reader.open()
        except BaseException:
            self._writer.disconnect()
            raise

    @property
    def problem(self) -> str | None:
        """What is wrong with the store; None if the last attempts succeeded."""
        return self._health.problem

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
            found = self._shortcut.run(lambda connection: [job(connection.cursor())])
            if found is not None:
                result: _T = found[0]
                return result
        return await self._reader.call(job)

    async def settle(self) -> None:
        """As `Database.settle`."""
        if self._writer.has_unsynced or self._others_have_shortcuts:
            # Its sync covers all commits before it.
            await self._writer.call(Short(lambda _: None))

    async def close(self) -> None:
        """Finish what has begun, close the connections and end the threads."""
        await self._writer.stop()
        await self._reader.stop()
        self._shortcut.close()

    def _write_short(self, group: list[Call]) -> list[Outcome] | None:
        """Commit the first short jobs of a group, unsynced; None on any error."""
        ends_at = self._clock.seconds() + _TURN_SECONDS
        return self._shortcut.run(
            lambda own: commit(own, group, lambda: self._clock.seconds() >= ends_at)
        )


def _prepare(owner: ServerName, connection: Connection) -> None:
    """Migrate, and sync the commits that a killed process may have left in the log."""
    migrate(connection, owner)
    probe_write(connection)
