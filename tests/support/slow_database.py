"""Another process at a store in PostgreSQL, which commits when a test says so."""

from typing import TypeVar

import pytest

from homeserver.storage.engine.interface import Job
from homeserver.storage.engine.postgres import connect
from tests.support.eventually import HANGING_SECONDS
from tests.support.threaded_databases import Store

_T = TypeVar("_T")


class Slow:
    """Another process, which has written and not committed yet."""

    def __init__(self, url: str) -> None:
        self._connection = connect(url)

    async def write(self, job: Job[_T]) -> _T:
        """As `Database.write`, without the commit."""
        self._connection.begin()
        return job(self._connection.cursor())

    async def read(self, job: Job[_T]) -> _T:
        """As `Database.read`."""
        return job(self._connection.cursor())

    async def settle(self) -> None:
        """As `Database.settle`: who reads sees what is on the disk."""

    def commit(self) -> None:
        """Commit at last."""
        self._connection.commit()

    def close(self) -> None:
        """Undo what was not committed."""
        self._connection.close()


def wait_until_blocked(store: Store) -> None:
    """Wait until the writer of `store` waits for a row that somebody holds."""
    store.start()
    own = store.other()
    try:
        for _ in range(int(HANGING_SECONDS * 100)):
            waiting = own.cursor().execute(
                "SELECT count(*), pg_sleep(0.01) FROM pg_locks WHERE NOT granted"
            )
            if waiting.fetchone()[0]:
                return
    finally:
        own.close()
    pytest.fail("nobody waits")
