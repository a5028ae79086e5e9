"""The stores of two of our names in one database, of each engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.sqlite import SqliteFile
from homeserver.storage.peer_memory import PeerMemory
from tests.support.coroutines import result_of
from tests.support.memory_database import MemoryDatabase
from tests.support.named_stores import NOW, PEER, House
from tests.support.our_names import OTHER_NAME, OUR_NAME
from tests.support.postgres_server import PostgresDatabase


@pytest.fixture(params=["memory", "file", "postgresql"])
def database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[ImmediateDatabase]:
    """An empty store."""
    if request.param == "memory":
        yield MemoryDatabase()
    elif request.param == "file":
        yield ImmediateDatabase(SqliteFile(tmp_path / "homeserver.db").connect())
    else:
        shared: PostgresDatabase = request.getfixturevalue("postgres_database")
        shared.empty()
        yield shared


@pytest.fixture
def houses(database: ImmediateDatabase) -> tuple[House, House]:
    """The stores of two names in one database, of which the first is filled."""
    clock = Clock()
    clock.advance(NOW / 1000)
    memory = PeerMemory(clock)
    ours, others = (House(database, n, memory) for n in (OUR_NAME, OTHER_NAME))
    ours.fill()
    assert all(ours.rows().values())
    result_of(ours.peers.keys(PEER))  # they are remembered
    return ours, others
