"""The reply to a join: of which a room is made, and what of others is told.

Rules: the state of the reply must be one, and allow the join; of a reply that is not
believed no room is made, and the next server is asked. Single events that do not pass
are left out.
"""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import NoServerHelps
from homeserver.protocol.events.event import Event, redact
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.rooms.question import Question
from tests.support.coroutines import result_of
from tests.support.join_replies import (
    FIRST,
    SECOND,
    answer,
    drop,
    unsigned,
    with_,
    without,
)
from tests.support.neighbours import ANN, Neighbours
from tests.support.our_rooms import same, text
from tests.support.room_pair import EVE
from tests.support.room_side import signed
from tests.support.signed_requests import THEM


def of_kind(reply: Any, kind: str, where: str = "state") -> Any:
    """The first event of a type in a reply."""
    return next(each for each in reply[where] if each["type"] == kind)


def changed_event(reply: Any) -> Any:
    """A reply whose `event` is another one."""
    reply["event"]["origin_server_ts"] += 1
    return reply


def left_event(reply: Any) -> Any:
    """A reply whose `event` is another membership."""
    reply["event"]["content"]["membership"] = "leave"
    return reply


REPLIES = [
    (lambda reply: drop(reply, "m.room.create"), "no create event"),
    (
        lambda reply: drop(reply, "m.room.power_levels"),
        "auth_events|judge",
    ),
    (unsigned("m.room.create"), "m.room.create"),
    (unsigned("m.room.power_levels"), "m.room.power_levels"),
    (unsigned("m.room.join_rules"), "m.room.join_rules"),
    (changed_event, "another one"),
    (left_event, "another one"),
    (with_("members_omitted", value=True), "members_omitted"),
    (with_("event", value=[]), "not a JSON object"),
    (without("state"), "state"),
    (without("auth_chain"), "auth_chain"),
    (with_("state", value={}), "state"),
    (with_("state", value=[1]), "state"),
    (with_("state", value=[]), "no create event"),
    (with_("auth_chain", value=[{}]), "auth_chain"),
    (lambda _: [], "reply"),
    (lambda _: b"[[[", "reply"),
    (lambda _: b"\xff", "reply"),
    (lambda _: b'{"state":' + b"[" * 5000, "reply"),
]


@pytest.mark.parametrize(("change", "why"), REPLIES)
def test_forged_reply(change: Callable[[Any], Any], why: str) -> None:
    """No room is made of such a reply; the error says why, and the next is asked."""
    near = Neighbours()
    near.send("m.room.topic", {"topic": "T"}, "")
    near.calls.instead["send_join"] = lambda question: change(answer(near, question))
    with pytest.raises(NoServerHelps, match=f"{FIRST}: .*({why})"):
        near.join()
    assert near.ours is None
    room = near.join(FIRST, SECOND)
    assert near.calls.routes(SECOND) == ["make_join", "send_join"]
    assert {x.outcome for x in room.entries.values() if x.before is not None} == {
        Outcome.ACCEPTED
    }


def other_create(near: Neighbours, version: str = "10") -> Event:
    """Another create event of the same room."""
    create = near.theirs.current["m.room.create", ""]
    content = {**create.content, "room_version": version}
    return signed({**create.pdu, "content": content, "depth": 2}, version, THEM)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (lambda near: near.send("m.room.message", text("x")), "a message in it"),
        (lambda near: near.send("m.room.topic", {"topic": "2"}, ""), "two events for"),
        (other_create, "two events for"),
    ],
)
def test_more_state(more: Callable[[Neighbours], Event], why: str) -> None:
    """A state has one event for each key, and nothing that is no state."""
    near = Neighbours()
    near.send("m.room.topic", {"topic": "1"}, "")

    def add(question: Question) -> Json:
        reply: Any = answer(near, question)
        reply["state"].append(more(near).pdu)
        return reply  # type: ignore[no-any-return]

    near.calls.instead["send_join"] = add
    with pytest.raises(NoServerHelps, match=why):
        near.join()
    assert near.ours is None


def test_other_create() -> None:
    """The auth chain has no second beginning of the room."""
    near = Neighbours()

    def add(question: Question) -> Json:
        reply: Any = answer(near, question)
        reply["auth_chain"].append(other_create(near).pdu)
        return reply  # type: ignore[no-any-return]

    near.calls.instead["send_join"] = add
    with pytest.raises(NoServerHelps, match="another create event"):
        near.join()


