"""Invites by third-party identifiers, exchanged for invites of users."""

from typing import Any

import pytest

from homeserver.net.cause import OURSELVES, Cause
from homeserver.outbound.calls import Call
from homeserver.outbound.remote_error import Refused
from homeserver.outbound.transport.connector import Unreachable
from homeserver.protocol.canonical_json import Json, encode, encode_base64
from homeserver.protocol.events.event import redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.state import membership
from homeserver.protocol.signing import POLICY_KEY_ID, sign
from homeserver.rooms import third_party
from homeserver.rooms.question import Question
from homeserver.rooms.room import Room
from tests.support.lost_changes import during_a_lost_change
from tests.support.our_rooms import ALICE, BOB
from tests.support.room_side import RoomSide
from tests.support.signed_requests import OTHERS, THEM, signing_key

TOKEN = "token"
MAIL = signing_key("0", b"9")
IDENTITY = ServerName.parse("identity.example")


class Invited:
    """The invited user's server, which signs the invite."""

    def __init__(self) -> None:
        self.asked: list[Call] = []
        self.change: dict[str, object] = {}
        self.failure: Exception | None = None
        self.key = THEM.key

    async def ask_text(
        self, destination: ServerName, call: Call, cause: Cause = OURSELVES
    ) -> bytes:
        """As `FederationCalls`."""
        assert destination == THEM.server_name
        self.asked.append(call)
        if self.failure is not None:
            raise self.failure
        content: Any = call.content
        pdu = {**content["event"], **self.change}
        version = ROOM_VERSIONS[content["room_version"]]
        signed = sign(redact(pdu, version), THEM.server_name, [self.key])
        return encode({"event": {**pdu, "signatures": signed["signatures"]}})


def scene(version: str = "10") -> tuple[RoomSide, Invited, Room]:
    """A room to which somebody is invited by mail."""
    invited = Invited()
    side = RoomSide(invited)
    key = encode_base64(MAIL.verify_key.key)
    content: Json = {
        "display_name": "b...",
        "key_validity_url": "https://identity.example/",
        "public_key": key,
    }
    state = [NewEvent("m.room.third_party_invite", ALICE, content, TOKEN)]
    return side, invited, side.ours.create(version, initial_state=state)


def body(room: Room, **changes: object) -> Json:
    """The body of a request."""
    signed = sign({"mxid": BOB.user_id, "token": TOKEN}, IDENTITY, [MAIL])
    invite = {"display_name": "b...", "signed": signed}
    return {
        "type": "m.room.member",
        "room_id": room.room_id,
        "sender": ALICE.user_id,
        "state_key": BOB.user_id,
        "content": {"membership": "invite", "third_party_invite": invite},
        **changes,
    }


def exchange(side: RoomSide, room: Room, content: Json) -> tuple[int, object]:
    """The status and the errcode of the answer."""
    answer = side.ask(
        "PUT", "exchange_third_party_invite", room.room_id, content=content
    )
    return answer.status, answer.json.get("errcode")


@pytest.mark.parametrize("version", ["1", "5", "10", "12"])
def test_exchanged(version: str) -> None:
    """The user's server is shown the room, and signs that the user is invited."""
    side, invited, room = scene(version)
    assert exchange(side, room, body(room)) == (200, None)
    [call] = invited.asked
    assert call.path.startswith("/_matrix/federation/v2/invite/!")
    content: Any = call.content
    shown = [each["type"] for each in content["invite_room_state"]]
    assert shown == ["m.room.create", "m.room.join_rules"]
    event = side.known(room).current["m.room.member", BOB.user_id]
    assert membership(side.known(room).current, BOB.user_id) == "invite"
    signatures: Any = event.pdu["signatures"]
    assert set(signatures) == {"us.example", THEM.server_name.name}


def test_it_comes_after_what_is_written() -> None:
    """It does not cite a change that is under way: it may be lost."""
    side, _, room = scene()
    before = set(room.extremities)
    path = {"roomId": room.room_id}
    asked = Question(THEM.server_name, path, {}, body(room), OURSELVES)
    during_a_lost_change(
        side.ours, room, lambda: third_party.exchange(side.resident, asked)
    )
    invite = side.known(room).current["m.room.member", BOB.user_id]
    assert set(invite.prev_event_ids) == before


def test_the_policy_server_has_signed_it() -> None:
    """Before the invited user's server is asked."""
    side, invited, room = scene()
    keys = {"ed25519": side.desk.open()}
    policy: Json = {"via": "us.example", "public_keys": keys}
    side.ours.send(room, "m.room.policy", policy, "")
    assert exchange(side, room, body(room)) == (200, None)
    [call] = invited.asked
    content: Any = call.content
    assert POLICY_KEY_ID in content["event"]["signatures"]["us.example"]
    event = side.known(room).current["m.room.member", BOB.user_id]
    signatures: Any = event.pdu["signatures"]
    assert POLICY_KEY_ID in signatures["us.example"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"type": "m.room.x"}, 400),
        ({"room_id": "!x:us.example"}, 400),
        ({"sender": BOB.user_id}, 400),
        ({"sender": 1}, 400),
        ({"state_key": f"@x:{OTHERS.server_name}"}, 400),
        ({"state_key": f"@x:{THEM.server_name}"}, 403),
        ({"content": {"membership": "join"}}, 400),
        ({"content": {"membership": "invite"}}, 400),
        ({"content": {"membership": "invite", "third_party_invite": {}}}, 403),
    ],
)
def test_refused(changes: dict[str, object], status: int) -> None:
    """What is no such invite, or not allowed, asks nobody and changes nothing."""
    side, invited, room = scene()
    assert exchange(side, room, body(room, **changes))[0] == status
    assert invited.asked == []
    assert ("m.room.member", BOB.user_id) not in side.known(room).current


@pytest.mark.parametrize(
    "failure",
    [
        Refused(THEM.server_name, 403, "M_FORBIDDEN", "no"),
        Unreachable(THEM.server_name, ["no"]),
    ],
)
def test_not_signed(failure: Exception) -> None:
    """Without the signature of the user's server nobody is invited."""
    side, invited, room = scene()
    invited.failure = failure
    assert exchange(side, room, body(room)) == (403, "M_FORBIDDEN")
    assert ("m.room.member", BOB.user_id) not in side.known(room).current
    invited.failure, invited.change = None, {"depth": 99}
    assert exchange(side, room, body(room)) == (400, "M_BAD_JSON")


def test_forged_signature() -> None:
    """A signature by another key than the user's server has makes no invite."""
    side, invited, room = scene()
    key = signing_key("t_1", b"8")
    assert key.key_id == THEM.key.key_id
    invited.key = key
    assert exchange(side, room, body(room)) == (403, "M_FORBIDDEN")
    assert membership(side.known(room).current, BOB.user_id) == "leave"
