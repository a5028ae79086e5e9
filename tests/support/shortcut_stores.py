"""Stores in a file that do short jobs at once, and sync when a test lets them."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import Event, get_ident

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.storage.engine.choose import Engine
from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.interface import Job, Short
from homeserver.storage.engine.sqlite import SqliteFile
from tests.support.eventually import HANGING_SECONDS
from tests.support.threaded_databases import Store, T


class ShortcutStore(Store):
    """A store in a file, whose thread commits when the test lets it."""

    def __init__(self, path: Path, *, is_shared: bool = False) -> None:
        self.path = path
        self.may_sync = Event()
        self.may_sync.set()
        self.synced_by: list[int] = []
        self.touched_by: list[int] = []
        self.failure: Exception | None = None
        clock = Clock()
        file = SqliteFile(path)
        self.connect: Callable[[], Connection] = file.connect
        engine = Engine(
            lambda: self.connect(),  # noqa: PLW0108 - a test may have set another
            lambda _: 0,
            is_shared=is_shared,
            connect_for_shortcut=file.connect_for_shortcut,
        )
        super().__init__(f"sqlite:{path}", engine, clock)
        by = {
            "commit": self.synced_by,
            "sync": self.synced_by,
            "touch": self.touched_by,
        }
        for name, those in by.items():
            syncing = self._when_allowed(getattr(self.writer, name), those)
            setattr(self.writer, name, syncing)

    def _when_allowed(
        self, sync: Callable[[], None], by: list[int]
    ) -> Callable[[], None]:
        def sync_when_allowed() -> None:
            assert self.may_sync.wait(HANGING_SECONDS)
            by.append(get_ident())
            if self.failure is not None:
                raise self.failure
            sync()

        return sync_when_allowed

    def begin_short(self, job: Job[T]) -> Deferred[T]:
        """Write something short without waiting."""
        return self.begin_write(Short(job))

    def seen_by_others(self) -> list[str]:
        """The rows that another process sees."""
        with closing(sqlite3.connect(self.path)) as other:
            rows = other.execute("SELECT room_id FROM rooms ORDER BY room_id")
            return [room_id for [room_id] in rows]


MAIN = get_ident()
