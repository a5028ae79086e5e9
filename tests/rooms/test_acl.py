"""Servers that the ACL of a room denies: no route about the room serves them."""

import pytest

from homeserver.http.router import Route
from homeserver.protocol.canonical_json import Json
from tests.support.one_server import OnlyServer
from tests.support.our_rooms import ALICE, BOB, text
from tests.support.room_side import RoomSide, signed
from tests.support.signed_requests import THEM

V1, V2 = "/_matrix/federation/v1", "/_matrix/federation/v2"

ROUTES: list[tuple[str, str]] = [
    ("GET", f"{V1}/make_join/ROOM/USER"),
    ("PUT", f"{V1}/send_join/ROOM/EVENT"),
    ("PUT", f"{V2}/send_join/ROOM/EVENT"),
    ("GET", f"{V1}/make_knock/ROOM/USER"),
    ("PUT", f"{V1}/send_knock/ROOM/EVENT"),
    ("GET", f"{V1}/make_leave/ROOM/USER"),
    ("PUT", f"{V1}/send_leave/ROOM/EVENT"),
    ("PUT", f"{V2}/send_leave/ROOM/EVENT"),
    ("PUT", f"{V1}/invite/ROOM/EVENT"),
    ("PUT", f"{V2}/invite/ROOM/EVENT"),
    ("PUT", f"{V1}/exchange_third_party_invite/ROOM"),
    ("GET", f"{V1}/state/ROOM?event_id=EVENT"),
    ("GET", f"{V1}/state_ids/ROOM?event_id=EVENT"),
    ("GET", f"{V1}/event/EVENT"),
    ("GET", f"{V1}/event_auth/ROOM/EVENT"),
    ("GET", f"{V1}/backfill/ROOM?v=EVENT&limit=1"),
    ("POST", f"{V1}/get_missing_events/ROOM"),
    ("GET", f"{V1}/timestamp_to_event/ROOM?ts=1&dir=f"),
    ("POST", "/_matrix/policy/v1/sign"),
]
"""The routes about one room."""

OF_NO_ROOM = {
    f"{V1}/3pid/onbind",
    f"{V1}/hierarchy/{{roomId}}",  # it shows what anybody may see
    f"{V1}/publicRooms",
    f"{V1}/query/directory",
}


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("denied", ["them.example", "THEM.example", "*.exampl?"])
def test_denied(method: str, path: str, denied: str) -> None:
    """A member's server gets 403 as soon as the room denies it, and 200 never."""
    side = RoomSide()
    side.desk.open()
    room = side.ours.create("10", preset="public_chat")
    side.join(room)
    event = side.ours.send(room, "m.room.message", text("x")).event
    allow: list[object] = [ALICE.server_name.name]
    acl: Json = {"allow": [*allow, "*"], "deny": [denied]}
    side.ours.send(room, "m.room.server_acl", acl, "")
    body: Json | None = None
    if method != "GET":
        pdu: Json = {
            "type": "m.room.member",
            "room_id": room.room_id,
            "sender": BOB.user_id,
            "state_key": ALICE.user_id,
            "content": {"membership": "invite"},
            "origin_server_ts": 1,
            "depth": 1,
            "prev_events": [],
            "auth_events": [],
        }
        signed_pdu = signed(pdu, "10", THEM).pdu
        is_wrapped = path.startswith(f"{V2}/invite")
        body = (
            {"event": signed_pdu, "room_version": "10", "invite_room_state": []}
            if is_wrapped
            else signed_pdu
        )
    target = (
        path.replace("ROOM", room.room_id)
        .replace("USER", BOB.user_id)
        .replace("EVENT", event.event_id)
    )
    answer = side.ask_at(method, target, body)
    assert answer.error == (403, "M_FORBIDDEN"), answer.json
    assert "ACL" in str(answer.json["error"])


def test_each_route_is_asked() -> None:
    """No route about a room is left out."""
    routes: list[Route] = []

    class Side(RoomSide):
        """It tells its routes."""

        def more_routes(self, servers: OnlyServer) -> list[Route]:
            routes.extend(super().more_routes(servers))
            return routes

    Side()
    asked = {
        (
            method,
            path.partition("?")[0]
            .replace("ROOM", "{roomId}")
            .replace("USER", "{userId}")
            .replace("EVENT", "{eventId}"),
        )
        for method, path in ROUTES
    }
    there = {
        (each.method, each.template)
        for each in routes
        if each.template not in OF_NO_ROOM
    }
    assert asked == there
