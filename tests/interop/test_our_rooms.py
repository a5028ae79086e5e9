"""Rooms of ours that Synapse joins: by alias, in each room version.

The rooms are put into the endpoint's store before it runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, RoomId
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.room import Room
from scripts.processes import Endpoint, first_line
from scripts.synapse import Synapse
from tests.support.coroutines import result_of
from tests.support.eventually import eventually
from tests.support.stopped_endpoints import StoppedEndpoint
from tests.support.synapse_servers import Neighbourhood
from tests.support.synapse_users import User


@dataclass(frozen=True)
class Scene:
    """Both servers, with rooms that nobody of Synapse is in."""

    synapse: Synapse
    ours: Endpoint
    alice: User
    rooms: dict[str, RoomId]
    """By their names."""

    def room(self, room_id: RoomId) -> Room:
        """A room as the endpoint's store has it now."""
        return result_of(StoppedEndpoint(self.ours).rooms.known(room_id))

    def membership(self, name: str) -> str:
        """Alice's membership in a room, as the endpoint has it."""
        current = self.room(self.rooms[name]).current
        return membership(current, self.alice.user_id)


@pytest.fixture(scope="module")
def scene(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Synapse and an endpoint with a public room of each version."""
    neighbourhood = Neighbourhood(tmp_path_factory.mktemp("rooms"))
    synapse, ours = neighbourhood.make_both()
    side = StoppedEndpoint(ours)
    rooms = {
        f"v{version}": side.create(f"v{version}", version, is_listed=version == "11")
        for version in ROOM_VERSIONS
    }
    rooms["knock"] = side.create("knock", "10", {"join_rule": "knock"})
    allowed = {"type": "m.room_membership", "room_id": rooms["v10"]}
    rule: Json = {"join_rule": "restricted", "allow": [allowed]}
    rooms["restricted"] = side.create("restricted", "10", rule)
    with synapse.running(), ours.running() as process:
        first_line(process)
        alice = User.register(synapse, "alice")
        yield Scene(synapse, ours, alice, rooms)


@pytest.mark.parametrize("version", tuple(ROOM_VERSIONS))
def test_synapse_joins(scene: Scene, version: str) -> None:
    """Synapse joins by alias and sends messages, which are part of the room here."""
    alice, room_id = scene.alice, scene.rooms[f"v{version}"]
    joined = alice.do("POST", "join", f"#v{version}:{scene.ours.name}", content={})
    assert joined["room_id"] == room_id
    sent = [EventId(alice.say(room_id, str(number))) for number in range(3)]

    def verdicts() -> list[str]:
        """The verdicts on the messages, once all of them are there."""
        found = [
            pdu["verdict"]
            for each in scene.ours.ask("received")
            for pdu in each["pdus"]
            if pdu["event_id"] in sent
        ]
        return found if len(found) == len(sent) else []

    assert set(eventually(verdicts)) == {"accepted"}
    known = scene.room(room_id)
    assert {known.entries[each].outcome for each in sent} == {Outcome.ACCEPTED}
    assert membership(known.current, alice.user_id) == "join"
    assert known.extremities == {sent[-1]}


def test_knocked(scene: Scene) -> None:
    """A user of Synapse knocks. Synapse takes a knock back without telling us."""
    alias = f"#knock:{scene.ours.name}"
    room_id = scene.alice.do("POST", "knock", alias, content={})["room_id"]
    assert room_id == scene.rooms["knock"]
    assert scene.membership("knock") == "knock"


def test_restricted(scene: Scene) -> None:
    """A user of Synapse who is in the allowed room joins by our authority."""
    alias = f"#restricted:{scene.ours.name}"
    status, answer = scene.alice.ask("POST", "join", alias, content={})
    if scene.membership("v10") != "join":
        assert (status, answer["errcode"]) == (403, "M_FORBIDDEN")
        scene.alice.do("POST", "join", f"#v10:{scene.ours.name}", content={})
        scene.alice.do("POST", "join", alias, content={})
    assert scene.membership("restricted") == "join"


def test_invited(scene: Scene) -> None:
    """Synapse invites a user of ours: that is recorded, and nothing is joined."""
    room_id = scene.alice.create_room("11")
    user_id = f"@ann:{scene.ours.name}"
    content = {"user_id": user_id}
    scene.alice.do("POST", "rooms", room_id, "invite", content=content)
    side = StoppedEndpoint(scene.ours)
    [invite] = result_of(side.invites.all("invite"))
    assert (invite.room_id, invite.user.user_id) == (room_id, user_id)
    assert b"m.room.create" in invite.room_state
    assert result_of(side.rooms.find(RoomId(room_id))) is None


def test_listed(scene: Scene) -> None:
    """Synapse shows the list of our public rooms."""
    found = scene.synapse.ask(
        "GET",
        f"/_matrix/client/v3/publicRooms?server={scene.ours.name}",
        None,
        scene.alice.token,
    )
    status, answer = found
    assert status == 200, answer
    assert [each["room_id"] for each in answer["chunk"]] == [scene.rooms["v11"]]
