"""The store that the configuration names, not opened yet.

Rules: as those of `app.shared`, of whose bill of materials this is a part.
"""

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime
from twisted.internet.posixbase import PosixReactorBase

from homeserver.config.values import Config, ConfigError
from homeserver.net.wall_clock import wall_ts
from homeserver.storage.engine import choose
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Database, StoreClock, StoreUnavailable
from homeserver.storage.engine.threaded import ThreadedDatabase


class Store:
    """A database with its clock."""

    def __init__(
        self,
        database: Database,
        clock: StoreClock,
        *,
        is_shared: bool = False,
        is_remote: bool = False,
        threaded: ThreadedDatabase | None = None,
    ) -> None:
        """`is_shared` is whether other processes may use it.

        `is_remote` is whether they may be those of other endpoints.
        """
        self.database = database
        self.clock = clock
        self.is_shared = is_shared
        self.is_remote = is_remote
        self._threaded = threaded

    def start(self) -> None:
        """Open it."""
        if self._threaded is not None:
            self._threaded.start()

    async def close(self) -> None:
        """Close it."""
        if self._threaded is not None:
            await self._threaded.close()

    async def is_healthy(self) -> bool:
        """Whether it can be read and written, and no failure of it is known."""
        try:
            await self.database.read(lambda cursor: cursor.execute("SELECT 1"))
            await self.database.write(lambda cursor: cursor.execute("SELECT 1"))
        except StoreUnavailable:
            return False
        return self._threaded is None or self._threaded.problem is None


def configured_store(
    path: Path,
    config: Config,
    reactor: PosixReactorBase,
    observe: Callable[[int, float], object],
    *,
    has_workers: bool = False,
) -> Store:
    """The store of the configuration at `path`; raises `ConfigError`.

    `observe` is called with each commit: its jobs, and its seconds. `has_workers` is
    whether this process is one of several.
    """
    try:
        engine = choose.choose(config.storage.url, path.absolute().parent, reactor)
        # Rows from before several names belong to the first one.
        owner = config.first.server_name
        is_remote = engine.is_shared
        if has_workers:
            engine = replace(engine, is_shared=True)
        database = ThreadedDatabase(engine, reactor, reactor, owner, observe)
    except StoreUnavailable as problem:
        raise ConfigError(path, [f"storage.url: {problem}"]) from None
    return Store(
        database,
        engine.clock,
        is_shared=engine.is_shared,
        is_remote=is_remote,
        threaded=database,
    )


def passing_store(clock: IReactorTime) -> Store:
    """A store in memory, for the life of the process."""
    return Store(ImmediateDatabase(), lambda _: wall_ts(clock))
