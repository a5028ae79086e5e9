"""Memberships that other servers send: taken as the route wants them, or refused."""

from dataclasses import replace

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, RoomId, ServerName
from homeserver.protocol.rooms.templates import Required, check_invite_state, check_sent
from tests.protocol.rooms.room import DAN, OLIVE, Room


def required_of(event: Event, membership: str, target: str | None = None) -> Required:
    """What a member event has to be for the route that it comes by."""
    return Required(
        membership,
        event.room_id,
        event.event_id,
        event.sender.server_name,
        None if target is None else ServerName.parse(target),
    )


@pytest.mark.parametrize("membership", ["join", "knock", "leave"])
@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_sent_event(version: str, membership: str) -> None:
    """A user's own membership is taken from the user's server."""
    event = Room(version).membership(DAN, DAN, membership)
    check_sent(event, required_of(event, membership))


def test_a_sent_invite() -> None:
    """An invite is taken for a user of the server that it is sent to."""
    event = Room("12").membership(DAN, OLIVE, "invite")
    check_sent(event, required_of(event, "invite", "o.example"))
    with pytest.raises(InvalidParam, match=r"is not a user of a\.example"):
        check_sent(event, required_of(event, "invite", "a.example"))
    odd = Room("12").membership(DAN, "olive", "invite")
    with pytest.raises(InvalidParam, match="not a user ID"):
        check_sent(odd, required_of(odd, "invite", "o.example"))


def test_what_was_not_to_be_sent() -> None:
    """Each difference from the route is refused, and named."""
    room = Room("12")
    event = room.membership(DAN, DAN, "join")
    required = required_of(event, "join")
    topic = room.make("m.room.topic", DAN, {"membership": "join"}, DAN)
    no_key = room.make("m.room.member", DAN, {"membership": "join"})
    other = room.membership(DAN, OLIVE, "join")
    wrong: list[tuple[Event, Required, str]] = [
        (topic, required_of(topic, "join"), "`type` is 'm.room.topic'"),
        (event, replace(required, membership="leave"), "`membership` is 'join'"),
        (event, replace(required, room_id=RoomId("!x:y")), "`room_id` is"),
        (event, replace(required, event_id=EventId("$x")), "the event's ID is"),
        (
            event,
            replace(required, origin=ServerName.parse("e.example")),
            "the sender's server is 'd.example', not e.example",
        ),
        (no_key, required_of(no_key, "join"), "has a state key"),
        (other, required_of(other, "join"), "another user than the sender"),
    ]
    for given, asked, sentence in wrong:
        with pytest.raises(InvalidParam) as refused:
            check_sent(given, asked)
        assert sentence in str(refused.value)


def test_what_comes_with_an_invite() -> None:
    """To a room whose ID is a hash, whole events of the room are needed."""
    room, other = Room("12"), Room("12", name="other")
    rules = room.state["m.room.join_rules", ""]
    version, room_id = room.version, room.room_id
    check_invite_state([rules.pdu, room.create.pdu], room_id, version)
    stripped: Json = {"type": "m.room.name", "state_key": "", "content": {}}
    wrong: list[tuple[list[Json], str]] = [
        ([], "lacks the create event"),
        ([rules.pdu], "lacks the create event"),
        ([room.create.pdu, stripped], "an event of `invite_room_state`: "),
        ([room.create.pdu, other.create.pdu], f"has an event of '{other.room_id}'"),
    ]
    for state, sentence in wrong:
        with pytest.raises(InvalidParam) as refused:
            check_invite_state(state, room_id, version)
        assert sentence in str(refused.value)
        check_invite_state(state, room_id, ROOM_VERSIONS["11"])
