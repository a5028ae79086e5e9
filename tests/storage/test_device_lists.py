"""The device lists of other servers' users in the store."""

from pathlib import Path
from typing import TypeVar

import pytest

from homeserver.protocol.device_lists import DeviceList, ListedDevice
from homeserver.protocol.identifiers import UserId
from homeserver.storage import device_lists
from homeserver.storage.device_lists import DeviceListStore, KnownDevices
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Job, Short
from homeserver.storage.engine.sqlite import SqliteFile
from tests.support.coroutines import result_of
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME

T = TypeVar("T")


def user(number: int, server: str = "them.example") -> UserId:
    """A user of another server."""
    return UserId.parse(f"@u{number}:{server}")


def put(store: DeviceListStore, who: UserId, name: str = "") -> KnownDevices:
    """Let a user have a device of that name."""
    devices = DeviceList(1, {"A": ListedDevice("A", name, {"keys": {}})}, {"m": 1})
    known = KnownDevices(who, devices, "old", "x1")
    assert result_of(store.change(who, lambda _: known)) == known
    return known


def kept(store: DeviceListStore) -> list[str]:
    """The users of whom something is known."""
    return [each.user_id for each in result_of(store.users())]


def test_kept(tmp_path: Path) -> None:
    """A list survives the process, whole, until it is changed or forgotten."""
    path = tmp_path / "homeserver.db"
    known = put(
        DeviceListStore(ImmediateDatabase(SqliteFile(path).connect()), OUR_NAME),
        user(1),
    )
    store = DeviceListStore(ImmediateDatabase(SqliteFile(path).connect()), OUR_NAME)
    assert result_of(store.find(user(1))) == known
    assert result_of(store.find(user(2))) is None
    result_of(store.change(user(1), lambda before: before))
    result_of(store.change(user(1), lambda _: None))
    assert kept(store) == []


def test_a_list_is_not_read_by_the_reactor() -> None:
    """It may have half a megabyte, which is no short job."""
    jobs: list[object] = []

    class Database(MemoryDatabase):
        async def read(self, job: Job[T]) -> T:
            jobs.append(job)
            return await super().read(job)

    result_of(DeviceListStore(Database(), OUR_NAME).find(user(1)))
    assert [isinstance(job, Short) for job in jobs] == [False]


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the number or the bytes, the lists go that were changed longest ago."""
    store = DeviceListStore(MemoryDatabase(), OUR_NAME)
    monkeypatch.setattr(device_lists, "MAX_OF_ONE", (2, 5000))
    monkeypatch.setattr(device_lists, "MAX_OF_ALL", (4, 8000))
    put(store, user(1))
    put(store, user(2))
    put(store, user(1), "again")
    put(store, user(3))
    assert kept(store) == ["@u1:them.example", "@u3:them.example"]
    put(store, user(4), "x" * 4000)
    assert kept(store) == ["@u4:them.example"]
    for number in range(4):
        put(store, user(number, f"s{number}.example"))
    assert kept(store) == [f"@u{number}:s{number}.example" for number in range(4)]
    put(store, user(5, "s5.example"), "x" * 4000)
    put(store, user(6, "s6.example"), "x" * 4000)
    assert kept(store) == ["@u6:s6.example"]


def test_bounds_cost_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sizes of all lists and the oldest of them are read from indexes alone."""
    monkeypatch.setattr(device_lists, "MAX_OF_ONE", (2, 5000))
    monkeypatch.setattr(device_lists, "MAX_OF_ALL", (3, 8000))
    database = MemoryDatabase()
    store = DeviceListStore(database, OUR_NAME)
    for number in range(2):
        put(store, user(number))
        put(store, user(number, "s.example"))
    statements: list[str] = []
    database.connection.set_trace_callback(statements.append)
    put(store, user(3))
    database.connection.set_trace_callback(None)
    looks = [each for each in statements if "length" in each and "SELECT" in each[:6]]
    assert len(looks) == 3  # of the server, the oldest of the server, of all
    for each in looks:
        plan = database.connection.execute(f"EXPLAIN QUERY PLAN {each}").fetchall()
        assert [step[3].count("COVERING INDEX") for step in plan] == [1], plan
