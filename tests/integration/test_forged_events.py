"""Events that are wrong on purpose, sent by one server of a lab to another one."""

from typing import Any

import pytest

from homeserver.lab.spoil.events import EVENT_SPOILS
from homeserver.testing import Lab, LabError
from tests.support.forged_events import LEVEL_SPOILS, ForgedRoom, large_room


@pytest.fixture(scope="module", params=["10", "12"])
def room(lab: Lab, request: pytest.FixtureRequest) -> ForgedRoom:
    """A room for all tests that do not change it."""
    return large_room(lab, request.param)


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
