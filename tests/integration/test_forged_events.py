"""Events that are wrong on purpose, sent by one server of a lab to another one."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.lab.spoil.events import EVENT_SPOILS
from homeserver.testing import Lab, LabError
from tests.support.forged_events import LEVEL_SPOILS, ForgedRoom


@pytest.fixture(scope="module", params=["10", "12"])
def room(lab: Lab, request: pytest.FixtureRequest) -> ForgedRoom:
    """A room for all tests that do not change it.

    Its state has more events than an event may cite.
    """
    more = [{"type": "m.room.x", "content": {}, "state_key": str(n)} for n in range(20)]
    return ForgedRoom(lab, request.param, name="N", initial_state=more)


ROWS: list[tuple[str, str | None]] = [
    ("signature", None),
    ("no-signature", None),
    ("other-key", None),
    ("prev-events:21", None),
    ("auth-events:11", None),
    ("size", None),
    ("state-key", None),
    ("float", None),
    ("big-integer", None),
    ("unknown-auth", None),
    ("unknown-prev", None),
    ("other-room", None),
    ("content", "accepted"),
    ("hash", "accepted"),
    ("duplicate-auth", "rejected"),
    ("foreign-auth", "rejected"),
    ("create-auth", "rejected"),
]
"""Each mistake, and the verdict; None for an event that is dropped."""


@pytest.mark.parametrize(("spoil", "verdict"), ROWS)
def test_mistakes(room: ForgedRoom, spoil: str, verdict: str | None) -> None:
    """Our server does what a right one does, and cites nothing that it refuses."""
    made = room.forge(spoil, content={"body": "b"})
    assert room.verdict(made["event_id"]) == verdict
    [expected] = made["expected"]
    assert expected.startswith("A right server ")
    if verdict == "accepted":
        assert room.event(made["event_id"])["event"]["content"] == {}
    else:
        assert made["event_id"] not in room.ends()


def test_an_event_of_another_server_s_id(lab: Lab) -> None:
    """In version 1 the ID is chosen, and its server has to have signed it."""
    room = ForgedRoom(lab, "1")
    made = room.forge("event-id")
    assert made["event_id"] == "$spoiled:spoiled.invalid"
    assert room.verdict(made["event_id"]) is None


def test_two_contents_of_one_id(lab: Lab) -> None:
    """In version 1 the first one stays."""
    room = ForgedRoom(lab, "1")
    event_id = f"$x:{room.ours.name}"
    for body in ("first", "second"):
        room.forge(content={"body": body}, members={"event_id": event_id})
    assert room.event(event_id)["event"]["content"] == {"body": "first"}


def test_a_wrong_signature_of_a_policy_server(lab: Lab) -> None:
    """It is soft-failed, after the policy server was asked."""
    room = ForgedRoom(lab, "11")
    policy = room.call("POST", room.theirs, "policy")
    room.send("m.room.policy", policy["content"], "")
    room.call("DELETE", room.theirs, "policy")
    made = room.forge("policy-signature")
    assert room.verdict(made["event_id"]) == "soft-failed"
    assert made["event_id"] not in room.ends()


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


@pytest.mark.parametrize(
    ("version", "ts", "verdict"),
    [
        ("10", -1, "accepted"),
        ("4", 2**53 - 1, "accepted"),
        # From version 5 on a key has to be valid at the time of the event.
        ("10", 2**53 - 1, None),
    ],
)
def test_times(lab: Lab, version: str, ts: int, verdict: str | None) -> None:
    """An event of the far past is accepted, one of the future if its key is valid."""
    room = ForgedRoom(lab, version)
    made = room.forge(origin_server_ts=ts, enter=True)
    assert made["verdict"] == "accepted"
    assert room.verdict(made["event_id"]) == verdict


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


def test_what_cannot_be_forged(room: ForgedRoom) -> None:
    """The answer says what is wrong with the request."""
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"spoil": ["x"]}, "`spoil` has"),
        ({"spoil": ["prev-events"]}, "prev-events:NUMBER"),
        ({"spoil": ["signature:1"]}, "it is signature"),
        ({"spoil": ["prev-events:x"]}, "has a number"),
        ({"spoil": ["event-id"]}, "version 1 or 2"),
        ({"spoil": ["policy-signature"]}, "m.room.policy"),
        ({"members": {"content": 1}, "enter": True}, "content"),
        ({"members": {"room_id": "!a:b.c"}, "enter": True}, "another room"),
    ]
    for members, text in wrong:
        with pytest.raises(LabError) as refused:
            content = {"type": "m.room.message", **members}
            room.call("POST", room.ours, *room.at("forge"), content=content)
        assert refused.value.status == 400, refused.value
        assert text in str(refused.value)


def test_each_mistake_is_tried() -> None:
    """None is left out."""
    names = {spoil.partition(":")[0] for spoil, _ in ROWS}
    elsewhere = {"event-id", "policy-signature"} | LEVEL_SPOILS.keys()
    assert names | elsewhere == set(EVENT_SPOILS)


@pytest.mark.parametrize("version", ["10", "12"])
def test_relayed_events(lab: Lab, version: str) -> None:
    """Another server of the room may send an event: its sender's server signed it."""
    room = ForgedRoom(lab, version)
    third = lab.server()
    via = {"via": [room.ours.name]}
    room.call("POST", third, *room.at("join"), content=via)
    made = room.forge(destinations=[third.name], enter=True)
    third.send(room.theirs.name, pdus=[made["event"]])
    assert room.verdict(made["event_id"]) == "accepted"


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_auth_events_that_were_rejected(lab: Lab, version: str) -> None:
    """An event that cites one is rejected itself."""
    room = ForgedRoom(lab, version)
    join = {"membership": "join"}
    ghost = f"@ghost:{room.ours.name}"
    bad = room.forge(kind=MEMBER, state_key=ghost, content=join, enter=True)
    assert room.verdict(bad["event_id"]) == "rejected"
    auth = room.forge(destinations=[])["event"]["auth_events"]
    ids = [each if isinstance(each, str) else each[0] for each in auth]
    [*kept, _] = ids
    made = room.forge(sender=ghost, auth_events=[*kept, bad["event_id"]], enter=True)
    assert room.verdict(made["event_id"]) == "rejected"


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


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_auth_events_of_another_room(lab: Lab, version: str) -> None:
    """They authorise nothing, although the other server has that room as well."""
    room = ForgedRoom(lab, version)
    made = room.call(
        "POST",
        room.ours,
        "rooms",
        content={"preset": "public_chat", "room_version": version},
    )
    there = "rooms", made["room_id"]
    room.call("POST", room.theirs, *there, "join", content={"via": [room.ours.name]})
    [levels] = [
        each["event_id"]
        for each in room.call("GET", room.ours, *there, "graph")["events"]
        if each["type"] == "m.room.power_levels"
    ]
    auth = room.forge(destinations=[])["event"]["auth_events"]
    ids = [each if isinstance(each, str) else each[0] for each in auth]
    bad = room.forge(auth_events=[*ids[:-1], levels])
    assert room.verdict(bad["event_id"]) is None
    assert room.event(levels) is None
    assert bad["event_id"] not in room.ends()


def test_events_of_another_room_before_it(lab: Lab) -> None:
    """Nothing of the other room is taken in, and the event is not part of this one."""
    room, other = ForgedRoom(lab, "10"), ForgedRoom(lab, "10")
    [end] = other.call("GET", other.ours, *other.at())["extremities"]
    made = room.forge(prev_events=[end])
    assert room.verdict(made["event_id"]) is None
    assert room.event(end) is None
