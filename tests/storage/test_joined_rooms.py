"""Changes of rooms in a store that several processes share."""

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import RoomId
from homeserver.storage import room_members
from homeserver.storage.joined_rooms import RoomStore
from homeserver.storage.notifier import Changes
from homeserver.storage.room_rows import RoomChange, RoomChanged
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OUR_NAME
from tests.support.threaded_databases import Store, insert, rooms

ROOM = RoomId("!r:us.example")


def test_a_room_that_another_process_has_changed(tmp_path: Path) -> None:
    """Its change alone fails: the store is well, and commits what came with it."""
    store = Store(f"sqlite:{tmp_path / 'homeserver.db'}")
    changes = Changes(Clock())
    mine = RoomStore(store.database, OUR_NAME, lambda _: 0, changes, is_shared=True)
    new = RoomChange(ROOM, "10", 0, [], 0)
    assert store.wait(store.begin(mine.record(new)))
    late = store.begin(mine.record(new))
    beside = store.begin_write(insert("beside"))
    assert store.wait(beside) == "beside"
    with pytest.raises(RoomChanged, match="another worker has changed !r:us") as found:
        store.wait(late)
    assert (found.value.status, found.value.retry_after) == (503, 1)
    assert store.database.problem is None
    assert store.read(rooms) == ["beside"]
    store.close()


def test_the_way_to_shared_rooms() -> None:
    """The rooms of the user are looked up, then users of ours in each of them."""
    database = MemoryDatabase()
    plan = database.connection.execute(
        f"EXPLAIN QUERY PLAN {room_members._IS_SHARING}", ("us.example", "@bob:them")
    )
    first, second = [step for *_, step in plan.fetchall()]
    assert first.startswith("SEARCH m ")
    assert first.endswith("(server_name=? AND user_id=?)")
    assert second.startswith("SEARCH o ")
    assert second.endswith("(server_name=? AND room_id=? AND peer=?)")
