"""Why an event is let into a room, or is not."""

import json
from dataclasses import fields
from typing import Any

import pytest

from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.rooms.switches import SWITCHES
from homeserver.rooms.drawing import Node
from homeserver.rooms.explanation import NotExplained, explain
from homeserver.rooms.room_file import read
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom


def explained(
    room: MadeRoom, event: Event, *more: dict[str, object]
) -> tuple[Any, list[Node]]:
    """What is said of an event of a room, and what is drawn."""
    pdus = [*(each.pdu for each in room.events.values()), *more]
    return explain(read(json.dumps(pdus).encode(), None), event.event_id)


def named(event: Event) -> dict[str, object]:
    """How an event is named."""
    return {
        "event_id": event.event_id,
        "type": event.type,
        "state_key": event.state_key,
        "sender": event.sender.user_id,
    }


def test_accepted() -> None:
    """It says by which check and rule, and which states hold."""
    room = MadeRoom("10")
    topic = room.send("m.room.topic", ALICE, {}, cites=[room.join])
    name = room.send("m.room.name", ALICE, {}, cites=[room.join])
    result, drawn = explained(room, topic)
    assert result == {
        **named(topic),
        "room_id": "!room:a.example",
        "room_version": "10",
        "outcome": "accepted",
        "check": 6,
        "rule": "10",
        "why": "no rule refuses it",
        "content_hash_matches": True,
        "switches": [],
        "prev_events_without_state": [],
        "state_before": [named(room.create), named(room.join)],
        "current_state": [
            named(each) for each in (room.create, room.join, name, topic)
        ],
        "events": [
            {**named(each), "outcome": "accepted", "check": 6, "rule": rule, "why": why}
            for each, rule, why in (
                (room.create, "1.5", "it begins a room"),
                (room.join, "4.3.1", "the creator joins right after the create event"),
                (topic, "10", "no rule refuses it"),
                (name, "10", "no rule refuses it"),
            )
        ],
        "not_judged": {},
        "dropped": [],
    }
    assert json.loads(json.dumps(result)) == result
    assert [each.is_chosen for each in drawn] == [False, False, True, False]
    assert drawn[2] == Node(
        topic.event_id,
        f"{topic.event_id[:9]} m.room.topic '' by {ALICE}",
        (room.join.event_id,),
        "accepted",
        is_chosen=True,
    )


def test_rejected() -> None:
    """It says by which rule, in the drawing as well."""
    room = MadeRoom("10")
    message = room.send("m.room.message", BOB, {}, None, cites=[])
    result, drawn = explained(room, message)
    why = f"the sender {BOB} is not in the room: its membership is leave"
    assert (result["outcome"], result["check"], result["rule"], result["why"]) == (
        "rejected",
        4,
        "5",
        why,
    )
    assert (drawn[2].mark, drawn[2].text) == (
        "rejected",
        f"{message.event_id[:9]} m.room.message by {BOB}: rule 5: {why}",
    )


def test_soft_failed() -> None:
    """The current state is that of the events that the file has before it."""
    room = MadeRoom("10")
    levels: dict[str, object] = {"users": {ALICE: 100}, "events_default": 0}
    power = room.send("m.room.power_levels", ALICE, levels, cites=[room.join])
    room.member(ALICE, "leave", cites=[power, room.join])
    late = room.send(
        "m.room.message", ALICE, {}, None, cites=[power, room.join], after=[power]
    )
    result, drawn = explained(room, late)
    assert (result["outcome"], result["check"]) == ("soft-failed", 6)
    assert drawn[-1].mark == "soft-failed"
    first = list(room.events)
    del room.events[first[3]]
    assert explained(room, late)[0]["outcome"] == "accepted"


def test_outlier() -> None:
    """What comes after unknown events is judged by its auth events alone."""
    room = MadeRoom("10")
    unknown = room.send("m.room.topic", ALICE, {}, cites=[room.join])
    after = room.send("m.room.name", ALICE, {}, cites=[room.join])
    del room.events[unknown.event_id]
    result, drawn = explained(room, after)
    assert (result["outcome"], result["check"]) == ("outlier", 4)
    assert result["state_before"] is None
    assert result["prev_events_without_state"] == [unknown.event_id]
    assert drawn[-1].mark == "outlier"
    last = room.send(
        "m.room.message", ALICE, {}, None, cites=[room.join], after=[after, room.join]
    )
    result, _ = explained(room, last)
    assert result["prev_events_without_state"] == [after.event_id]


def test_not_judged() -> None:
    """What cites unknown auth events is named, and what cites it in turn."""
    room = MadeRoom("10")
    unknown = room.member(BOB, "invite", sender=ALICE, cites=[room.join])
    citing = room.member(BOB, "join", cites=[unknown])
    after = room.send("m.room.message", BOB, {}, None, cites=[citing])
    topic = room.send("m.room.topic", ALICE, {}, cites=[room.join], after=[room.join])
    del room.events[unknown.event_id]
    result, drawn = explained(room, topic)
    assert result["not_judged"] == {
        citing.event_id: "it cannot be judged: "
        f"the auth event {unknown.event_id} is not known",
        after.event_id: "it cannot be judged: "
        f"the auth event {citing.event_id} is not known",
    }
    assert [each.mark for each in drawn] == ["accepted"] * 2 + ["not-judged"] * 2 + [
        "accepted"
    ]
    with pytest.raises(NotExplained, match="cannot be judged"):
        explained(room, after)


