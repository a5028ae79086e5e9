"""Forks of a room that a server of a lab makes, and how its other servers end."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from homeserver.testing import Lab
from tests.support.eventually import eventually
from tests.support.forged_events import ForgedRoom

MEMBER = "m.room.member"
LEVELS = "m.room.power_levels"


@pytest.mark.parametrize("version", ["1", "2", "10", "12"])
def test_forks_end_alike(lab: Lab, version: str) -> None:
    """Two topics of one time, told in different orders, end in one of them."""
    room = ForgedRoom(lab, version)
    third = lab.server()
    via = {"via": [room.ours.name]}
    room.call("POST", third, *room.at("join"), content=via)
    [start] = room.call("GET", room.ours, *room.at())["extremities"]
    first, second = room.theirs.name, third.name
    made = [
        room.forge(
            kind="m.room.topic",
            state_key="",
            content={"topic": told_first},
            prev_events=[start],
            origin_server_ts=1,
            destinations=[told_first],
            enter=True,
        )
        for told_first in (first, second)
    ]
    room.ours.send(second, pdus=[made[0]["event"]])
    room.ours.send(first, pdus=[made[1]["event"]])
    topics = [
        room.state(each)["m.room.topic", ""]["content"]["topic"]
        for each in (room.ours, room.theirs, third)
    ]
    assert len(set(topics)) == 1
    assert room.ends() == {each["event_id"] for each in made}


@pytest.mark.parametrize("version", ["10", "12"])
def test_a_soft_failed_event_that_is_cited(lab: Lab, version: str) -> None:
    """The event that cites it is taken in, and its state does not come back."""
    room = ForgedRoom(lab, version)
    levels = room.state(room.ours)["m.room.power_levels", ""]["content"]
    users = {**levels.get("users", {}), room.eve: 50}
    before = room.send("m.room.power_levels", {**levels, "users": users}, "")
    room.send(MEMBER, {"membership": "ban"}, room.eve)
    late = room.forge(
        kind="m.room.topic",
        state_key="",
        content={"topic": "late"},
        sender=room.eve,
        prev_events=[before],
        enter=True,
    )
    assert room.verdict(late["event_id"]) == "soft-failed"
    ends = room.call("GET", room.ours, *room.at())["extremities"]
    made = room.forge(prev_events=[*ends, late["event_id"]], enter=True)
    assert room.verdict(made["event_id"]) == "accepted"
    assert ("m.room.topic", "") not in room.state(room.theirs)


FORKS: dict[str, Callable[[ForgedRoom], list[dict[str, Any]]]] = {
    "two levels": lambda room: [
        {
            "kind": LEVELS,
            "state_key": "",
            "content": {
                **room.state(room.ours)[LEVELS, ""]["content"],
                "kick": number,
            },
        }
        for number in (60, 70)
    ],
    "a ban and a topic": lambda room: [
        {
            "kind": MEMBER,
            "state_key": room.eve,
            "content": {"membership": "ban"},
        },
        {
            "kind": "m.room.topic",
            "state_key": "",
            "sender": room.eve,
            "content": {"topic": "T"},
        },
    ],
}


@pytest.mark.parametrize("version", ["1", "10", "12"])
@pytest.mark.parametrize("name", FORKS)
def test_other_forks_end_alike(lab: Lab, name: str, version: str) -> None:
    """Whatever comes first, both servers have the same state in the end."""
    room = ForgedRoom(lab, version)
    third = lab.server()
    via = {"via": [room.ours.name]}
    room.call("POST", third, *room.at("join"), content=via)
    levels = room.state(room.ours)[LEVELS, ""]["content"]
    users = {**levels.get("users", {}), room.eve: 50}
    start = room.send(LEVELS, {**levels, "users": users}, "")
    first, second = room.theirs.name, third.name
    made = [
        room.forge(prev_events=[start], destinations=[name], enter=True, **members)
        for name, members in zip((first, second), FORKS[name](room), strict=True)
    ]
    room.ours.send(second, pdus=[made[0]["event"]])
    room.ours.send(first, pdus=[made[1]["event"]])
    # One server may have soft-failed what another one cites; the next event joins them.
    body = {"type": "m.room.message", "content": {}}
    end = room.call("POST", third, *room.at("events"), content=body)["event_id"]
    for each in (room.ours, room.theirs):
        found = eventually(partial(room.event, end, each))
        assert found["verdict"] == "accepted"
    states = [room.state(each) for each in (room.ours, room.theirs, third)]
    assert states[0] == states[1] == states[2]
