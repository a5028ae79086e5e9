"""An endpoint that has the store for itself, at a time that the test sets."""

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
