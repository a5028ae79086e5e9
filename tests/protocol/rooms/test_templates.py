"""Nothing is signed that was not asked for, and nothing taken that was not sent."""

from dataclasses import replace
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import BadJson, InvalidParam, ProtocolError
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId, RoomId, ServerName, UserId
from homeserver.protocol.rooms.building import (
    NewEvent,
    Place,
    build_pdu,
    unsigned_event,
)
from homeserver.protocol.rooms.templates import (
    Sent,
    Wanted,
    add_countersignature,
    check_invite_state,
    check_sent,
    read_template,
)
from tests.protocol.rooms.room import ALICE, BOB, DAN, OLIVE, Room
from tests.support.tables import cases

VERSIONS = list(ROOM_VERSIONS)
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


@pytest.mark.parametrize("version", VERSIONS)
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


@pytest.mark.parametrize("version", VERSIONS)
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


def sent_of(event: Event, membership: str, target: str | None = None) -> Sent:
    """What a member event has to be for the route that it comes by."""
    return Sent(
        membership,
        event.room_id,
        event.event_id,
        event.sender.server_name,
        None if target is None else ServerName.parse(target),
    )


@pytest.mark.parametrize("membership", ["join", "knock", "leave"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_sent_event(version: str, membership: str) -> None:
    """A user's own membership is taken from the user's server."""
    event = Room(version).membership(DAN, DAN, membership)
    check_sent(event, sent_of(event, membership))


def test_a_sent_invite() -> None:
    """An invite is taken for a user of the server that it is sent to."""
    event = Room("12").membership(DAN, OLIVE, "invite")
    check_sent(event, sent_of(event, "invite", "o.example"))
    with pytest.raises(InvalidParam, match=r"is not a user of a\.example"):
        check_sent(event, sent_of(event, "invite", "a.example"))
    odd = Room("12").membership(DAN, "olive", "invite")
    with pytest.raises(InvalidParam, match="not a user ID"):
        check_sent(odd, sent_of(odd, "invite", "o.example"))


def test_what_was_not_to_be_sent() -> None:
    """Each difference from the route is refused, and named."""
    room = Room("12")
    event = room.membership(DAN, DAN, "join")
    sent = sent_of(event, "join")
    topic = room.make("m.room.topic", DAN, {"membership": "join"}, DAN)
    no_key = room.make("m.room.member", DAN, {"membership": "join"})
    other = room.membership(DAN, OLIVE, "join")
    wrong: list[tuple[Event, Sent, str]] = [
        (topic, sent_of(topic, "join"), "`type` is 'm.room.topic'"),
        (event, replace(sent, membership="leave"), "`membership` is 'join'"),
        (event, replace(sent, room_id=RoomId("!x:y")), "`room_id` is"),
        (event, replace(sent, event_id=EventId("$x")), "the event's ID is"),
        (
            event,
            replace(sent, origin=ServerName.parse("e.example")),
            "the sender's server is 'd.example', not e.example",
        ),
        (no_key, sent_of(no_key, "join"), "has a state key"),
        (other, sent_of(other, "join"), "another user than the sender"),
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


OWN = {"d.example": {"ed25519:1": "ours"}}
SERVER = ServerName.parse("o.example")


def countersigned(event: Event, signatures: object, **members: object) -> Event:
    """What comes back for an event."""
    pdu = {**event.pdu, "signatures": signatures, **members}
    return Event.parse(pdu, event.room_version)


@pytest.mark.parametrize("version", VERSIONS)
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


@pytest.mark.parametrize("version", VERSIONS)
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
