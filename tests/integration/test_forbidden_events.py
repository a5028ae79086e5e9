"""Events that the rules of their room forbid: they are rejected or soft-failed."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.testing import Lab
from tests.support.forged_events import ForgedRoom, large_room


@pytest.fixture(scope="module", params=["10", "12"])
def room(lab: Lab, request: pytest.FixtureRequest) -> ForgedRoom:
    """A room for all tests that do not change it."""
    return large_room(lab, request.param)


MEMBER = "m.room.member"

JOIN = {"membership": "join"}

Forgery = Callable[[ForgedRoom], dict[str, Any]]
"""An event that the rules forbid, by the members of a request."""

FORBIDDEN: dict[str, Forgery] = {
    "by a user who never joined": lambda room: {"sender": f"@ghost:{room.ours.name}"},
    "state by a user without power": lambda room: {
        "kind": "m.room.topic",
        "state_key": "",
        "sender": room.eve,
    },
    "a state key of another user": lambda room: {
        "kind": "m.room.x",
        "state_key": room.eve,
    },
    "a join of another user": lambda room: {
        "kind": MEMBER,
        "state_key": f"@ghost:{room.ours.name}",
        "content": JOIN,
    },
    "a ban by a user without power": lambda room: {
        "kind": MEMBER,
        "state_key": room.alice,
        "sender": room.eve,
        "content": {"membership": "ban"},
    },
    "a membership that there is not": lambda room: {
        "kind": MEMBER,
        "state_key": room.eve,
        "sender": room.eve,
        "content": {"membership": "x"},
    },
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_the_rules_forbid(room: ForgedRoom, name: str) -> None:
    """It is rejected, and its state does not hold."""
    before = room.state(room.theirs)
    made = room.forge(**FORBIDDEN[name](room))
    assert room.verdict(made["event_id"]) == "rejected"
    assert room.state(room.theirs) == before


@pytest.mark.parametrize(
    ("version", "members", "verdict"),
    [
        ("10", {"prev_events": [], "auth_events": []}, "rejected"),
        ("10", {"auth_events": []}, "rejected"),
        # One of version 12 has no room ID: it is the room's by its hash.
        ("12", {"prev_events": [], "auth_events": []}, None),
        ("12", {"auth_events": []}, None),
    ],
)
def test_a_second_create_event(
    lab: Lab, version: str, members: dict[str, object], verdict: str | None
) -> None:
    """It is refused, and the room stays what it is."""
    room = ForgedRoom(lab, version)
    create = room.state(room.theirs)["m.room.create", ""]
    made = room.forge(
        kind="m.room.create", state_key="", content=create["content"], members=members
    )
    assert room.verdict(made["event_id"]) == verdict
    assert room.state(room.theirs)["m.room.create", ""] == create


def test_a_create_event_of_another_hash(lab: Lab) -> None:
    """In version 12 it begins another room, of which nothing is taken in."""
    room = ForgedRoom(lab, "12")
    create = room.state(room.theirs)["m.room.create", ""]
    unsigned = {
        key: each
        for key, each in create.items()
        if key in {"type", "state_key", "sender", "depth", "origin_server_ts"}
    }
    event = {
        **unsigned,
        "content": {**create["content"], "x": 1},
        "prev_events": [],
        "auth_events": [],
    }
    body = {"event": event, "room_version": "12"}
    signed = room.call("POST", room.ours, "sign", content=body)
    room.ours.send(room.theirs.name, pdus=[signed["event"]])
    assert room.verdict(signed["event_id"]) is None
    assert room.call("GET", room.theirs, "rooms")["rooms"] == [
        {"room_id": room.room_id}
    ]


@pytest.mark.parametrize("version", ["10", "12"])
def test_what_a_banned_user_says(lab: Lab, version: str) -> None:
    """Before the ban it is soft-failed; after it, and by its auth events, rejected."""
    room = ForgedRoom(lab, version)
    before = room.send()
    auth = room.forge(sender=room.eve)["event"]["auth_events"]
    ban = room.send(MEMBER, {"membership": "ban"}, room.eve)
    late = room.forge(sender=room.eve, prev_events=[before], auth_events=auth)
    assert room.verdict(late["event_id"]) == "soft-failed"
    assert late["event_id"] not in room.ends()
    other = room.forge(sender=room.eve, prev_events=[ban], auth_events=auth)
    assert room.verdict(other["event_id"]) == "rejected"
    after = room.forge(sender=room.eve, prev_events=[ban])
    assert room.verdict(after["event_id"]) == "rejected"


def test_what_a_user_says_who_has_left(lab: Lab) -> None:
    """It is rejected by its own auth events."""
    room = ForgedRoom(lab, "10")
    room.send(MEMBER, {"membership": "leave"}, room.eve, sender=room.eve)
    made = room.forge(sender=room.eve)
    assert room.verdict(made["event_id"]) == "rejected"
    assert made["event_id"] not in room.ends()


def test_a_banned_user_who_joins(lab: Lab) -> None:
    """The join is rejected, in a public room as well."""
    room = ForgedRoom(lab, "10")
    room.send(MEMBER, {"membership": "ban"}, room.eve)
    made = room.forge(kind=MEMBER, state_key=room.eve, sender=room.eve, content=JOIN)
    assert room.verdict(made["event_id"]) == "rejected"


def test_a_restricted_join_that_nobody_authorised(lab: Lab) -> None:
    """A user of the server that names itself needs a user who may invite."""
    room = ForgedRoom(lab, "10")
    rule = {"join_rule": "restricted", "allow": []}
    room.send("m.room.join_rules", rule, "")
    ghost = f"@ghost:{room.ours.name}"
    made = room.forge(kind=MEMBER, state_key=ghost, sender=ghost, content=JOIN)
    assert room.verdict(made["event_id"]) == "rejected"
    via = {**JOIN, "join_authorised_via_users_server": f"@no:{room.ours.name}"}
    made = room.forge(kind=MEMBER, state_key=ghost, sender=ghost, content=via)
    assert room.verdict(made["event_id"]) == "rejected"
    # The server of the user that it names has not signed it.
    via = {**via, "join_authorised_via_users_server": f"@creator:{room.theirs.name}"}
    made = room.forge(kind=MEMBER, state_key=ghost, sender=ghost, content=via)
    assert room.verdict(made["event_id"]) is None


@pytest.mark.parametrize(("version", "in_content"), [("10", False), ("11", True)])
def test_a_redaction_without_power(lab: Lab, version: str, *, in_content: bool) -> None:
    """It is an event of the room, and the other one keeps its content."""
    room = ForgedRoom(lab, version)
    user = f"@creator:{room.theirs.name}"
    said = room.call(
        "POST",
        room.theirs,
        *room.at("events"),
        content={"type": "m.room.message", "content": {"body": "b"}, "sender": user},
    )["event_id"]
    made = room.forge(
        kind="m.room.redaction",
        sender=room.eve,
        redacts=None if in_content else said,
        content={"redacts": said} if in_content else {},
    )
    assert room.verdict(made["event_id"]) == "accepted"
    assert room.event(said)["redacted_by"] is None
