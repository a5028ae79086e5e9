"""Two real endpoints in one room: what one sends is part of it at the other.

The room is put into the stores of both before they run, as a join would leave it there.
"""

from pathlib import Path

import pytest

from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.rooms.author import Given
from homeserver.rooms.new_room import NewRoom
from homeserver.rooms.room import Room
from scripts.processes import LOOPBACK, Endpoint, first_line, free_ports, make_endpoint
from tests.support.coroutines import result_of
from tests.support.eventually import eventually
from tests.support.state_ids import ids
from tests.support.stopped_endpoints import StoppedEndpoint

_CONFIGURATION = """
[network]
allow = ["127.0.0.0/8", "::1"]
"""


def make(folder: Path, version: str) -> tuple[Endpoint, Endpoint, Room, list[EventId]]:
    """Two endpoints in a room, and the events that the second one lacks."""
    first_port, second_port = free_ports(2)
    alpha, beta = (
        make_endpoint(
            folder / name, f"localhost:{port}", _CONFIGURATION, f"{LOOPBACK}:{port}"
        )
        for name, port in (("alpha", first_port), ("beta", second_port))
    )
    one, two = StoppedEndpoint(alpha), StoppedEndpoint(beta)
    ann, bob = one.user("ann"), two.user("bob")

    async def meet() -> tuple[Room, list[EventId]]:
        room = await one.rooms.create(
            NewRoom(
                creator=ann,
                room_version=ROOM_VERSIONS[version],
                preset="public_chat",
            )
        )
        new = NewEvent("m.room.member", bob, {"membership": "join"}, bob.user_id)
        join = await two.rooms.author.make(room, new)
        before = room.current
        chain = room.auth_chain([join, *before.values()])
        async with one.rooms.turn(room.room_id) as turn:
            await turn.take(join)
        async with two.rooms.begin(room.room_id, room.room_version) as turn:
            assert await turn.know_all([*chain, *before.values()]) == []
            await turn.begin(join, before)
        lacking: list[EventId] = []
        for number in range(12):
            # All but the last are sent to nobody: beta has to ask for them.
            given = Given(destinations=[]) if number < 11 else Given()
            topic = NewEvent("m.room.topic", ann, {"topic": str(number)}, "")
            sent = await one.rooms.send(room.room_id, topic, given)
            lacking.append(sent.event.event_id)
        return room, lacking

    room, lacking = result_of(meet())
    return alpha, beta, room, lacking


@pytest.mark.parametrize("version", ["1", "12"])
def test_room_of_two(tmp_path: Path, version: str) -> None:
    """An event comes in a transaction, and what was before it is fetched."""
    alpha, beta, room, lacking = make(tmp_path, version)
    with alpha.running() as one, beta.running() as two:
        first_line(one)
        first_line(two)
        received = eventually(lambda: beta.ask("received"))
    [pdu] = received[0]["pdus"]
    assert (pdu["event_id"], pdu["verdict"]) == (lacking[-1], "accepted")
    known = result_of(StoppedEndpoint(beta).rooms.known(room.room_id))
    outcomes = {known.entries[x].outcome for x in known.entries if x in lacking}
    assert outcomes == {Outcome.ACCEPTED}
    assert set(lacking) <= known.entries.keys()
    assert ids(known.current) == ids(room.current)
