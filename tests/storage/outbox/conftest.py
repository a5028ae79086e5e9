"""Endpoints with a store, alone or two of them, at a time that the test sets."""

import pytest

from homeserver.storage.engine.immediate import ImmediateDatabase
from tests.support.endpoint_store import Endpoint, StoreTime


@pytest.fixture
def time() -> StoreTime:
    """The time of the store."""
    return StoreTime()


@pytest.fixture
def own(database: ImmediateDatabase, time: StoreTime) -> Endpoint:
    """An endpoint with an empty store."""
    return Endpoint(database, time)


@pytest.fixture
def pair(database: ImmediateDatabase, time: StoreTime) -> tuple[Endpoint, Endpoint]:
    """Two endpoints that share it."""
    return (
        Endpoint(database, time, "first", is_shared=True),
        Endpoint(database, time, "second", is_shared=True),
    )
