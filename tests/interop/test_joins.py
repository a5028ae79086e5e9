"""Rooms of Synapse that users of ours join: what comes of it on both sides."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from homeserver.control.client import ControlError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from scripts.processes import first_line
from scripts.synapse import Synapse
from tests.support.eventually import eventually
from tests.support.room_clients import Side
from tests.support.synapse_servers import Neighbourhood
from tests.support.synapse_users import User


@dataclass(frozen=True)
class Scene:
    """Both servers, and a user of each."""

    synapse: Synapse
    ours: Side
    alice: User

    @property
    def bob(self) -> str:
        """A user of ours."""
        return self.ours.user("bob")

    def create(self, version: str, **more: Any) -> str:
        """A room of Alice's; its ID."""
        content = {"preset": "public_chat", "room_version": version, **more}
        made: str = self.alice.do("POST", "createRoom", content=content)["room_id"]
        return made

    def join(self, room_id: str, **more: Any) -> Any:
        """Let Bob join."""
        body = {"user_id": self.bob, "via": [self.synapse.name], **more}
        return self.ours.post(room_id, "join", **body)

    def membership(self, room_id: str, user_id: str) -> str:
        """The membership of a user, as Synapse has it."""
        steps = "rooms", room_id, "state", "m.room.member", user_id
        status, content = self.alice.ask("GET", *steps)
        return str(content["membership"]) if status == 200 else "none"

    def their_state(self, room_id: str) -> dict[tuple[str, str], str]:
        """The state of a room as Synapse has it, by the IDs of its events."""
        found: Any = self.alice.do("GET", "rooms", room_id, "state")
        return {(x["type"], x["state_key"]): x["event_id"] for x in found}

    def our_state(self, room_id: str) -> dict[tuple[str, str], str]:
        """The state of a room as we have it, by the IDs of its events."""
        version = ROOM_VERSIONS[self.ours.get(room_id)["room_version"]]
        events = [Event.parse(each, version) for each in self.ours.state(room_id)]
        return {(x.type, str(x.state_key)): x.event_id for x in events}

    def agree(self, room_id: str) -> None:
        """Both have the same state, event by event."""
        theirs = self.their_state(room_id)
        eventually(lambda: self.our_state(room_id) == theirs)

    def talk(self, room_id: str) -> None:
        """Messages and state go both ways."""
        theirs = self.alice.say(room_id, "hello")
        eventually(lambda: self.ours.has(room_id, theirs))
        said = self.ours.post(
            room_id,
            "events",
            type="m.room.message",
            content={"msgtype": "m.text", "body": "hello"},
            sender=self.bob,
        )
        eventually(lambda: self.alice.find(room_id, said["event_id"]))
        self.agree(room_id)


