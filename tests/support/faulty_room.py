"""A room of a server with faults, and how a plain client asks about it."""

from typing import Any

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event, redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.signing import parse_signatures, signed_bytes
from tests.support.faulty_side import FaultySide
from tests.support.http_connection import Answer
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import ALICE, BOB, text
from tests.support.room_side import VERSIONS, signed
from tests.support.signed_requests import signing_key


class Scene:
    """A room of Alice's, in which Bob of another server is."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.side = FaultySide()
        state = [NewEvent("m.room.topic", ALICE, {"topic": "T"}, "")]
        self.room = self.side.ours.create(
            version, preset="public_chat", initial_state=state
        )
        ban: Json = {"membership": "ban"}
        self.side.ours.send(self.room, "m.room.member", ban, "@eve:other.example")
        self.levels = self.room.current["m.room.power_levels", ""]
        newer = {**self.levels.content, "kick": 60}
        self.side.ours.send(self.room, "m.room.power_levels", newer, "")
        self.join = self.side.membership(self.room, "join")
        self.joined = self.side.send("join", self.join)
        assert self.joined.status == 200
        said = [
            self.side.ours.send(self.room, "m.room.message", text(str(each))).event
            for each in range(4)
        ]
        self.said = [each.event_id for each in said]
        self.invite = signed(
            {
                "type": "m.room.member",
                "room_id": "!other:them.example",
                "sender": BOB.user_id,
                "state_key": ALICE.user_id,
                "content": {"membership": "invite"},
                "origin_server_ts": 1,
                "depth": 5,
                "prev_events": [],
                "auth_events": [],
            },
            "11",
        )

    def ask(self, route: str) -> Answer:  # noqa: PLR0911 - one for each route
        """The answer of a route."""
        side, room, last = self.side, self.room.room_id, self.said[-1]
        at = [("event_id", last)]
        if route == "make_join":
            user = "@new:them.example"
            return side.ask("GET", route, room, user, query=VERSIONS)
        if route == "send_join":
            return side.send("join", self.join)  # again: the same reply
        if route == "get_missing_events":
            content: Any = {
                "earliest_events": [self.join.event_id],
                "latest_events": [last],
                "limit": 10,
            }
            return side.ask("POST", route, room, content=content)
        if route == "backfill":
            return side.ask("GET", route, room, query=[("v", last), ("limit", "3")])
        if route in {"state", "state_ids"}:
            return side.ask("GET", route, room, query=at)
        if route == "event":
            return side.ask("GET", route, last)
        if route == "event_auth":
            return side.ask("GET", route, room, last)
        assert route == "invite"
        steps = self.invite.room_id, self.invite.event_id
        body: Any = {"event": self.invite.pdu, "room_version": "11"}
        return side.ask("PUT", route, *steps, content=body, v2=True)

    def both(self, name: str, *, value: object = True) -> tuple[Any, Any]:
        """The answers of a route with a fault and without it."""
        route = ROUTES[name.partition(".")[0]]
        right = self.ask(route)
        assert right.status == 200, right.json
        self.side.put({name: value})
        got = self.ask(route)
        self.side.put({})
        assert got.status == 200, got.json
        return got.json, right.json

    def events(self, pdus: Any) -> list[Event]:
        """Events of an answer, which have the form of the room's version."""
        return [Event.parse(each, ROOM_VERSIONS[self.version]) for each in pdus]

    def created_room(self, got: Any) -> bool:
        """Whether the create event of a reply to a join is one of the room."""
        [create] = self.events([of_type(got, "m.room.create")])
        return create.room_id == self.room.room_id

    def is_signed(self, pdu: Any) -> bool:
        """Whether our signature of an event verifies."""
        version = ROOM_VERSIONS[self.version]
        key = signing_key().verify_key
        signatures = parse_signatures(pdu, OUR_NAME)
        message = signed_bytes(redact(pdu, version))
        return any(
            isinstance(each, bytes) and key.verify(message, each)
            for each in signatures.values()
        )


ROUTES = {
    "template": "make_join",
    "send-join": "send_join",
    "missing": "get_missing_events",
    "backfill": "backfill",
    "state": "state",
    "state-ids": "state_ids",
    "event": "event",
    "event-auth": "event_auth",
    "invite": "invite",
}


def of_type(got: Any, kind: str, key: str = "") -> Any:
    """An event of the state of a reply to a join."""
    [found] = [
        each
        for each in got["state"]
        if (each["type"], each.get("state_key")) == (kind, key)
    ]
    return found
