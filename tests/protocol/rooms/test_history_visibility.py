"""Another server reads what one of its users may read."""

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.history_visibility import may_read, visibility
from tests.protocol.rooms.room import ALICE, BART, DAN, INA, OLIVE, Room

KIND = "m.room.history_visibility"


def server(user: str) -> ServerName:
    """The server of a user."""
    return ServerName.parse(user.partition(":")[2])


def room_of(value: object) -> Room:
    """A room with that history visibility."""
    return Room("12").set(KIND, ALICE, {"history_visibility": value})


# The visibility; who reads a message: the joined, the invited, the banned, the
# stranger, and a stranger that has come in since.
ROWS: list[tuple[object, tuple[bool, bool, bool, bool, bool]]] = [
    ("world_readable", (True, True, True, True, True)),
    ("shared", (True, False, False, False, True)),
    ("invited", (True, True, False, False, False)),
    ("joined", (True, False, False, False, False)),
    ("private", (True, False, False, False, True)),
    (5, (True, False, False, False, True)),
    (["joined"], (True, False, False, False, True)),
]


@pytest.mark.parametrize(("value", "readers"), ROWS)
def test_messages(value: object, readers: tuple[bool, ...]) -> None:
    """The state at the event decides, and with `shared` later members count."""
    room = room_of(value)
    event = room.make("m.room.message", ALICE, {})
    users = [(DAN, False), (INA, False), (BART, False), (OLIVE, False), (OLIVE, True)]
    found = tuple(
        may_read(event, room.state, server(user), is_resident=has_come)
        for user, has_come in users
    )
    assert found == readers


def test_the_default() -> None:
    """Without the event, and with a value that is not understood, it is `shared`."""
    assert visibility(Room("12").state) == "shared"
    assert visibility(room_of("x").state) == "shared"
    assert visibility(room_of("joined").state) == "joined"


def reads(room: Room, event: Event, user: str) -> bool:
    """Whether the server of a user that is not in the room now reads an event."""
    return may_read(event, room.state, server(user), is_resident=False)


@pytest.mark.parametrize(
    ("before", "after"), [("world_readable", "joined"), ("joined", "world_readable")]
)
def test_a_change_of_visibility(before: str, after: str) -> None:
    """It is read by users who may read before it or after it."""
    room = room_of(before)
    event = room.make(KIND, ALICE, {"history_visibility": after}, "")
    assert reads(room, event, OLIVE)
    elsewhere = room.make(KIND, ALICE, {"history_visibility": after}, "x")
    assert reads(room, elsewhere, OLIVE) is (before == "world_readable")


def test_ones_own_membership() -> None:
    """A user who leaves, is banned or joins reads that; others do not."""
    room = room_of("joined")
    ban = room.membership(ALICE, DAN, "ban")
    assert reads(room, ban, DAN)
    assert not reads(room, ban, OLIVE)
    join = room.membership(OLIVE, OLIVE, "join")
    assert reads(room, join, OLIVE)
    assert not reads(room, join, INA)
    invite = room.membership(ALICE, OLIVE, "invite")
    assert not reads(room, invite, OLIVE)


def test_other_state_of_ones_own() -> None:
    """Only what sets a membership is read by the state before it as well."""
    room = room_of("joined")
    leave = room.membership(DAN, DAN, "leave")
    assert reads(room, leave, DAN)
    after = Room("12").set(KIND, ALICE, {"history_visibility": "joined"})
    after.member(DAN, "leave")
    own = after.make("x.state", ALICE, {}, DAN)
    assert not reads(after, own, DAN)


def test_a_member_event_of_no_user() -> None:
    """A state key that is not a user ID is of no server."""
    room = room_of("joined")
    room.set("m.room.member", ALICE, {"membership": "join"}, "olive")
    event = room.make("m.room.member", ALICE, {"membership": "join"}, "olive")
    assert not reads(room, event, OLIVE)
    assert reads(room, event, DAN)
