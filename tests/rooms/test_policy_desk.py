"""What a policy server of ours signs: its own events, and what it is asked about."""

from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.errors import Forbidden
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.policy import PolicyServer
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.signing import POLICY_KEY_ID
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import ALICE, text
from tests.support.policy_servers import KEY, PolicyCalls
from tests.support.room_side import RoomSide, signed


def test_our_server_may_be_the_one() -> None:
    """It signs its own events without a request, from the beginning of the room."""
    calls = PolicyCalls()
    side = RoomSide(calls)
    side.desk.open()
    content: Json = {
        "via": OUR_NAME.name,
        "public_keys": {"ed25519": side.desk.public_key},
    }
    state = [
        NewEvent("m.room.policy", ALICE, content, ""),
        NewEvent("m.room.x", ALICE, {}, ""),
    ]
    room = side.ours.create("11", initial_state=state, name="N")
    sent = side.ours.send(room, "m.room.message", text("a"))
    assert {each.outcome for each in room.entries.values()} == {Outcome.ACCEPTED}
    assert POLICY_KEY_ID in as_object(
        as_object(sent.event.pdu["signatures"], "all")[OUR_NAME.name], "ours"
    )
    side.desk.close()
    with pytest.raises(Forbidden, match="is no policy server"):
        side.ours.send(room, "m.room.message", text("b"))


class Desk:
    """A room of ours that Bob is in, and what our server signs."""

    def __init__(self) -> None:
        self.side = RoomSide()
        self.room = self.side.ours.create("11", preset="public_chat")
        self.side.join(self.room)

    def sign(self, kind: str = "m.room.message", **members: object) -> Any:
        """The answer to Bob's server."""
        pdu: Json = {
            "type": kind,
            "room_id": self.room.room_id,
            "sender": "@bob:them.example",
            "content": {},
            "depth": 1,
            "origin_server_ts": 1,
            "prev_events": [],
            "auth_events": [],
            **members,
        }
        self.event = signed(pdu, "11")
        path = "/_matrix/policy/v1/sign"
        return self.side.ask_at("POST", path, content=self.event.pdu)


def test_it_signs_what_it_is_asked_about() -> None:
    """By the key that the control API told, as long as it is a policy server."""
    desk = Desk()
    assert desk.sign().json["errcode"] == "M_UNRECOGNIZED"
    public = desk.side.desk.open()
    answer = desk.sign()
    assert answer.status == 200, answer.json
    server = PolicyServer(OUR_NAME, type(KEY.verify_key).parse(POLICY_KEY_ID, public))
    assert server.has_signed(server.add_signature(desk.event, answer.json))
    desk.side.desk.close()
    assert desk.sign().status == 404


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"room_id": "!none:us.example"}, (404, "M_NOT_FOUND")),
        ({"kind": "m.room.policy", "state_key": ""}, (400, "M_FORBIDDEN")),
    ],
    ids=repr,
)
def test_what_it_does_not_sign(
    members: dict[str, Any], expected: tuple[int, str]
) -> None:
    """Events of rooms that it is not in, and the one that names a policy server."""
    desk = Desk()
    desk.side.desk.open()
    answer = desk.sign(**members)
    assert (answer.status, answer.json["errcode"]) == expected


@pytest.mark.parametrize("content", [{}, {"room_id": 1}, {"room_id": "!a:b"}])
def test_what_is_no_event(content: Json) -> None:
    """It is refused with an error that says why."""
    desk = Desk()
    desk.side.desk.open()
    answer = desk.side.ask_at("POST", "/_matrix/policy/v1/sign", content=content)
    assert answer.status in {400, 404}
    assert answer.json["errcode"] != "M_UNKNOWN"
