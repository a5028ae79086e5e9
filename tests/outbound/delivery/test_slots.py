"""Which destinations hold a slot, and which ones go on without it."""

import pytest
from twisted.internet.task import Clock

from homeserver.outbound.delivery.slots import MAX_FAILING, MAX_FIRST, MAX_SECOND, Slots
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.queue_id import QueueId
from tests.support.our_names import queue_to


class Room:
    """Slots, with a clock, and with a note of what was aborted."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.aborted: list[str] = []
        self.slots = Slots(
            self.clock, lambda queue, _: self.aborted.append(queue.destination.name)
        )

    def begin(self, *names: str, is_failing: bool = False) -> None:
        """Let destinations begin."""
        for name in names:
            self.slots.begin(queue_to(name), is_failing=is_failing)

    def hang(self, *names: str) -> None:
        """Let destinations begin, and move to the second class."""
        self.fill(len(names))
        self.begin(*names)
        self.clock.advance(1)
        assert self.slots.relieve() is None
        for number in range(MAX_FIRST - len(names)):
            self.end(f"filler.filler{number}")

    def fill(self, but: int) -> None:
        """Fill the first class but for so many."""
        self.begin(*(f"filler.filler{n}" for n in range(MAX_FIRST - but)))

    def end(self, name: str) -> None:
        """Let the turn of a destination end."""
        self.slots.end(queue_to(name))

    @property
    def use(self) -> tuple[int, int]:
        """How many there are in each class."""
        first, second = self.slots.bounds
        return first.use(), second.use()


@pytest.fixture
def room() -> Room:
    """Empty slots."""
    return Room()


def names(number: int, domain: str = "test{}.test{}") -> list[str]:
    """So many server names; each of another domain unless one is given."""
    return [f"a{n}.{domain}".format(n, n) for n in range(number)]


def test_empty(room: Room) -> None:
    """Where nothing is sent, all slots are free, and there is nothing to relieve."""
    assert room.slots.quota() == Quota(MAX_FIRST, MAX_FAILING)
    assert room.slots.relieve() is None


def test_failing_destinations_have_fewer(room: Room) -> None:
    """Destinations that failed last time get no more than half of the slots."""
    room.begin(*names(MAX_FAILING), is_failing=True)
    room.clock.advance(0.5)
    assert room.slots.quota() == Quota(MAX_FIRST - MAX_FAILING, 0)
    room.end("a0.test0.test0")
    assert room.slots.quota() == Quota(MAX_FIRST - MAX_FAILING + 1, 1)


def test_few_free_slots(room: Room) -> None:
    """Failing destinations get no slot that is not there."""
    room.begin(*names(MAX_FIRST - 3))
    assert room.slots.quota() == Quota(3, 3)


def test_what_hangs_does_not_count(room: Room) -> None:
    """Once all slots are taken, those that are held for a second are free again."""
    room.begin(*names(MAX_FIRST))
    assert room.slots.quota().total == 0
    assert room.slots.relieve() == 1.0
    room.clock.advance(0.75)
    assert room.slots.relieve() == 0.25
    assert room.use == (MAX_FIRST, 0)
    room.clock.advance(0.25)
    assert room.slots.relieve() is None
    assert room.use == (0, MAX_FIRST)
    assert room.slots.quota().total == MAX_FIRST
    assert room.aborted == []


def test_those_that_are_young_keep_their_slots(room: Room) -> None:
    """Only those that are held for a second go."""
    first, *others = names(MAX_FIRST)
    room.begin(first)
    room.clock.advance(0.5)
    room.begin(*others)
    assert room.slots.relieve() == 0.5
    room.clock.advance(0.5)
    assert room.slots.relieve() is None
    assert room.use == (MAX_FIRST - 1, 1)


def test_free_slots_move_nobody(room: Room) -> None:
    """While there is room, nothing is moved, however long it takes."""
    room.begin(*names(MAX_FIRST - 1))
    room.clock.advance(60)
    assert room.slots.relieve() is None
    assert room.use == (MAX_FIRST - 1, 0)


def test_failing_attempts_have_a_rate(room: Room) -> None:
    """However short they are, so many begin in a second, several at a time."""

    def fail() -> int:
        failing = names(room.slots.quota().failing)
        room.begin(*failing, is_failing=True)
        for name in failing:
            room.end(name)
        return len(failing)

    assert fail() == MAX_FAILING
    assert room.slots.quota() == Quota(MAX_FIRST, 0)
    assert room.slots.relieve() == 0.5
    room.clock.advance(0.25)
    assert room.slots.quota() == Quota(MAX_FIRST, 0)
    assert room.slots.relieve() == 0.25
    room.clock.advance(0.25)
    assert room.slots.relieve() is None
    begun = []
    for _ in range(100):
        begun.append(fail())
        room.clock.advance(0.125)
    assert set(begun) == {0, 10}
    assert sum(begun) == 250  # in twelve seconds and a half
    room.clock.advance(-60)
    assert room.slots.quota() == Quota(MAX_FIRST, 0)


def test_failing_ones_make_room_for_each_other(room: Room) -> None:
    """Where their own slots are taken, failing destinations go, and no other."""
    room.begin("healthy.test")
    room.begin(*names(MAX_FAILING), is_failing=True)
    room.clock.advance(1)
    assert room.slots.relieve() is None
    assert room.use == (1, MAX_FAILING)
    room.clock.advance(1.5)
    assert room.slots.quota() == Quota(MAX_FIRST - 1, MAX_FAILING)


def test_answer_brings_a_slot_back(room: Room) -> None:
    """A destination that answers goes on in the first class, and has not failed."""
    room.hang("slow.test")
    room.slots.go_on(queue_to("slow.test"))
    assert room.use == (1, 0)
    room.begin("failing.test", is_failing=True)
    room.slots.go_on(queue_to("failing.test"))
    room.clock.advance(0.1)
    assert room.slots.quota().failing == MAX_FAILING


def test_answer_where_all_slots_are_taken(room: Room) -> None:
    """A slow destination that answers goes on in the second class while that is so."""
    room.hang("slow.test", "slower.test")
    room.fill(0)
    room.slots.go_on(queue_to("slow.test"))
    assert room.use == (MAX_FIRST, 2)


def test_next_attempt_is_young(room: Room) -> None:
    """With each answer the time begins anew."""
    busy, *others = names(MAX_FIRST)
    room.begin(busy)
    room.clock.advance(0.9)
    room.slots.go_on(queue_to(busy))
    room.begin(*others)
    room.clock.advance(0.5)
    assert room.slots.relieve() == 0.5


def test_end(room: Room) -> None:
    """A turn that ends frees its slot, in either class, once."""
    room.hang("slow.test")
    room.begin("a.test")
    for name in ("slow.test", "a.test", "a.test"):
        room.end(name)
    assert room.use == (0, 0)


def test_second_class_is_bounded(room: Room) -> None:
    """Of too many that hang, the oldest are aborted, and that is counted."""
    for batch in range(MAX_SECOND // MAX_FIRST):
        room.begin(*names(MAX_FIRST, f"x{batch}x{{}}.y{batch}y{{}}"))
        room.clock.advance(1)
        room.slots.relieve()
    assert room.use == (0, MAX_SECOND)
    assert room.aborted == []
    room.hang("one.test", "two.example")
    assert room.aborted == names(MAX_FIRST, "x0x{}.y0y{}")
    assert room.slots.bounds[1].refusals == MAX_FIRST


def test_crowd_pays_for_itself(room: Room) -> None:
    """The one that is aborted is of the domain that has most of them."""
    room.hang("honest.example")
    for batch in range(MAX_SECOND // MAX_FIRST):
        room.begin(*(f"a{n}.b{batch}.crowd.test" for n in range(MAX_FIRST)))
        room.clock.advance(1)
        room.slots.relieve()
    assert room.aborted == ["a0.b0.crowd.test"]


def test_server_of_ours_pays_for_itself(room: Room) -> None:
    """The one that is aborted is of our server that has most of them."""
    us, other = map(ServerName.parse, ["us.test", "other.test"])
    for batch in range(MAX_SECOND // MAX_FIRST + 1):
        for number in range(MAX_FIRST):
            # The other server's are of one domain, and the oldest; it has half of all.
            ours = other if batch < 9 else us
            domain = "crowd.test" if ours is other else f"b{batch}.test{number}"
            destination = ServerName.parse(f"a{batch}x{number}.{domain}")
            room.slots.begin(QueueId(ours, destination), is_failing=False)
        room.clock.advance(1)
        room.slots.relieve()
    assert len(room.aborted) == MAX_FIRST
    assert all(name.startswith("a9x") for name in room.aborted)


def test_aborted_turn_that_goes_on(room: Room) -> None:
    """A turn that was answered in the very moment of its end has a slot again."""
    room.slots.go_on(queue_to("late.test"))
    assert room.use == (1, 0)


def test_crowded_domains(room: Room) -> None:
    """A domain that has its share is named, so that others go first."""
    room.begin(*names(19, "crowd.test"))
    assert room.slots.quota().crowded == frozenset()
    room.begin("a.crowd.test:1")
    assert room.slots.quota().crowded == {"crowd.test"}


def test_share_of_a_network(room: Room) -> None:
    """Of those that are reached in one network, the oldest beyond a share move on."""
    many = names(25)
    room.begin(*many, "elsewhere.test")
    room.slots.reach(queue_to("elsewhere.test"), "198.51.100.1")
    for number, name in enumerate(many):
        room.slots.reach(queue_to(name), f"192.0.2.{number}")
    assert room.use == (21, 5)
    assert "192.0.2.0/24" in room.slots.quota().crowded
    room.slots.reach(queue_to(many[0]), "192.0.2.1")
    room.slots.reach(queue_to("unknown.test"), "192.0.2.1")
    assert room.use == (21, 5)
    for name in many[:5]:
        room.end(name)
    assert room.use == (21, 0)
