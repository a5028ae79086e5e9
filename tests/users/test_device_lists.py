"""The devices of other servers' users that are in rooms of ours.

Rules: each update is applied to the list of the one before it, or the list is fetched;
it goes with the last room that is shared.
"""

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import RoomId
from homeserver.storage.device_lists import DeviceListStore
from homeserver.storage.engine.interface import Cursor
from tests.support.bobs_devices import PATH, fetched, problem
from tests.support.coroutines import result_of
from tests.support.device_side import DeviceSide, devices, update
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import ALICE, BOB
from tests.support.signed_requests import OTHERS


@pytest.fixture
def side() -> DeviceSide:
    """A server with a room that Bob has joined."""
    return DeviceSide()


def test_the_first_update(side: DeviceSide) -> None:
    """The list is fetched, as there may be other devices than the one that is told."""
    side.tell(update(4, 3))
    assert "not fetched yet" in problem(side)
    assert side.remote.asked == [PATH]
    side.remote.answer(devices(4, "A", "B"))
    [known] = side.kept()
    assert known.problem is None
    assert known.devices is not None
    assert (known.devices.stream_id, [*known.devices.devices]) == (4, ["A", "B"])


def test_updates_in_order(side: DeviceSide) -> None:
    """Each is applied to the list of the one before it, without a question."""
    fetched(side, 4, "A")
    side.tell(update(5, 4, device_id="B"), update(6, 5, deleted=True))
    found = result_of(side.lists.known(BOB)).devices
    assert found is not None
    assert (found.stream_id, [*found.devices]) == (6, ["B"])
    assert len(side.remote.asked) == 1


def test_many_updates_of_a_transaction(side: DeviceSide) -> None:
    """They are one change of the list, however large it is."""
    fetched(side, 0, *map(str, range(900)))
    written: list[str] = []
    side.database.connection.set_trace_callback(written.append)
    many = [update(n, n - 1, device_id=f"new {n}") for n in range(1, 101)]
    side.tell(*many)
    side.database.connection.set_trace_callback(None)
    assert sum("INTO device_lists" in each for each in written) == 1
    found = result_of(side.lists.known(BOB)).devices
    assert found is not None
    assert (found.stream_id, len(found.devices)) == (100, 1000)


def test_updates_that_make_a_list_too_large(side: DeviceSide) -> None:
    """What counts is the list after all updates of the transaction."""
    fetched(side, 0, *map(str, range(1000)))
    fewer = update(2, 1, device_id="0", deleted=True)
    side.tell(update(1, 0, device_id="more"), fewer)
    assert side.stream_id() == 2
    side.tell(update(3, 2, device_id="0"), update(4, 3, device_id="one too many"))
    assert "more than 1000 devices" in problem(side)
    assert len(side.remote.asked) == 2


@pytest.mark.parametrize(
    "edu",
    [
        update(9, 7),
        update(9),
        update(2**53 - 1, -(2**53) + 1),
        update(5, 4, keys={"user_id": BOB.user_id}),
    ],
)
def test_an_update_that_cannot_be_applied(side: DeviceSide, edu: Json) -> None:
    """The list is fetched again, and stays as it is until then."""
    fetched(side, 4, "A")
    side.tell(edu)
    found = result_of(side.lists.known(BOB))
    assert found.problem is not None
    assert found.devices is not None
    assert found.devices.stream_id == 4
    side.remote.answer(devices(10, "C"))
    assert side.stream_id() == 10


def test_users_of_another_server(side: DeviceSide) -> None:
    """An update is taken from the user's own server alone."""
    side.tell(update(4, 3), peer=OTHERS)
    side.tell(update(4, 3, user=ALICE.user_id))
    assert side.kept() == []
    assert side.remote.asked == []


def test_users_without_a_room(side: DeviceSide) -> None:
    """Nothing is kept and nothing is asked of a user that is in no room of ours."""
    side.tell(update(4, 3, user="@eve:them.example"))
    assert side.kept() == []
    assert side.remote.asked == []


@pytest.mark.parametrize("by_update", [False, True])
def test_a_user_that_leaves(side: DeviceSide, by_update: bool) -> None:  # noqa: FBT001 - of a table
    """The list is forgotten when the user is in no room of ours any more."""
    fetched(side)
    side.leave(BOB)
    if by_update:
        side.tell(update(2, 1))
        assert result_of(DeviceListStore(side.database, OUR_NAME).find(BOB)) is None
    with pytest.raises(NotFound):
        result_of(side.lists.known(BOB))
    assert side.kept() == []
    assert len(side.remote.asked) == 1


def test_no_room_is_read(side: DeviceSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a stranger's update nor one of a user in a room reads it from the store.

    No room is in memory after a restart.
    """
    read: list[RoomId] = []
    monkeypatch.setattr(
        side.ours.store, "room", lambda room_id, _: read.append(room_id)
    )
    side.ours.rooms._rooms.clear()
    side.tell(update(4, 3), update(4, 3, user="@eve:them.example"))
    side.remote.answer(devices(4))
    assert [each.user for each in side.kept()] == [BOB]
    assert read == []
    assert len(side.remote.asked) == 1


def test_a_user_that_comes_back(side: DeviceSide) -> None:
    """What was known is not shown as up to date: updates may have been missed."""
    fetched(side, 4, "A")
    side.leave(BOB)
    side.join(side.room)
    assert side.kept() == []
    side.tell(update(9, 8))
    assert "not fetched yet" in problem(side)
    side.remote.answer(devices(9))
    assert side.stream_id() == 9


def test_a_user_with_another_room(side: DeviceSide) -> None:
    """The list stays as long as one shared room is left, and goes with that."""
    fetched(side)
    other = side.room
    side.room = side.ours.create("11")
    side.ours.send(side.room, "m.room.join_rules", {"join_rule": "public"}, "")
    side.join(side.room)
    side.leave(BOB)
    assert side.stream_id() == 1
    side.ours.send(other, "m.room.member", {"membership": "leave"}, ALICE.user_id)
    assert result_of(DeviceListStore(side.database, OUR_NAME).find(BOB)) is None


def test_a_room_that_is_forgotten(side: DeviceSide) -> None:
    """The lists of its users go with it."""
    fetched(side)
    result_of(side.ours.rooms.forget(side.room.room_id))
    assert result_of(DeviceListStore(side.database, OUR_NAME).find(BOB)) is None


def test_a_room_of_before(side: DeviceSide) -> None:
    """Its users share a room again once it has changed."""

    def empty(cursor: Cursor) -> None:
        cursor.execute("DELETE FROM room_members")
        cursor.execute("UPDATE joined_rooms SET members_state = 0")

    result_of(side.database.write(empty))
    side.ours.rooms._rooms.clear()
    side.tell(update(4, 3))
    assert side.remote.asked == []
    side.ours.send(side.room, "m.room.message", {"body": "hello"})
    fetched(side)


def test_signing_keys(side: DeviceSide) -> None:
    """They are part of a list that is kept, and make none."""
    key: Json = {"usage": ["master"]}
    content: Json = {"user_id": BOB.user_id, "master_key": key}
    edu: Json = {"edu_type": "m.signing_key_update", "content": content}
    side.tell(edu)
    assert side.kept() == []
    fetched(side)
    side.tell(edu)
    [known] = side.kept()
    assert known.devices is not None
    assert known.devices.master_key == key