def test_events_of_another_room() -> None:
    """They are known, so that events that cite them are rejected."""
    room = MadeRoom("10")
    other = MadeRoom("10", BOB)
    topic = room.send("m.room.topic", ALICE, {}, cites=[room.join])
    citing = room.send("m.room.topic", ALICE, {"n": 1}, cites=[other.join])
    foreign = [each.pdu for each in other.events.values()]
    result, _ = explained(room, topic, *foreign)
    assert result["outcome"] == "accepted"
    assert result["not_judged"] == dict.fromkeys(
        other.events, "it is of another room: !room:b.example"
    )
    result, _ = explained(room, citing, *foreign)
    assert (result["outcome"], result["rule"]) == ("rejected", "2.2")


def test_dropped() -> None:
    """An event of a bad form is dropped, and the others are judged without it."""
    room = MadeRoom("10")
    topic = room.send("m.room.topic", ALICE, {}, cites=[room.join])
    bad = {key: each for key, each in topic.pdu.items() if key != "depth"}
    pdus = json.dumps([room.create.pdu, bad, room.join.pdu]).encode()
    file = read(pdus, None)
    result, _ = explain(file, room.join.event_id)
    [dropped] = file.dropped
    assert dropped.event_id is not None
    assert result["dropped"] == [
        {"number": 2, "event_id": dropped.event_id, "why": "`depth` is missing"}
    ]
    result, drawn = explain(file, dropped.event_id)
    assert result == {
        "event_id": dropped.event_id,
        "outcome": "dropped",
        "why": "`depth` is missing",
    }
    assert [(each.event_id, each.is_chosen) for each in drawn] == [
        (room.create.event_id, False),
        (room.join.event_id, False),
    ]
    worse = bad | {"origin_server_ts": 5}
    file = read(json.dumps([worse, bad]).encode(), room.version)
    result, drawn = explain(file, dropped.event_id)
    assert (result["event_id"], drawn) == (dropped.event_id, [])


def test_changed_content() -> None:
    """An event whose hash does not match is judged as what redaction leaves of it."""
    room = MadeRoom("10")
    levels: dict[str, object] = {"users": {ALICE: 100}}
    power = room.send("m.room.power_levels", ALICE, levels, cites=[room.join])
    del room.events[power.event_id]
    changed = power.pdu | {"content": {"users": {ALICE: 100}, "more": 1}}
    result, _ = explained(room, power, changed)
    assert result["content_hash_matches"] is False
    assert result["outcome"] == "accepted"


def test_not_in_the_file() -> None:
    """Nothing is said of an event that the file does not have."""
    room = MadeRoom("10")
    file = read(json.dumps([room.create.pdu]).encode(), None)
    with pytest.raises(NotExplained, match=r"^\$x is not in the file$"):
        explain(file, EventId("$x"))


def test_circle() -> None:
    """Of events that cite each other, only that is said."""
    room = MadeRoom("2")
    event, _ = [
        room.send(
            "m.room.topic",
            ALICE,
            {},
            cites=[],
            event_id=own,
            auth_events=[[room.create.event_id, {}], [other, {}]],
        )
        for own, other in (("$x:a", "$y:a"), ("$y:a", "$x:a"))
    ]
    with pytest.raises(NotExplained, match="cites itself through others"):
        explained(room, event)
    result, _ = explained(room, room.join)
    assert result["not_judged"] == dict.fromkeys(
        ("$x:a", "$y:a"), "it cites itself through others"
    )


def test_switch_of_a_rule() -> None:
    """Where another reading of the text decides otherwise, the switch is named."""
    room = MadeRoom("10", more={"m.federate": False})
    invite = room.member(BOB, "invite", sender=ALICE, cites=[room.join])
    result, _ = explained(room, invite)
    [switch] = result["switches"]
    assert (switch["name"], switch["value"]) == ("federation_binds_targets", False)
    assert switch["otherwise"]["outcome"] == "rejected"
    assert switch["otherwise"]["rule"] == "3"
    assert switch["otherwise"]["state_before_differs"] is False


def test_switch_of_state_resolution() -> None:
    """So it is where another state would hold before the event."""
    room = MadeRoom("12")
    levels: dict[str, object] = {"users": {BOB: 100}}
    old = room.send("m.room.power_levels", ALICE, levels, cites=[room.join])
    new = room.send("m.room.power_levels", ALICE, levels, cites=[old, room.join])
    topics = [
        room.send(
            "m.room.topic", ALICE, {}, cites=[cited, room.join], after=[new], ts=ts
        )
        for ts, cited in ((1, new), (2, old))
    ]
    message = room.send(
        "m.room.message", ALICE, {}, None, cites=[new, room.join], after=topics
    )
    result, _ = explained(room, message)
    assert named(topics[1]) in result["state_before"]
    [switch] = result["switches"]
    assert (switch["name"], switch["value"]) == ("states_are_in_their_chains", True)
    assert switch["otherwise"]["outcome"] == "accepted"
    assert switch["otherwise"]["state_before_differs"] is True


def test_all_switches_are_tried() -> None:
    """Each switch has two readings, as the explanation takes the other one."""
    assert {type(getattr(SWITCHES, each.name)) for each in fields(SWITCHES)} == {bool}
