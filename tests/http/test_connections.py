"""Which connections there may be, and which one gives way."""

import pytest
from twisted.internet.task import Clock

from homeserver.http.connections import Connections

US, THEM, OTHERS = "192.0.2.1", "192.0.2.2", "192.0.2.3"


class Connection:
    """A connection that waits from the beginning."""

    def __init__(self, listener: "Listener") -> None:
        self._listener = listener
        self._waiting_since: float | None = listener.clock.seconds()
        self.gave_way = False

    @property
    def waiting_since(self) -> float | None:
        """As `Waiting`; the listener counts how often it is asked for."""
        self._listener.looked_at += 1
        return self._waiting_since

    @waiting_since.setter
    def waiting_since(self, since: float | None) -> None:
        self._waiting_since = since

    def give_way(self) -> None:
        """Close; that it is gone is noticed later."""
        self.gave_way = True


class Listener:
    """A listener for so many connections."""

    def __init__(
        self, limit: int = 4, limit_per_client: int | None = None, trusted: str = ""
    ) -> None:
        self.clock = Clock()
        self.looked_at = 0
        self.connections = Connections(
            "federation",
            limit,
            self.clock,
            limit_per_client,
            lambda each: each == trusted,
        )

    def connect(self, address: str, after: float = 0.0) -> Connection | None:
        """Connect after some seconds; None where that is refused."""
        self.clock.advance(after)
        if not self.connections.admit(address):
            return None
        connection = Connection(self)
        self.connections.add(connection, address)
        return connection

    def fill(self, *addresses: str) -> list[Connection]:
        """Connect from addresses, a second apart, and wait for a minute."""
        made = [self.connect(address, 1.0) for address in addresses]
        self.clock.advance(60)
        return [each for each in made if each is not None]


def test_up_to_the_limit() -> None:
    """So many connections are taken; one that is new gives way to none."""
    listener = Listener()
    made = [listener.connect(address) for address in (US, US, THEM, OTHERS)]
    assert None not in made
    assert listener.connect("192.0.2.9") is None
    assert (listener.connections.bound.use(), listener.connections.bound.refusals) == (
        4,
        1,
    )


def test_silent_ones_give_way_oldest_first() -> None:
    """Those of the client that has the most go, one for each that comes."""
    listener = Listener()
    first, second, third, other = listener.fill(US, US, US, THEM)
    assert listener.connect(OTHERS) is not None
    assert [each.gave_way for each in (first, second, third)] == [True, False, False]
    # Two clients have one each by now, and the client has two.
    assert listener.connect("192.0.2.9") is not None
    assert [each.gave_way for each in (second, third, other)] == [True, False, False]
    assert listener.connections.bound.use() == 4


def test_who_waited_longest() -> None:
    """What counts is since when nothing was asked, not when a client connected."""
    listener = Listener()
    first, second, *_ = listener.fill(US, US, US, THEM)
    first.waiting_since = listener.clock.seconds() - 10
    assert listener.connect(OTHERS) is not None
    assert (first.gave_way, second.gave_way) == (False, True)


def test_who_waited_longest_came_late() -> None:
    """Those that came before it have all asked for something since."""
    listener = Listener()
    *asked, third, _ = listener.fill(US, US, US, THEM)
    for each in asked:
        each.waiting_since = listener.clock.seconds() - 10
    assert listener.connect(OTHERS) is not None
    assert [each.gave_way for each in asked] == [False, False]
    assert third.gave_way


@pytest.mark.parametrize("after", [60.0, 1.0])
def test_a_crowd_of_silent_ones_is_not_looked_through(after: float) -> None:
    """Whether they are old enough or not, the first one or two tell."""
    listener = Listener(1000, 500)
    for _ in range(500):
        listener.connect(US)
        listener.clock.advance(0.001)
    listener.clock.advance(after)
    assert (listener.connect(US) is not None) == (after > 2)
    assert listener.looked_at <= 2


def test_nothing_gives_way_to_a_client_that_has_as_many() -> None:
    """A client cannot push another one out with more than that one's share."""
    listener = Listener()
    made = listener.fill(US, US, THEM, THEM)
    assert listener.connect(THEM) is not None  # by its own
    assert [each.gave_way for each in made] == [False, False, True, False]
    assert listener.connect(US) is not None
    assert [each.gave_way for each in made] == [True, False, True, False]


@pytest.mark.parametrize(("silent", "gives_way"), [(1.9, False), (2.0, True)])
def test_silent_is_two_seconds(silent: float, gives_way: bool) -> None:  # noqa: FBT001 - a row
    """A connection has two seconds to say something, whoever needs the place."""
    listener = Listener()
    [first, *_] = [listener.connect(address) for address in (US, US, US, THEM)]
    assert first is not None
    assert (listener.connect(OTHERS, silent) is not None) == gives_way
    assert first.gave_way == gives_way


def test_what_is_answered_does_not_give_way() -> None:
    """Connections on which a request is worked on stay; if all are, nobody comes."""
    listener = Listener()
    made = listener.fill(US, US, US, US)
    for each in made:
        each.waiting_since = None
    assert listener.connect(THEM) is None
    made[2].waiting_since = 1.0
    assert listener.connect(THEM) is not None
    assert [each.gave_way for each in made] == [False, False, True, False]


def test_those_that_are_gone_do_not_count() -> None:
    """A connection that is gone makes room, and is told of once or twice."""
    listener = Listener(2)
    first, _ = listener.fill(US, US)
    for _ in range(2):
        listener.connections.remove(first)
    assert listener.connections.bound.use() == 1
    assert listener.connect(THEM) is not None
    assert not first.gave_way


def test_of_one_client() -> None:
    """A client over its own limit pushes out its own silent one, and no other's."""
    listener = Listener(10, 2)
    other, *made = listener.fill(THEM, US, US)
    assert listener.connect(US) is not None
    assert [each.gave_way for each in (other, *made)] == [False, True, False]
    made[1].waiting_since = None
    assert listener.connect(US) is None


NETWORKS = [
    ("one /64", "2001:db8::1", "2001:db8::2:3:4:5", True),
    ("another /64", "2001:db8::1", "2001:db8:0:1::1", False),
    ("IPv4 in IPv6", "192.0.2.1", "::ffff:192.0.2.1", True),
    ("two of IPv4", "192.0.2.1", "192.0.2.2", False),
    ("two in IPv6", "::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
    ("a link's", "fe80::1%lo", "fe80::2%lo", True),
]


@pytest.mark.parametrize(
    ("first", "second", "is_one"),
    [row[1:] for row in NETWORKS],
    ids=[row[0] for row in NETWORKS],
)
def test_who_is_one_client(first: str, second: str, is_one: bool) -> None:  # noqa: FBT001 - a row
    """Of IPv6 a /64 is one client, of IPv4 an address."""
    listener = Listener(10, 1)
    assert listener.connect(first) is not None
    assert (listener.connect(second) is None) == is_one


def test_trusted_clients() -> None:
    """They have no limit of their own, give way to nobody, and count."""
    listener = Listener(3, 1, trusted=US)
    made = listener.fill(US, US, THEM)
    assert len(made) == 3
    assert listener.connect(US) is not None
    assert [each.gave_way for each in made] == [False, False, True]
    listener.clock.advance(60)
    assert listener.connect(OTHERS) is None
