"""How device lists are fetched from the servers of their users.

Rules: one at a time of each user and few of all; a server that fails is left alone; a
late reply takes the place of no newer list.
"""

import pytest

from homeserver.net.cause import Cause
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.identifiers import UserId
from homeserver.storage import device_lists as stored_lists
from homeserver.storage.device_lists import DeviceListStore
from homeserver.users import device_list_fetches
from tests.support.bobs_devices import PATH, fetched, problem
from tests.support.coroutines import result_of
from tests.support.device_side import Calls, DeviceSide, devices, update
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import BOB
from tests.support.signed_requests import OTHERS, THEM


@pytest.fixture
def side() -> DeviceSide:
    """A server with a room that Bob has joined."""
    return DeviceSide()


def test_one_fetch_of_a_user_at_a_time(side: DeviceSide) -> None:
    """Updates that arrive during a fetch are followed by one more, not by each."""
    side.tell(update(4, 3))
    for number in range(5, 9):
        side.tell(update(number, number - 1))
    assert len(side.remote.asked) == 1
    side.remote.answer(devices(4))
    assert len(side.remote.asked) == 2
    side.remote.answer(devices(8))
    assert len(side.remote.asked) == 2
    assert side.stream_id() == 8


def test_a_server_that_fails_is_left_alone(side: DeviceSide) -> None:
    """Nothing is repeated by itself; a later update is the next occasion."""
    side.tell(update(4, 3))
    side.remote.answer(Refused(BOB.server_name, 500, "M_UNKNOWN", "broken"))
    assert problem(side) == "them.example answers 500 M_UNKNOWN: broken"
    side.clock.advance(4)
    side.tell(update(5, 4))
    assert len(side.remote.asked) == 1
    side.clock.advance(2)
    side.tell(update(6, 5))
    side.remote.answer(Refused(BOB.server_name, 500, "M_UNKNOWN", "broken"))
    side.clock.advance(8)
    side.tell(update(7, 6))
    assert len(side.remote.asked) == 2
    side.clock.advance(3)
    side.tell(update(8, 7))
    side.remote.answer(devices(8))
    assert side.stream_id() == 8


@pytest.mark.parametrize(
    ("answer", "is_of_server"),
    [
        (Unreachable(BOB.server_name, ["no route"]), True),
        (Refused(BOB.server_name, 429, "M_LIMIT_EXCEEDED", "slower"), True),
        (Refused(BOB.server_name, 502, None, "a proxy"), True),
        (Refused(BOB.server_name, 404, "M_NOT_FOUND", "no such user"), False),
        (Refused(BOB.server_name, 403, "M_FORBIDDEN", "not yours"), False),
        ({}, False),
    ],
)
def test_who_is_left_alone(
    side: DeviceSide,
    answer: Json | Exception,
    is_of_server: bool,  # noqa: FBT001 - of a table
) -> None:
    """The server where it would fail for all its users, else the one user."""
    ann = "@ann:them.example"
    side.join(side.room, ann)
    side.tell(update(4, 3))
    side.remote.answer(answer)
    side.tell(update(5, 4), update(5, 4, user=ann))
    others = [PATH.replace("bob", "ann")]
    assert side.remote.asked == [PATH, *([] if is_of_server else others)]
    side.clock.advance(6)
    side.tell(update(6, 5))
    assert side.remote.asked[-1] == PATH


@pytest.mark.parametrize(("asked", "seconds"), [(1.0, 5), (60.0, 60), (1e300, 3600)])
def test_a_server_that_asks_to_be_left_alone(
    side: DeviceSide, asked: float, seconds: int
) -> None:
    """It is, for no less than a pause has and no more than an hour."""
    busy = Refused(
        BOB.server_name, 429, "M_LIMIT_EXCEEDED", "slower", retry_after=asked
    )
    side.tell(update(4, 3))
    side.remote.answer(busy)
    side.clock.advance(seconds - 1)
    side.tell(update(5, 4))
    assert len(side.remote.asked) == 1
    side.clock.advance(2)
    side.tell(update(6, 5))
    assert len(side.remote.asked) == 2


def test_a_user_whose_list_is_wrong(side: DeviceSide) -> None:
    """Its pause is twice as long each time, until the list is right."""
    for stream_id, seconds in ((1, 6), (2, 11), (3, 21)):
        side.tell(update(stream_id))
        side.remote.answer({})
        side.clock.advance(seconds - 2)
        side.tell(update(stream_id))
        assert len(side.remote.asked) == stream_id
        side.clock.advance(2)
    fetched(side, 4)
    side.tell(update(6))
    side.remote.answer({})
    side.clock.advance(6)
    fetched(side, 7)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (devices(4, user="@eve:them.example"), "'@eve:them.example', not '@bob:them"),
        ({}, "`user_id` is missing"),
        ({**devices(4), "devices": [{"device_id": "A", "keys": {}}]}, "`keys` of the"),
        (devices(4, *map(str, range(1001))), "more than 1000 devices"),
        ({**devices(4), "stream_id": None}, "`stream_id`"),
    ],
)
def test_a_wrong_reply(side: DeviceSide, reply: Json, why: str) -> None:
    """Nothing of it is kept, and the reason is shown."""
    side.tell(update(4, 3))
    side.remote.answer(reply)
    [known] = side.kept()
    assert known.devices is None
    assert known.problem is not None
    assert why in known.problem