def test_other_version() -> None:
    """The create event names the version that the template named."""
    near = Neighbours()
    near.calls.change["make_join"] = with_("room_version", value="9")
    near.calls.instead["send_join"] = lambda question: answer(near, question)
    with pytest.raises(
        NoServerHelps, match="create event of the reply: no event of version 9"
    ):
        near.join()
    # A room that is known here keeps its version, whatever other create there is.
    near.calls.change.clear()
    near.calls.instead.clear()
    near.join()
    result_of(near.elsewhere.leave(near.room_id, ANN))

    def lie(question: Question) -> Json:
        reply: Any = answer(near, question)
        reply["state"] = [other_create(near, "9").pdu]
        reply["auth_chain"] = []
        return reply  # type: ignore[no-any-return]

    near.calls.change["make_join"] = with_("room_version", value="9")
    near.calls.instead["send_join"] = lie
    with pytest.raises(NoServerHelps, match="known here with version 10"):
        near.join()


def test_left_out() -> None:
    """Events that do not pass are left out and told; the rest of the state holds."""
    near = Neighbours()
    topic = near.send("m.room.topic", {"topic": "T"}, "")
    name = near.send("m.room.name", {"name": "N"}, "")
    other = near.create(topic="of another room")
    [foreign] = [x for x in other.current.values() if x.type == "m.room.topic"]

    def lie(question: Question) -> Json:
        reply: Any = unsigned("m.room.topic")(answer(near, question))
        bad = signed(
            {**name.pdu, "auth_events": ["$unknown"], "type": "m.bad"}, "10", THEM
        )
        evil = signed({**name.pdu, "sender": EVE.user_id, "type": "m.evil"}, "10", THEM)
        odd = {**name.pdu, "state_key": {}}
        reply["state"] += [foreign.pdu, bad.pdu, evil.pdu, odd]
        return reply  # type: ignore[no-any-return]

    near.calls.instead["send_join"] = lie
    joined = result_of(near.elsewhere.join(near.room_id, ANN, [FIRST]))
    why = {str(x.event_id): x.why for x in joined.left_out}
    assert len(why) == 5
    assert "signature" in why[topic.event_id]
    assert "another room" in why[foreign.event_id]
    current = joined.room.current
    assert current["m.room.name", ""].event_id == name.event_id
    assert {"m.room.topic", "m.bad", "m.evil"}.isdisjoint(key for key, _ in current)
    same(joined.room, near.side.ours.read(near.room_id))


def test_redacted_content() -> None:
    """An event whose content hash is wrong is taken in redacted, under its ID."""
    near = Neighbours()
    topic = near.send("m.room.topic", {"topic": "T"}, "")

    def change(question: Question) -> Json:
        reply: Any = answer(near, question)
        of_kind(reply, "m.room.topic")["content"] = {"topic": "forged"}
        return reply  # type: ignore[no-any-return]

    near.calls.instead["send_join"] = change
    found = near.join().current["m.room.topic", ""]
    assert found.event_id == topic.event_id
    assert found.pdu == redact(topic.pdu, topic.room_version)


def test_chain_without_one() -> None:
    """What cites an event that is not there is left out; the join must stand."""
    near = Neighbours()
    first = near.send("m.room.topic", {"topic": "1"}, "")
    levels: Any = dict(near.theirs.current["m.room.power_levels", ""].content)
    levels["users"] = {**levels["users"], EVE.user_id: 50}
    near.send("m.room.power_levels", levels, "")
    assert first.auth_event_ids

    def change(question: Question) -> Json:
        reply: Any = answer(near, question)
        kept = {"m.room.create", "m.room.member"}
        reply["auth_chain"] = [x for x in reply["auth_chain"] if x["type"] in kept]
        return reply  # type: ignore[no-any-return]

    near.calls.instead["send_join"] = change
    with pytest.raises(NoServerHelps, match="auth_events"):
        near.join()
    assert near.ours is None


@pytest.mark.parametrize("what", ["ban", "invite only"])
def test_barred(what: str) -> None:
    """The state of the reply must allow the join."""
    near = Neighbours()

    def bar(question: Question) -> Json:
        if what == "ban":
            near.send("m.room.member", {"membership": "ban"}, ANN.user_id)
        else:
            near.send("m.room.join_rules", {"join_rule": "invite"}, "")
        return answer(near, question)

    near.calls.instead["send_join"] = bar
    with pytest.raises(NoServerHelps, match="does not allow the join: rule"):
        near.join()
    assert near.ours is None


@pytest.mark.parametrize(
    "reply", [b"[403,{}]", b"[200]", b"{}", b"[200,[]]", b"", b"[[", b'["200",{}]']
)
def test_bad_old_reply(reply: bytes) -> None:
    """A reply of version 1 is a list of 200 and an object, or nothing is joined."""
    near = Neighbours()
    near.calls.unknown = {("send_join", 2)}
    near.calls.spoil["send_join"] = lambda _: reply
    with pytest.raises(NoServerHelps, match=FIRST.name):
        near.join()
    assert near.ours is None
