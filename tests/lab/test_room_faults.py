"""Faults of answers about rooms, as a plain client gets them."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.lab.faults.history import HISTORY_FAULTS
from homeserver.lab.faults.invites import INVITE_FAULTS
from homeserver.lab.faults.joins import SEND_JOIN_FAULTS
from homeserver.lab.faults.states import STATE_FAULTS
from homeserver.lab.faults.templates import TEMPLATE_FAULTS
from homeserver.protocol.canonical_json import parse
from homeserver.protocol.errors import BadJson
from tests.support.faulty_room import Scene, of_type
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import BOB

FORMATS = ("1", "11", "12")

Check = Callable[[Scene, Any, Any], bool]
"""Whether a wrong answer is as it should be, beside the right one."""


def types(got: Any) -> set[str]:
    """The types of the events of a reply to a join."""
    return {each["type"] for each in [*got["state"], *got["auth_chain"]]}


def only(*changed: str) -> Check:
    """Only these members of the proposed event differ."""

    def check(_: Scene, got: Any, right: Any) -> bool:
        differing = {
            name
            for name in right["event"]
            if got["event"].get(name) != right["event"][name]
        }
        return differing - {"origin_server_ts"} == {*changed}

    return check


def all_of_other_room(scene: Scene, pdus: Any) -> bool:
    """All events are signed, and of another room."""
    rooms = {each["room_id"] for each in pdus}
    return (
        bool(pdus)
        and scene.room.room_id not in rooms
        and all(map(scene.is_signed, pdus))
    )


def all_unrelated(scene: Scene, pdus: Any) -> bool:
    """All events are of the room and signed, and not known."""
    ids = {each.event_id for each in scene.events(pdus)}
    return (
        len(ids) == len(pdus) > 0
        and not ids & set(scene.room.entries)
        and {each["room_id"] for each in pdus} == {scene.room.room_id}
        and all(map(scene.is_signed, pdus))
    )


def none_signed(scene: Scene, pdus: Any) -> bool:
    """No signature verifies."""
    return bool(pdus) and not any(map(scene.is_signed, pdus))


def halved(*names: str) -> Check:
    """Of each list half is left."""
    return lambda _, got, right: all(
        len(got[name]) == len(right[name]) // 2 for name in names
    )


def emptied(*names: str) -> Check:
    """Nothing is left of lists that had something."""
    return lambda _, got, right: all(got[name] == [] and right[name] for name in names)


CHECKS: dict[str, Check] = {
    "template.no-event": lambda _, got, __: "event" not in got,
    "template.room-id": only("room_id"),
    "template.sender": only("sender"),
    "template.state-key": only("state_key"),
    "template.type": only("type"),
    "template.membership": only("content"),
    "template.depth": only("depth"),
    "template.auth-events": only("auth_events"),
    "template.prev-events": only("prev_events"),
    "send-join.no-create": lambda _, got, right: (
        types(right) - types(got) == {"m.room.create"}
    ),
    "send-join.other-version": lambda scene, got, right: (
        of_type(got, "m.room.create")["content"]["room_version"] == "6"
        and of_type(right, "m.room.create")["content"]["room_version"] == scene.version
    ),
    "send-join.other-create": lambda scene, got, right: (
        of_type(got, "m.room.create") != of_type(right, "m.room.create")
        and scene.is_signed(of_type(got, "m.room.create"))
        and scene.created_room(got) == (scene.version != "12")
    ),
    "send-join.bad-signature": lambda scene, got, _: (
        [x["type"] for x in got["state"] if not scene.is_signed(x)]
        == ["m.room.join_rules"]
    ),
    "send-join.unsigned": lambda _, got, __: (
        of_type(got, "m.room.topic", "spoiled")["sender"] == "@spoiled:spoiled.invalid"
    ),
    "send-join.other-room": lambda scene, got, _: all_of_other_room(
        scene, [of_type(got, "m.room.topic", "spoiled")]
    ),
    "send-join.missing-auth": lambda _, got, right: (
        types(right) - types(got) == {"m.room.power_levels"}
    ),
    "send-join.banned": lambda scene, got, _: (
        of_type(got, "m.room.member", BOB.user_id)["content"]["membership"] == "ban"
        and scene.is_signed(of_type(got, "m.room.member", BOB.user_id))
    ),
    "send-join.invite-only": lambda scene, got, _: (
        of_type(got, "m.room.join_rules")["content"]["join_rule"] == "invite"
        and scene.is_signed(of_type(got, "m.room.join_rules"))
    ),
    "send-join.other-event": lambda _, got, right: (
        got["event"]["content"] != right["event"]["content"]
    ),
    "send-join.no-event": lambda _, got, __: "event" not in got,
    "send-join.members-omitted": lambda _, got, right: (
        got["members_omitted"] is True
        and len(got["state"]) < len(right["state"])
        and bool(got["servers_in_room"])
    ),
    "send-join.no-servers": lambda _, got, __: (
        got["members_omitted"] is True and got["servers_in_room"] == []
    ),
    "missing.none": emptied("events"),
    "missing.unrelated": lambda scene, got, _: all_unrelated(scene, got["events"]),
    "missing.endless": lambda scene, got, _: (
        len(got["events"]) == 1
        and scene.is_signed(got["events"][0])
        and (scene.version != "1" or got["events"][0]["event_id"] == scene.said[-1])
    ),
    "missing.other-room": lambda scene, got, _: all_of_other_room(scene, got["events"]),
    "missing.bad-signature": lambda scene, got, _: none_signed(scene, got["events"]),
    "backfill.unrelated": lambda scene, got, _: all_unrelated(scene, got["pdus"]),
    "backfill.other-room": lambda scene, got, _: all_of_other_room(scene, got["pdus"]),
    "backfill.bad-signature": lambda scene, got, _: none_signed(scene, got["pdus"]),
    "state.empty": emptied("pdus", "auth_chain"),
    "state.half": halved("pdus", "auth_chain"),
    "state.without-bans": lambda _, got, right: (
        [x["state_key"] for x in right["pdus"] if x not in got["pdus"]]
        == ["@eve:other.example"]
    ),
    "state.older-levels": lambda scene, got, right: (
        of_type({"state": got["pdus"]}, "m.room.power_levels") == scene.levels.pdu
        and len(got["pdus"]) == len(right["pdus"])
        and scene.levels.pdu not in right["pdus"]
    ),
    "state.rejected": lambda scene, got, right: (
        of_type({"state": got["pdus"]}, "m.room.topic")["sender"]
        == f"@spoiled:{OUR_NAME}"
        and len(got["pdus"]) == len(right["pdus"])
        and scene.is_signed(of_type({"state": got["pdus"]}, "m.room.topic"))
    ),
    "state.bad-signature": lambda scene, got, _: (
        not any(scene.is_signed(x) for x in got["pdus"])
    ),
    "state-ids.empty": emptied("pdu_ids", "auth_chain_ids"),
    "state-ids.half": halved("pdu_ids", "auth_chain_ids"),
    "state-ids.invented": lambda scene, got, right: (
        got["pdu_ids"][:-1] == right["pdu_ids"]
        and got["pdu_ids"][-1] not in scene.room.entries
    ),
    "event.other": lambda scene, got, _: all_unrelated(scene, got["pdus"]),
    "event.bad-signature": lambda scene, got, _: none_signed(scene, got["pdus"]),
    "event-auth.empty": emptied("auth_chain"),
    "event-auth.half": halved("auth_chain"),
    "invite.no-event": lambda _, got, __: "event" not in got,
    "invite.unsigned": lambda _, got, right: (
        {*right["event"]["signatures"]} - {*got["event"]["signatures"]}
        == {OUR_NAME.name}
    ),
    "invite.bad-signature": lambda _, got, right: (
        got["event"]["signatures"][OUR_NAME.name]
        != right["event"]["signatures"][OUR_NAME.name]
        and got["event"]["signatures"]["them.example"]
        == right["event"]["signatures"]["them.example"]
    ),
    "invite.other-event": lambda _, got, __: (
        got["event"]["content"]["membership"] == "join"
    ),
    "invite.changed": lambda _, got, right: (
        got["event"]["content"] != right["event"]["content"]
        and got["event"]["signatures"] == right["event"]["signatures"]
    ),
}


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("name", CHECKS)
def test_wrong_answers(name: str, version: str) -> None:
    """Each is wrong in its one way."""
    scene = Scene(version)
    assert CHECKS[name](scene, *scene.both(name))


def test_a_template_of_another_version() -> None:
    """The version is the argument."""
    got, right = Scene("11").both("template.room-version", value="99")
    assert (got["room_version"], right["room_version"]) == ("99", "11")


def test_an_event_that_is_not_there() -> None:
    """404, as for one that does not exist."""
    scene = Scene("11")
    scene.side.put({"event.missing": True})
    answer = scene.ask("event")
    assert (answer.status, answer.json["errcode"]) == (404, "M_NOT_FOUND")


@pytest.mark.parametrize("version", FORMATS)
def test_a_state_with_and_without_some_events(version: str) -> None:
    """The argument names them."""
    scene = Scene(version)
    levels, member = scene.levels.event_id, scene.join.event_id
    got, right = scene.both("state-ids.with", value=[levels])
    assert got == {**right, "pdu_ids": [*right["pdu_ids"], levels]}
    got, right = scene.both("state-ids.without", value=[member])
    assert got["pdu_ids"] == [each for each in right["pdu_ids"] if each != member]
    assert len(got["pdu_ids"]) == len(right["pdu_ids"]) - 1


@pytest.mark.parametrize("value", [True, [], ["x"], [1], ["$a"] * 101])
def test_what_names_no_events(value: object) -> None:
    """The rule is refused."""
    for name in ("state-ids.with", "state-ids.without"):
        with pytest.raises(BadJson, match=name):
            Scene("11").side.put({name: value})


def test_errors_stay_as_they_are() -> None:
    """A fault of an answer is none of an error."""
    scene = Scene("11")
    scene.side.put({"send-join.no-create": True})
    answer = scene.side.ask("PUT", "send_join", "!none:a.b", "$x", content={}, v2=True)
    assert answer.status == 404


def test_replies_of_version_1_are_wrong_as_well() -> None:
    """They are lists."""
    scene = Scene("11")
    scene.side.put({"send-join.no-event": True})
    answer = scene.side.send("join", scene.join, v2=False)
    reply: Any = parse(answer.body)
    assert reply[0] == 200
    assert "event" not in reply[1]


def test_each_fault_has_its_test() -> None:
    """None of these families is left out."""
    families = (
        TEMPLATE_FAULTS,
        SEND_JOIN_FAULTS,
        HISTORY_FAULTS,
        STATE_FAULTS,
        INVITE_FAULTS,
    )
    names = {name for family in families for name in family}
    alone = {
        "template.room-version",
        "event.missing",
        "state-ids.with",
        "state-ids.without",
    }
    assert names == CHECKS.keys() | alone
