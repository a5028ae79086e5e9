"""The engines that the stores are tested with, and a store of peers."""

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.peers import PeerStore
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.postgres_server import PostgresDatabase


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> ImmediateDatabase:
    """An empty store of each engine, whose jobs are done at once."""
    if request.param == "sqlite":
        return MemoryDatabase()
    shared: PostgresDatabase = request.getfixturevalue("postgres_database")
    shared.empty()
    return shared


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database in a file is."""
    return tmp_path / "homeserver.db"


@pytest.fixture
def peer_store(database: ImmediateDatabase) -> PeerStore:
    """A store that knows nobody."""
    return PeerStore(database, OUR_NAME, Clock())
