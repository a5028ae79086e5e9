"""The turns of rooms that are joined, beside other processes."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from homeserver.protocol.identifiers import RoomId
from homeserver.rooms.joins import Joins, SharedJoins
from tests.support.coroutines import result_of
from tests.support.our_names import OUR_NAME

ROOM, OTHER = RoomId("!a:b.example"), RoomId("!c:b.example")


class OfProcess:
    """The locks of one process; all processes have one table of owners."""

    def __init__(self, owners: dict[str, object]) -> None:
        self._owners = owners

    def take(self, key: str) -> bool:
        """As `Locks.take`."""
        return self._owners.setdefault(key, self) is self

    def release(self, key: str) -> None:
        """As `Locks.release`."""
        if self._owners.get(key) is self:
            del self._owners[key]


class Stage:
    """Two processes of one endpoint."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.owners: dict[str, object] = {}
        self.first, self.second = (
            Joins(SharedJoins(OfProcess(self.owners), self.clock, OUR_NAME))
            for _ in range(2)
        )

    def join(self, joins: Joins, end: Deferred[None]) -> Deferred[None]:
        """A join of the room that ends with `end`."""

        async def hold() -> None:
            async with joins.turn(ROOM):
                await end

        return Deferred.fromCoroutine(hold())

    def wait(self, joins: Joins, *rooms: RoomId) -> Deferred[None]:
        """Wait for the joins of rooms."""
        return Deferred.fromCoroutine(joins.ended(rooms, self.clock))


def has_ended(*works: Deferred[None]) -> bool:
    """Whether all of these have ended."""
    return all(each.called for each in works)


def test_another_process_waits_for_a_join() -> None:
    """It goes on when the join has ended, and no lock is left."""
    stage = Stage()
    end: Deferred[None] = Deferred()
    joining = stage.join(stage.first, end)
    waiting = [stage.wait(each, ROOM) for each in (stage.first, stage.second)]
    stage.clock.advance(1)
    assert not has_ended(waiting[0])
    assert not has_ended(waiting[1])
    result_of(stage.second.ended([OTHER], stage.clock))
    end.callback(None)
    stage.clock.advance(1)
    assert has_ended(joining)
    assert has_ended(*waiting)
    assert stage.owners == {}


def test_it_waits_not_for_ever() -> None:
    """The limit is that of joins in one process."""
    stage = Stage()
    end: Deferred[None] = Deferred()
    joining = stage.join(stage.first, end)
    waiting = stage.wait(stage.second, ROOM)
    stage.clock.pump([0.5] * 20)
    assert has_ended(waiting)
    # What has given up holds nothing, so that a next one can wait.
    again = stage.wait(stage.second, ROOM)
    assert not has_ended(again)
    end.callback(None)
    stage.clock.advance(1)
    assert has_ended(again)
    assert has_ended(joining)
    assert stage.owners == {}


def test_one_process_joins_at_a_time() -> None:
    """The second join begins after the first one has ended."""
    stage = Stage()
    ends: list[Deferred[None]] = [Deferred(), Deferred()]
    stage.join(stage.first, ends[0])
    second = stage.join(stage.second, ends[1])
    ends[1].callback(None)
    stage.clock.advance(1)
    assert not has_ended(second)
    ends[0].callback(None)
    stage.clock.advance(1)
    assert has_ended(second)
    assert stage.owners == {}
