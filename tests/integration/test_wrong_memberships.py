"""Joins, leaves and knocks that a server of a lab signs wrongly."""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from homeserver.testing import Lab, LabError, Server
from homeserver.testing.values import Response
from tests.support.forged_events import ForgedRoom

V1, V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"

Event = dict[str, Any]
Change = Callable[["Asking", Event], Event]
"""Makes a wrong event of a right one, before it is signed."""


@pytest.fixture(scope="module")
def room(lab: Lab) -> ForgedRoom:
    """A room for all tests: none of them changes it."""
    return ForgedRoom(lab, "10", name="N")


class Asking:
    """A server that is in no room, and asks the room's server."""

    def __init__(self, room: ForgedRoom) -> None:
        self.room, self.lab = room, room.lab
        self.asker: Server = room.lab.server()
        self.user = f"@u:{self.asker.name}"

    def sign(self, event: Event, *spoil: str) -> Any:
        """An event with hashes and signatures."""
        body = {"event": event, "room_version": "10", "spoil": spoil}
        return self.room.call("POST", self.asker, "sign", content=body)

    def proposed(self, membership: str) -> Event:
        """The event that the room's server proposes."""
        steps = self.room.room_id, self.user
        path = "/".join([V1, f"make_{membership}", *(quote(x, "") for x in steps)])
        answer = self.asker.request(self.room.ours.name, path, query="ver=10")
        assert answer.status == 200, answer
        event: Event = answer.content["event"]
        return event

    def put(self, path: str, event_id: str, content: object) -> Response:
        """Send a signed event."""
        steps = quote(self.room.room_id, ""), quote(event_id, "")
        return self.asker.request(
            self.room.ours.name,
            "/".join([path, *steps]),
            method="PUT",
            content=content,
        )


def with_content(**members: object) -> Change:
    """Other members of the content."""
    return lambda _, event: {**event, "content": {**event["content"], **members}}


def with_members(**members: object) -> Change:
    """Other members."""
    return lambda _, event: {**event, **members}


OTHER = "@x:elsewhere.invalid"

CHANGES: dict[str, Change] = {
    "another type": with_members(type="m.room.topic"),
    "another membership": with_content(membership="ban"),
    "another room": with_members(room_id="!other:elsewhere.invalid"),
    "a user of another server": with_members(sender=OTHER, state_key=OTHER),
    "another state key": lambda asking, event: {
        **event,
        "state_key": f"@y:{asking.asker.name}",
    },
    "no state key": lambda _, event: {
        k: v for k, v in event.items() if k != "state_key"
    },
}


@pytest.mark.parametrize("name", CHANGES)
def test_wrong_joins(room: ForgedRoom, name: str) -> None:
    """Each is refused with 400 or 403, and nothing of it is in the room."""
    asking = Asking(room)
    event = CHANGES[name](asking, asking.proposed("join"))
    signed = asking.sign(event)
    answer = asking.put(f"{V2}/send_join", signed["event_id"], signed["event"])
    assert answer.status in {400, 403}, answer
    assert room.event(signed["event_id"], room.ours) is None


@pytest.mark.parametrize("spoil", ["signature", "no-signature", "other-key"])
def test_joins_that_are_not_signed(room: ForgedRoom, spoil: str) -> None:
    """They are refused."""
    asking = Asking(room)
    signed = asking.sign(asking.proposed("join"), spoil)
    answer = asking.put(f"{V2}/send_join", signed["event_id"], signed["event"])
    assert answer.status in {400, 403}, answer
    assert room.event(signed["event_id"], room.ours) is None


def test_a_join_under_another_id(room: ForgedRoom) -> None:
    """The ID of the path is that of the event."""
    asking = Asking(room)
    signed = asking.sign(asking.proposed("join"))
    answer = asking.put(f"{V2}/send_join", f"${'x' * 43}", signed["event"])
    assert answer.status == 400, answer
    answer = asking.put(f"{V2}/send_join", signed["event_id"], signed["event"])
    assert answer.status == 200, answer


def test_a_leave_of_a_user_of_the_room_s_server(room: ForgedRoom) -> None:
    """Another server cannot send it."""
    asking = Asking(room)
    event = asking.proposed("join")
    leave = {
        **event,
        "sender": room.alice,
        "state_key": room.alice,
        "content": {"membership": "leave"},
    }
    signed = asking.sign(leave)
    answer = asking.put(f"{V2}/send_leave", signed["event_id"], signed["event"])
    assert answer.status in {400, 403}, answer


def test_a_knock_at_a_public_room(room: ForgedRoom) -> None:
    """It is refused: whoever may join does not knock."""
    asking = Asking(room)
    event = asking.proposed("join")
    signed = asking.sign({**event, "content": {"membership": "knock"}})
    answer = asking.put(f"{V1}/send_knock", signed["event_id"], signed["event"])
    assert answer.status == 403, answer


def test_what_cannot_be_signed(room: ForgedRoom) -> None:
    """The answer says what is wrong with the request."""
    asking = Asking(room)
    for body, text in [
        ({"event": {}, "room_version": "99"}, "room version"),
        ({"event": {"content": {}}, "room_version": "10", "spoil": ["x"]}, "`spoil`"),
        (
            {"event": {"content": {}}, "room_version": "10", "spoil": ["create-auth"]},
            "needs a room",
        ),
    ]:
        with pytest.raises(LabError) as refused:
            room.call("POST", asking.asker, "sign", content=body)
        assert refused.value.status == 400, refused.value
        assert text in str(refused.value)
