"""The routes of a policy server: to be asked as one, and to become one.

Rules: as those of `rooms.routes` and `control.routes`. A room that the server is not in
is not known.

Specification: Server-server API, "Policy Servers".
"""

from msgspec import Struct

from homeserver.control.routing import Call, ControlRoute, route
from homeserver.control.views import Nothing, Object
from homeserver.protocol.canonical_json import Json, as_text
from homeserver.protocol.errors import MISSING, NotFound
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import parse_room_id
from homeserver.rooms.policy_desk import PolicyDesk
from homeserver.rooms.question import Question
from homeserver.rooms.resident import Resident


async def sign(resident: Resident, question: Question) -> Json:
    """POST sign: our signature for an event of a room that we are in."""
    desk = resident.policy_desk
    desk.check_open()
    pdu = question.content
    # A create event of version 12 has no room ID, and needs no signature.
    room_id = parse_room_id(as_text(pdu.get("room_id", MISSING), "`room_id`"))
    room = await resident.room_for(room_id, question.origin)
    return desk.sign(Event.parse(pdu, room.room_version))


class PolicyView(Struct, frozen=True):
    """A policy server."""

    public_key: str
    content: Object
    """That of the `m.room.policy` event by which a room uses it."""


def policy_control_routes(desk: PolicyDesk) -> list[ControlRoute]:
    """One of our servers as a policy server."""

    def view(public_key: str) -> PolicyView:
        keys = {"ed25519": public_key}
        return PolicyView(
            public_key, {"via": desk.server_name.name, "public_keys": keys}
        )

    def become(_: Call[Nothing, Nothing]) -> PolicyView:
        """Be a policy server from now on, with a new key, and sign what is asked."""
        return view(desk.open())

    def show(_: Call[Nothing, Nothing]) -> PolicyView:
        """The key of the policy server."""
        if desk.public_key is None:
            raise NotFound(f"{desk.server_name} is no policy server; POST makes it one")
        return view(desk.public_key)

    def end(_: Call[Nothing, Nothing]) -> Nothing:
        """Be no policy server any more."""
        desk.close()
        return Nothing()

    path = "/v1/policy"
    return [
        route("POST", path, become),
        route("GET", path, show, errors=(NotFound,)),
        route("DELETE", path, end),
    ]