@pytest.fixture(scope="module")
def scene(installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Synapse and an endpoint, both running."""
    neighbourhood = Neighbourhood(tmp_path_factory.mktemp("joins"))
    synapse, ours = neighbourhood.make_both()
    with synapse.running(), ours.running() as process:
        first_line(process)
        yield Scene(synapse, Side(ours), User.register(synapse, "alice"))


@pytest.mark.parametrize("version", tuple(ROOM_VERSIONS))
def test_joined(scene: Scene, version: str) -> None:
    """A room of each version is joined by its alias, and both sides go on in it."""
    name = f"joins{version}"
    room_id = scene.create(version, room_alias_name=name, name="N", topic="T")
    for number in range(3):
        scene.alice.say(room_id, str(number))
    joined = scene.ours.post(
        f"#{name}:{scene.synapse.name}", "join", user_id=scene.bob, displayname="Bob"
    )
    assert (joined["room_id"], joined["room_version"]) == (room_id, version)
    assert joined["left_out"] == []
    assert scene.membership(room_id, scene.bob) == "join"
    scene.talk(room_id)
    # A second user needs no help; then both leave, and one comes back.
    eve = scene.ours.user("eve")
    assert scene.join(room_id, user_id=eve)["through"] is None
    eventually(lambda: scene.membership(room_id, eve) == "join")
    for user in (scene.bob, eve):
        scene.ours.post(room_id, "leave", user_id=user)
        eventually(lambda u=user: scene.membership(room_id, u) == "leave")  # type: ignore[misc]
    scene.alice.say(room_id, "we are alone")
    assert scene.join(room_id)["through"] == scene.synapse.name
    scene.talk(room_id)


@pytest.mark.parametrize("version", tuple(ROOM_VERSIONS))
def test_invited(scene: Scene, version: str) -> None:
    """An invite of Synapse's is accepted by one user and declined by another one."""
    room_id = scene.create(version, preset="private_chat")
    with pytest.raises(ControlError, match="M_FORBIDDEN"):
        scene.join(room_id)
    eve, zoe = scene.ours.user("eve"), scene.ours.user("zoe")
    content = {"user_id": zoe}
    scene.alice.do("POST", "rooms", room_id, "invite", content=content)
    assert [each["user_id"] for each in scene.ours.invites()] == [zoe]
    scene.alice.do("POST", "rooms", room_id, "kick", content=content)
    eventually(lambda: scene.ours.invites() == [])
    for user in (scene.bob, eve):
        content = {"user_id": user}
        scene.alice.do("POST", "rooms", room_id, "invite", content=content)
    declined = scene.ours.post(room_id, "leave", user_id=eve)
    assert declined["through"] == scene.synapse.name
    assert scene.membership(room_id, eve) == "leave"
    joined = scene.ours.post(room_id, "join", user_id=scene.bob)
    assert joined["through"] == scene.synapse.name
    scene.talk(room_id)
    content = {"user_id": scene.bob, "reason": "enough"}
    scene.alice.do("POST", "rooms", room_id, "kick", content=content)
    eventually(lambda: scene.ours.membership(room_id, scene.bob) == "leave")


@pytest.mark.parametrize("version", tuple(ROOM_VERSIONS))
def test_we_invite(scene: Scene, version: str) -> None:
    """A user of Synapse is invited to a room of ours, and joins or declines."""
    ours, alice = scene.ours, scene.alice
    room_id = ours.create(version, preset="private_chat")
    invited = ours.post(room_id, "invite", user_id=alice.user_id)
    assert set(invited["event"]["signatures"]) == {ours.name, scene.synapse.name}
    alice.do("POST", "rooms", room_id, "leave", content={})
    eventually(lambda: ours.membership(room_id, alice.user_id) == "leave")
    ours.post(room_id, "invite", user_id=alice.user_id)
    alice.do("POST", "join", room_id, content={})
    eventually(lambda: ours.membership(room_id, alice.user_id) == "join")
    scene.agree(room_id)
    said = alice.say(room_id, "thank you")
    eventually(lambda: ours.has(room_id, said))
    redacted = ours.post(room_id, "redact", event_id=said)
    assert redacted["verdict"] == "accepted"
    eventually(lambda: alice.find(room_id, said).get("content") == {})
    ours.post(room_id, "ban", user_id=alice.user_id)
    # Synapse tells a banned user of the end of the room.
    eventually(
        lambda: (
            room_id in alice.sync().get("rooms", {}).get("leave", {})
            or alice.ask("GET", "rooms", room_id, "joined_members")[0] == 403
        )
    )


@pytest.mark.parametrize("version", [x for x in ROOM_VERSIONS if int(x) >= 7])
def test_knocked(scene: Scene, version: str) -> None:
    """A knock is taken back; another one is answered with an invite."""
    rule = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    room_id = scene.create(version, initial_state=[rule])
    body = {"user_id": scene.bob, "via": [scene.synapse.name]}
    assert scene.ours.post(room_id, "knock", **body)["through"] == scene.synapse.name
    assert scene.membership(room_id, scene.bob) == "knock"
    scene.ours.post(room_id, "leave", **body)
    assert scene.membership(room_id, scene.bob) == "leave"
    scene.ours.post(room_id, "knock", **body)
    content = {"user_id": scene.bob}
    scene.alice.do("POST", "rooms", room_id, "invite", content=content)
    scene.join(room_id)
    scene.talk(room_id)


@pytest.mark.parametrize("version", [x for x in ROOM_VERSIONS if int(x) >= 8])
def test_restricted(scene: Scene, version: str) -> None:
    """A user who is in the allowed room joins, by Synapse's signature."""
    allowed = scene.create(version)
    content = {
        "join_rule": "restricted",
        "allow": [{"type": "m.room_membership", "room_id": allowed}],
    }
    rule = {"type": "m.room.join_rules", "content": content}
    room_id = scene.create(version, initial_state=[rule])
    with pytest.raises(ControlError, match="M_FORBIDDEN"):
        scene.join(room_id)
    scene.join(allowed)
    joined = scene.join(room_id)
    event = scene.ours.get(room_id, "events", joined["event_id"])["event"]
    assert set(event["signatures"]) == {scene.ours.name, scene.synapse.name}
    scene.talk(room_id)
