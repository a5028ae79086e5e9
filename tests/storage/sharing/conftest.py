"""One store in PostgreSQL, and two processes that share it."""

from collections.abc import Iterator

import pytest

from tests.support.postgres_server import Server
from tests.support.slow_database import Slow
from tests.support.threaded_databases import Store


@pytest.fixture
def url(postgres: Server) -> str:
    """Where an empty store is."""
    return postgres.new_store()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A process that shares it."""
    store = Store(url)
    yield store
    store.close()


@pytest.fixture
def slow(url: str, store: Store) -> Iterator[Slow]:
    """Another process that shares the store."""
    slow = Slow(url)
    yield slow
    slow.close()
