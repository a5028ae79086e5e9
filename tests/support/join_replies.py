"""What the first of our neighbours answers to a join, as it should or otherwise."""

from collections.abc import Callable
from typing import Any

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import ServerName
from homeserver.rooms.question import Question
from tests.support.coroutines import result_of
from tests.support.neighbours import ANN, Neighbours
from tests.support.signed_requests import OTHERS, THEM

FIRST, SECOND = THEM.server_name, OTHERS.server_name
NOBODY = ServerName.parse("nobody.example")


def without(*steps: str) -> Callable[[Any], Any]:
    """A reply without a member."""

    def change(reply: Any) -> Any:
        *path, last = steps
        inner = reply
        for step in path:
            inner = inner[step]
        del inner[last]
        return reply

    return change


def with_(*steps: str, value: Any) -> Callable[[Any], Any]:
    """A reply with another value of a member."""

    def change(reply: Any) -> Any:
        *path, last = steps
        inner = reply
        for step in path:
            inner = inner[step]
        inner[last] = value
        return reply

    return change


def answer(near: Neighbours, question: Question) -> Json:
    """What an honest server answers to a join, whatever the join is."""
    join = Event.parse(question.content, near.theirs.room_version)
    room = result_of(near.them.rooms.known(near.room_id))
    state = room.current
    reply: Json = {
        "auth_chain": [each.pdu for each in room.events.values()],
        "event": join.pdu,
        "members_omitted": False,
        "origin": FIRST.name,
        "servers_in_room": [FIRST.name],
        "state": [each.pdu for each in state.values()],
    }
    return reply


def drop(reply: Any, kind: str) -> Any:
    """A reply without the events of a type."""
    for where in ("state", "auth_chain"):
        reply[where] = [each for each in reply[where] if each["type"] != kind]
    return reply


def unsigned(kind: str) -> Callable[[Any], Any]:
    """A reply with an event whose signatures do not verify."""

    def change(reply: Any) -> Any:
        for where in ("state", "auth_chain"):
            for each in reply[where]:
                if each["type"] == kind:
                    [names] = each["signatures"].values()
                    for key in names:
                        names[key] = "A" * 86
        return reply

    return change


def restricted(near: Neighbours) -> None:
    """Let the room admit the members of another one, in which Ann is."""
    allowed = near.create()
    result_of(near.elsewhere.join(allowed.room_id, ANN, [FIRST]))
    rule: Json = {
        "join_rule": "restricted",
        "allow": [{"type": "m.room_membership", "room_id": allowed.room_id}],
    }
    near.send("m.room.join_rules", rule, "")
