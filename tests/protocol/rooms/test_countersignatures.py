"""What another server signs of an event of ours, and nothing else, is taken of it."""

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import BadJson
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.templates import add_countersignature
from tests.protocol.rooms.room import DAN, OLIVE, Room

OWN = {"d.example": {"ed25519:1": "ours"}}
SERVER = ServerName.parse("o.example")


def countersigned(event: Event, signatures: object, **members: object) -> Event:
    """What comes back for an event."""
    pdu = {**event.pdu, "signatures": signatures, **members}
    return Event.parse(pdu, event.room_version)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_a_countersignature(version: str) -> None:
    """The other server's signatures are added, and nothing else is taken."""
    room = Room(version)
    ours = room.membership(DAN, OLIVE, "invite")
    ours = countersigned(ours, OWN, unsigned={"age": 1})
    theirs = {
        "d.example": {"ed25519:1": "forged"},
        "o.example": {"ed25519:2": "theirs"},
        "x.example": {"ed25519:3": "another"},
    }
    reply = countersigned(ours, theirs, unsigned={"x": "y"})
    both = add_countersignature(ours, reply, SERVER)
    assert both.pdu["signatures"] == OWN | {"o.example": {"ed25519:2": "theirs"}}
    assert both.pdu["unsigned"] == {"age": 1}
    assert both.event_id == ours.event_id


def test_our_signatures_stay() -> None:
    """What a server answers in its own part takes no signature away."""
    ours = countersigned(Room("12").membership(DAN, OLIVE, "invite"), OWN)
    reply = countersigned(ours, {"d.example": {"ed25519:1": "x", "ed25519:9": "y"}})
    both = add_countersignature(ours, reply, ServerName.parse("d.example"))
    assert both.pdu["signatures"] == {
        "d.example": {"ed25519:1": "ours", "ed25519:9": "y"}
    }


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_another_event_comes_back(version: str) -> None:
    """A reply is refused that is not the event that was sent."""
    room = Room(version)
    ours = countersigned(room.membership(DAN, OLIVE, "invite"), OWN)
    other = countersigned(ours, {"o.example": {"k": "s"}}, origin_server_ts=1)
    with pytest.raises(BadJson, match="answered with another event"):
        add_countersignature(ours, other, SERVER)


@pytest.mark.parametrize(
    "signatures", [{}, {"o.example": {}}, {"o.example": "x"}, {"a.example": {"k": "s"}}]
)
def test_no_countersignature(signatures: Json) -> None:
    """A reply is refused that the other server did not sign."""
    ours = countersigned(Room("12").membership(DAN, OLIVE, "invite"), OWN)
    with pytest.raises(BadJson):
        add_countersignature(ours, countersigned(ours, signatures), SERVER)
