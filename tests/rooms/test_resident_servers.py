"""The servers in a room, in each of its states."""

from random import Random

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.state import StateMap, residents
from homeserver.rooms.resident_servers import ResidentServers
from homeserver.rooms.states import EMPTY, RoomStates
from tests.protocol.rooms.made_rooms import MadeRoom

USERS = [f"@{name}:{server}.example" for server in "abc" for name in ("x", "y")]
MEMBERSHIPS = ["join", "join", "invite", "leave", "ban", "knock", 1]


def change(made: MadeRoom, random: Random) -> Event:
    """A state event, most often of some member."""
    user = random.choice([*USERS, "junk", "@:"])
    if random.random() < 0.2:
        return made.send("m.room.topic", USERS[0], {"topic": "x"}, "", cites=[])
    content = {"membership": random.choice(MEMBERSHIPS)}
    sender = user if user in USERS and random.random() < 0.8 else USERS[0]
    return made.send("m.room.member", sender, content, user, cites=[])


@pytest.mark.parametrize("seed", range(20))
def test_followed(seed: int) -> None:
    """What follows from the state before is what the state itself says."""
    random = Random(seed)
    made = MadeRoom("10")
    states = RoomStates(made.events)
    servers = ResidentServers(states.map)
    number = states.after(EMPTY, made.create)
    assert servers.at(number) == frozenset()
    for _ in range(60):
        event = change(made, random)
        before = random.choice([number, number, number, random.randrange(len(states))])
        number = states.after(before, event)
        servers.follow(before, event, number)
        assert servers.at(number) == residents(states.map(number))


def test_joins_are_not_looked_through() -> None:
    """A state is not read where users join, nor where another part of it changes."""
    made = MadeRoom("10")
    states = RoomStates(made.events)
    looked: list[int] = []

    def state(number: int) -> StateMap:
        looked.append(number)
        return states.map(number)

    servers = ResidentServers(state)
    number = states.after(EMPTY, made.create)
    servers.at(number)
    for user in USERS:
        for event in (
            made.send("m.room.member", user, {"membership": "join"}, user, cites=[]),
            made.send("m.room.topic", user, {"topic": user}, "", cites=[]),
        ):
            before, number = number, states.after(number, event)
            servers.follow(before, event, number)
    names = {each.name for each in servers.at(number)}
    assert names == {"a.example", "b.example", "c.example"}
    assert len(looked) == 1
