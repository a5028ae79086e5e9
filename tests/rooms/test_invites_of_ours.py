"""Invites of ours to users of other servers, which their servers sign.

Rules: without their signature nothing is sent, and of the reply it alone is used.
"""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import (
    Forbidden,
    InvalidParam,
    NoServerHelps,
    NotFound,
    ProtocolError,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.room import Room
from tests.support.coroutines import result_of
from tests.support.join_replies import FIRST, with_, without
from tests.support.lost_changes import during_a_lost_change
from tests.support.neighbours import ANN, Neighbours
from tests.support.our_rooms import ALICE, BOB, new_room
from tests.support.room_side import signed
from tests.support.signed_requests import THEM


def own_room(near: Neighbours) -> Room:
    """A room of Alice's, on our server."""
    return result_of(near.side.ours.rooms.create(new_room(near.version)))


def invite(near: Neighbours, room: Room) -> Event:
    """The invite of Bob, as it is part of the room."""
    new = NewEvent("m.room.member", ALICE, {"membership": "invite"}, BOB.user_id)
    return result_of(near.elsewhere.invite(room, new)).event


def test_invite_after_what_is_written() -> None:
    """An invite does not cite a change that is under way: it may be lost."""
    near = Neighbours("10")
    room = own_room(near)
    before = set(room.extremities)
    new = NewEvent("m.room.member", ALICE, {"membership": "invite"}, BOB.user_id)
    sent = during_a_lost_change(
        near.side.ours, room, lambda: near.elsewhere.invite(room, new)
    )
    assert set(sent.event.prev_event_ids) == before


@pytest.mark.parametrize("version", ["1", "2", "3", "10", "12"])
def test_invited(version: str) -> None:
    """The user's server signs the invite, and is shown what the room is."""
    near = Neighbours(version)
    room = own_room(near)
    event = invite(near, room)
    assert set(event.pdu["signatures"]) == {FIRST.name, ALICE.server_name.name}  # type: ignore[call-overload]
    assert membership(near.side.known(room).current, BOB.user_id) == "invite"
    [call] = near.calls.calls
    assert call.content is not None
    assert call.content["room_version"] == version
    shown: Any = call.content["invite_room_state"]
    assert "m.room.create" in {each["type"] for each in shown}
    [recorded] = result_of(near.resident.pending.all("invite"))
    assert recorded.user == BOB


@pytest.mark.parametrize("version", ["1", "3"])
def test_invited_old(version: str) -> None:
    """Version 1 of the route takes events of the first two room versions alone."""
    near = Neighbours(version)
    near.calls.unknown = {("invite", 2)}
    room = own_room(near)
    if version == "3":
        with pytest.raises(NotFound):
            invite(near, room)
        assert [x for _, _, x in near.calls.made] == [2]
        return
    invite(near, room)
    sent = near.calls.calls[-1].content
    assert sent is not None
    assert sent["type"] == "m.room.member"
    assert "invite_room_state" in sent["unsigned"]  # type: ignore[operator]


def other_event(reply: Any) -> Any:
    """Another event, well signed by both."""
    pdu: Json = {**reply["event"], "depth": 99}
    reply["event"] = signed(pdu, "10", THEM).pdu
    return reply


def forged(reply: Any) -> Any:
    """A signature that does not verify."""
    theirs = reply["event"]["signatures"][FIRST.name]
    theirs.update(dict.fromkeys(theirs, "A" * 86))
    return reply


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (other_event, "another event"),
        (with_("event", "content", "membership", value="join"), "another event"),
        (without("event", "signatures", FIRST.name), "did not sign|not a JSON object"),
        (with_("event", "signatures", value=[]), "signatures"),
        (forged, "signature"),
        (without("event"), "`event`"),
        (lambda _: [], "not a JSON object"),
    ],
)
def test_forged_invite_reply(change: Callable[[Any], Any], why: str) -> None:
    """Nothing is sent to the room, and the invite is no part of it."""
    near = Neighbours()
    room = own_room(near)
    near.calls.change["invite"] = change
    with pytest.raises(NoServerHelps, match=f"{FIRST}.*({why})"):
        invite(near, room)
    assert membership(near.side.known(room).current, BOB.user_id) == "leave"
    assert near.side.ours.queued() == {}


def test_changed_content_is_not_taken() -> None:
    """Of the reply the signature alone is used: what we sent is part of the room."""
    near = Neighbours()
    room = own_room(near)
    near.calls.change["invite"] = with_("event", "unsigned", value={"theirs": 1})
    assert "theirs" not in str(invite(near, room).pdu)


def test_forbidden_invite() -> None:
    """A server that refuses, and rules that do."""
    near = Neighbours()
    room = own_room(near)

    def refuse(_: Any) -> Any:
        raise Forbidden("not this one")

    near.calls.change["invite"] = refuse
    with pytest.raises(Forbidden, match="not this one"):
        invite(near, room)
    new = NewEvent("m.room.member", ANN, {"membership": "invite"}, BOB.user_id)
    with pytest.raises(ProtocolError, match="rule"):
        result_of(near.elsewhere.invite(room, new))
    theirs = NewEvent("m.room.member", BOB, {"membership": "invite"}, BOB.user_id)
    with pytest.raises(InvalidParam, match="not of ours"):
        result_of(near.elsewhere.invite(room, theirs))
    assert len(near.calls.made) == 1