def test_one_list_is_read_at_a_time(side: DeviceSide) -> None:
    """Each is seen before the next one is read, as they may be large."""
    side.join(side.room, "@ann:them.example")
    side.tell(update(4, 3), update(4, 3, user="@ann:them.example"))
    read: list[str] = []
    side.database.connection.set_trace_callback(read.append)

    def reads() -> int:
        return sum(", devices," in each for each in read)

    async def seen() -> list[tuple[str, int]]:
        return [(x.user.user_id, reads()) async for x in side.lists.each()]

    assert result_of(seen()) == [("@ann:them.example", 1), (BOB.user_id, 2)]


def test_forgotten_during_a_fetch(side: DeviceSide) -> None:
    """A reply about a user that left meanwhile brings nothing back."""
    side.tell(update(4, 3))
    side.leave(BOB)
    assert side.kept() == []
    side.remote.answer(devices(4))
    assert result_of(DeviceListStore(side.database, OUR_NAME).users()) == []


class OtherProcess:
    """A process of the same endpoint, over the same store."""

    def __init__(self, side: DeviceSide) -> None:
        self.remote = Calls()
        self._lists = side.process(self.remote)

    def tell(self, *edus: Json) -> None:
        """Let an update come here."""
        cause = Cause("192.0.2.1")
        result_of(self._lists.take_in(THEM.server_name, edus, cause))


@pytest.mark.parametrize("late", [devices(6), Refused(BOB.server_name, 500, None, "")])
def test_a_reply_after_that_of_another_process(
    side: DeviceSide, late: Json | Exception
) -> None:
    """A late reply neither takes the place of a newer list nor makes it outdated."""
    other = OtherProcess(side)
    side.tell(update(6))
    other.tell(update(7))
    other.remote.answer(devices(7, "B"))
    other.tell(update(8, 7, device_id="C"))
    assert side.stream_id() == 8
    side.remote.answer(late)
    assert side.stream_id() == 8
    assert (side.remote.waiting, other.remote.waiting) == ([], [])


def test_a_reply_from_before_an_update_at_another_process(side: DeviceSide) -> None:
    """It does not make the list up to date, and is followed by another question."""
    other = OtherProcess(side)
    side.tell(update(6))
    other.tell(update(7))
    side.remote.answer(devices(6))
    assert side.stream_id() is None
    side.remote.answer(devices(7))
    assert side.stream_id() == 7
    other.remote.answer(devices(7))
    assert side.stream_id() == 7
    assert len(side.remote.asked) == 2
    assert len(other.remote.asked) == 1


def test_a_reply_from_before_a_user_came_again(side: DeviceSide) -> None:
    """It does not bring the new list of the user up to date."""
    other = OtherProcess(side)
    side.tell(update(6))
    side.leave(BOB)
    assert side.kept() == []
    side.join(side.room)
    other.tell(update(7))
    side.remote.answer(devices(6))
    assert side.stream_id() is None
    other.remote.answer(devices(7))
    assert side.stream_id() == 7


def test_few_fetches_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many users an origin tells of, eight are asked for and some wait."""
    monkeypatch.setattr(device_list_fetches, "_MAX_WAITING", 3)
    side = DeviceSide()
    users = [UserId.parse(f"@u{number}:them.example") for number in range(15)]
    for each in users:
        side.join(side.room, each.user_id)
    side.tell(*(update(4, 3, user=each.user_id) for each in users))
    assert len(side.remote.waiting) == 8
    said = [each.problem for each in side.kept()]
    assert sum("too many others" in str(each) for each in said) == 15 - 8 - 3
    while side.remote.waiting:
        call, _ = side.remote.waiting[0]
        side.remote.answer(devices(4, user=call.path.rpartition("/")[2]))
    assert len(side.remote.asked) == 11


def test_stopped(side: DeviceSide) -> None:
    """Fetches that run end, and say nothing more."""
    side.tell(update(4, 3))
    side.lists.stop()
    side.tell(update(5, 4))
    assert len(side.remote.asked) == 2


def test_a_flood_of_users(side: DeviceSide, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's users take the places of each other, not those of other servers'."""
    monkeypatch.setattr(stored_lists, "MAX_OF_ONE", (3, 10_000))
    store = DeviceListStore(side.database, OUR_NAME)
    fetched(side)
    others = UserId.parse(f"@ann:{OTHERS.server_name}")
    known = result_of(store.find(BOB))
    assert known is not None
    result_of(store.change(others, lambda _: stored_lists.KnownDevices(others)))
    for number in range(1000):
        each = UserId.parse(f"@u{number}:{THEM.server_name}")
        new = stored_lists.KnownDevices(each, known.devices)
        result_of(store.change(each, lambda _, new=new: new))  # type: ignore[misc]
    kept = [each.user_id for each in result_of(store.users())]
    last = [f"@u{number}:them.example" for number in (997, 998, 999)]
    assert kept == [others.user_id, *last]
