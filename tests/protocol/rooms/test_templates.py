"""Templates of memberships: nothing is signed that was not asked for."""

from dataclasses import replace
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import BadJson, InvalidParam, ProtocolError
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, RoomId, UserId
from homeserver.protocol.rooms.building import (
    NewEvent,
    Place,
    build_pdu,
    unsigned_event,
)
from homeserver.protocol.rooms.templates import Wanted, read_template
from tests.protocol.rooms.room import ALICE, BOB, OLIVE, Room
from tests.support.tables import cases

VIA = "join_authorised_via_users_server"
OLIVE_ID = UserId.parse(OLIVE)


def reply_of(version: str, membership: str = "join", **content: object) -> Json:
    """What a server of a room proposes for a membership of Olive."""
    room = Room(version)
    new = NewEvent(
        "m.room.member", OLIVE_ID, {"membership": membership, **content}, OLIVE
    )
    place = Place(room.version, room.room_id, room.last, room.state)
    return {"event": build_pdu(new, place, 5), "room_version": version}


def wanted_of(reply: Json, membership: str = "join") -> Wanted:
    """What such a reply is asked for."""
    event: Any = reply["event"]
    return Wanted(membership, RoomId(event["room_id"]), OLIVE_ID)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
@pytest.mark.parametrize("membership", ["join", "knock", "leave"])
def test_a_template(version: str, membership: str) -> None:
    """What is as asked for is read, and completed with our time and our words."""
    reply = reply_of(version, membership)
    template = read_template(reply, wanted_of(reply, membership))
    assert template.room_version is ROOM_VERSIONS[version]
    event_id = EventId("$own:o.example") if version in {"1", "2"} else None
    pdu = template.complete({"displayname": "Olive"}, 99, event_id)
    event = unsigned_event(pdu, template.room_version)
    proposed: Any = reply["event"]
    assert event.content == {"membership": membership, "displayname": "Olive"}
    assert event.origin_server_ts == 99
    for member in ("prev_events", "auth_events", "depth", "room_id"):
        assert pdu[member] == proposed[member]
    if event_id:
        assert event.event_id == event_id


def test_absent_version() -> None:
    """A server that says no version means the first one."""
    reply = reply_of("1")
    del reply["room_version"]
    assert read_template(reply, wanted_of(reply)).room_version is ROOM_VERSIONS["1"]


def test_nothing_else_is_kept() -> None:
    """What else another server put in is not signed."""
    reply = reply_of("12", displayname="Mallory", x="y", membership_="z")
    event: Any = reply["event"]
    event |= {"redacts": "$x", "unsigned": {"age": 1}, "hashes": {}, "x": "y"}
    event |= {"origin": "m.example", "signatures": {"m.example": {}}, "event_id": "$x"}
    pdu = read_template(reply, wanted_of(reply)).complete({}, 99)
    assert pdu["content"] == {"membership": "join"}
    assert set(pdu) == {
        "type",
        "room_id",
        "sender",
        "state_key",
        "content",
        "depth",
        "prev_events",
        "auth_events",
        "origin_server_ts",
    }


def test_our_words_do_not_change_the_membership() -> None:
    """A profile adds to the content and takes nothing from it."""
    reply = reply_of("12", **{VIA: BOB})
    template = read_template(reply, wanted_of(reply))
    content = template.complete({"membership": "ban", VIA: "x"}, 99)["content"]
    assert content == {"membership": "join", VIA: BOB}


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_who_authorises(version: str) -> None:
    """From version 8 on a join keeps the user that authorises it."""
    reply = reply_of(version, **{VIA: BOB})
    content = read_template(reply, wanted_of(reply)).pdu["content"]
    kept = {VIA: BOB} if int(version) >= 8 else {}
    assert content == {"membership": "join", **kept}
    knock = reply_of(version, "knock", **{VIA: BOB})
    content = read_template(knock, wanted_of(knock, "knock")).pdu["content"]
    assert content == {"membership": "knock"}


FORGED: list[tuple[str, Json]] = [
    ("another type", {"type": "m.room.power_levels"}),
    ("another room", {"room_id": "!other:a.example"}),
    ("another sender", {"sender": "@eve:o.example"}),
    ("another state key", {"state_key": "@eve:o.example"}),
    ("no state key", {"state_key": None}),
    ("another membership", {"content": {"membership": "ban"}}),
    ("no membership", {"content": {}}),
    ("no content", {"content": None}),
    ("an odd authoriser", {"content": {"membership": "join", VIA: 5}}),
    ("no depth", {"depth": None}),
    ("a negative depth", {"depth": -1}),
    ("an absurd depth", {"depth": 2**53}),
    ("no prev events", {"prev_events": None}),
    ("pairs as prev events", {"prev_events": [["$x:y", {}]]}),
    ("21 prev events", {"prev_events": ["$x"] * 21}),
    ("11 auth events", {"auth_events": ["$x"] * 11}),
    ("auth events that are none", {"auth_events": [5]}),
    ("65,536 bytes", {"auth_events": ["$" + "x" * 65536]}),
]


@pytest.mark.parametrize(
    ("member", "value"),
    [("type", "x"), ("room_id", "!x:y"), ("sender", ALICE), ("state_key", ALICE)],
)
def test_what_differs_is_named(member: str, value: str) -> None:
    """The refusal names the member, its value, and what was asked for."""
    reply = reply_of("12")
    wanted = wanted_of(reply)
    event: Any = reply["event"]
    asked = event[member]
    event[member] = value
    with pytest.raises(BadJson) as refused:
        read_template(reply, wanted)
    assert str(refused.value) == (
        f"`{member}` of the template is {value!r}, not {asked}"
    )


@cases("change", FORGED)
def test_a_forged_template(change: Json) -> None:
    """What is not as asked for, or of a wrong form, is refused."""
    reply = reply_of("12")
    wanted = wanted_of(reply)
    event: Any = reply["event"]
    event |= change
    with pytest.raises(ProtocolError):
        read_template(reply, wanted)


def test_a_template_says_what_is_wrong() -> None:
    """What was found, and what was asked for."""
    reply = reply_of("12")
    wanted = replace(wanted_of(reply), membership="leave")
    with pytest.raises(BadJson, match="`membership` of the template is 'join', not le"):
        read_template(reply, wanted)


def test_an_authoriser_that_is_no_user() -> None:
    """Whose signature a join would need must be a user's server."""
    reply = reply_of("12", **{VIA: "bob"})
    with pytest.raises(InvalidParam):
        read_template(reply, wanted_of(reply))


@pytest.mark.parametrize("version", ["13", 12, None, ""])
def test_an_unknown_room_version(version: object) -> None:
    """A version is never guessed."""
    reply = reply_of("12")
    wanted = wanted_of(reply)
    with pytest.raises(InvalidParam, match="unknown room version"):
        read_template({**reply, "room_version": version}, wanted)


@pytest.mark.parametrize("event", [None, [], "x"])
def test_no_template(event: object) -> None:
    """A reply without an event has nothing to sign."""
    reply = reply_of("12")
    with pytest.raises(BadJson):
        read_template({**reply, "event": event}, wanted_of(reply))
