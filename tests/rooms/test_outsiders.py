"""Knocks, leaves and invites with the help of other servers, honest ones and others."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json, parse
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
from homeserver.rooms.invites import MAX_STATE_BYTES, MAX_STATE_EVENTS
from homeserver.rooms.outsiders import Taken
from homeserver.rooms.room import Room
from homeserver.storage.pending_memberships import PendingMembership
from tests.support.coroutines import result_of
from tests.support.join_replies import FIRST, NOBODY, SECOND, with_, without
from tests.support.neighbours import ANN, Neighbours
from tests.support.our_rooms import ALICE, BOB, new_room
from tests.support.room_side import signed
from tests.support.signed_requests import OTHERS, THEM


def there(near: Neighbours) -> Room:
    """The room as the other servers have it."""
    return result_of(near.them.rooms.known(near.room_id))


def invited(near: Neighbours) -> None:
    """Ann is invited, and that is recorded here."""
    invite = near.send("m.room.member", {"membership": "invite"}, ANN.user_id)
    recorded = PendingMembership(
        near.room_id, ANN, FIRST, near.version, invite.encoded, b"[]"
    )
    result_of(near.side.resident.pending.record(recorded))


def is_invited(near: Neighbours) -> bool:
    """Whether an invite of Ann's is recorded here."""
    return result_of(near.side.resident.pending.find(near.room_id, ANN)) is not None


@pytest.mark.parametrize("version", ["1", "10", "12"])
@pytest.mark.parametrize("is_old", [False, True])
def test_declined(version: str, *, is_old: bool) -> None:
    """An invite is declined at the server that sent it, whose room says so then."""
    near = Neighbours(version, preset="private_chat")
    invited(near)
    if is_old:
        near.calls.unknown = {("send_leave", 2)}
    done = result_of(near.elsewhere.leave(near.room_id, ANN, (), {"reason": "no"}))
    assert isinstance(done, Taken)
    assert done.server_name == FIRST
    assert membership(there(near).current, ANN.user_id) == "leave"
    assert done.event.content == {"membership": "leave", "reason": "no"}
    assert not is_invited(near)
    assert near.ours is None
    asked = [version for _, route, version in near.calls.made if route == "send_leave"]
    assert asked == ([2, 1] if is_old else [2])


def test_declined_to_nobody() -> None:
    """If no server takes it, the invite is forgotten all the same, and that is said."""
    near = Neighbours("12", preset="private_chat")
    invited(near)
    near.calls.unknown = {("make_leave", 1)}
    with pytest.raises(NotFound, match="the invite is forgotten"):
        result_of(near.elsewhere.leave(near.room_id, ANN))
    assert not is_invited(near)
    with pytest.raises(Forbidden, match=r"answers 403 .*[^n]$"):
        near.calls.unknown = set()
        result_of(near.elsewhere.leave(near.room_id, BOB, [FIRST]))


def test_declined_after_all() -> None:
    """An invite that was taken back can be declined where users of ours have come."""
    near = Neighbours("12")
    invited(near)
    near.send("m.room.member", {"membership": "leave"}, ANN.user_id)
    near.join(user=ALICE)
    with pytest.raises(Forbidden, match=r"rule .*; the invite is forgotten"):
        result_of(near.elsewhere.leave(near.room_id, ANN))
    assert not is_invited(near)


def test_joined_after_invite() -> None:
    """The server that sent an invite is asked without `via`; the invite is used up."""
    near = Neighbours("12", preset="private_chat")
    invited(near)
    result_of(near.elsewhere.join(near.room_id, ANN))
    assert not is_invited(near)
    assert membership(there(near).current, ANN.user_id) == "join"


KNOCKABLE = NewEvent("m.room.join_rules", BOB, {"join_rule": "knock"}, "")


def test_knocked() -> None:
    """A knock is taken, and taken back."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    done = result_of(near.elsewhere.knock(near.room_id, ANN, [NOBODY, FIRST]))
    assert isinstance(done, Taken)
    assert (done.server_name, [x.server_name for x in done.failures]) == (
        FIRST,
        [NOBODY],
    )
    assert membership(there(near).current, ANN.user_id) == "knock"
    result_of(near.elsewhere.leave(near.room_id, ANN, [FIRST]))
    assert membership(there(near).current, ANN.user_id) == "leave"


def knocks(near: Neighbours) -> list[PendingMembership]:
    """Those that are recorded here."""
    return result_of(near.side.resident.pending.all("knock"))


def shown_by(pending: PendingMembership) -> list[Any]:
    """What came with it of the room."""
    found: Any = parse(pending.room_state)
    return list(found)


@pytest.mark.parametrize("version", ["7", "11", "12"])
def test_a_knock_is_kept(version: str) -> None:
    """It is there with what the room shows, and its server is asked without `via`."""
    near = Neighbours(version, initial_state=[KNOCKABLE], name="N")
    done = result_of(near.elsewhere.knock(near.room_id, ANN, [FIRST]))
    assert isinstance(done, Taken)
    [knock] = knocks(near)
    assert (knock.user, knock.origin, knock.event) == (ANN, FIRST, done.event.encoded)
    types = [each["type"] for each in shown_by(knock)]
    assert types == ["m.room.create", "m.room.name", "m.room.join_rules"]
    assert result_of(near.side.resident.pending.all("invite")) == []
    result_of(near.elsewhere.leave(near.room_id, ANN))
    assert knocks(near) == []
    assert membership(there(near).current, ANN.user_id) == "leave"


def test_a_knock_that_is_not_taken_back() -> None:
    """It is kept, as the room has it still."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    result_of(near.elsewhere.knock(near.room_id, ANN, [FIRST]))
    near.calls.unknown = {("make_leave", 1)}
    with pytest.raises(NotFound, match=r"answers 404.*[^n]$"):
        result_of(near.elsewhere.leave(near.room_id, ANN))
    assert len(knocks(near)) == 1


def test_an_invite_answers_a_knock() -> None:
    """The knock waits no more."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    result_of(near.elsewhere.knock(near.room_id, ANN, [FIRST]))
    invited(near)
    assert knocks(near) == []
    assert is_invited(near)


def test_knocks_once_we_are_in_the_room() -> None:
    """The state of the room has them then."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    result_of(near.elsewhere.knock(near.room_id, ALICE, [FIRST]))
    invited(near)
    assert [each.user for each in knocks(near)] == [ALICE]
    result_of(near.elsewhere.join(near.room_id, ANN))
    assert knocks(near) == []
    known = near.side.known(there(near))
    assert membership(known.current, ALICE.user_id) == "knock"


def badly_shown(reply: Any) -> Any:
    """The create event, and others of which none verifies."""
    [create, *_] = reply["knock_room_state"]
    stripped = {key: create[key] for key in ("type", "sender", "state_key", "content")}
    changed = {**create, "origin_server_ts": 1}
    unsigned = {**create, "signatures": {}}
    foreign = {**create, "room_id": "!other:them.example"}
    more = [stripped, changed, unsigned, foreign, {}, 7, None, "x"]
    reply["knock_room_state"] = [*more, create]
    return reply


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (badly_shown, 1),
        (with_("knock_room_state", value={}), 0),
        (with_("knock_room_state", value=[[]] * 500), 0),
        (without("knock_room_state"), 0),
    ],
)
def test_what_does_not_verify_is_not_shown(
    change: Callable[[Any], Any], count: int
) -> None:
    """The knock counts all the same: that server has taken it."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    near.calls.change["send_knock"] = change
    result_of(near.elsewhere.knock(near.room_id, ANN, [FIRST]))
    [knock] = knocks(near)
    assert len(shown_by(knock)) == count


def test_what_is_shown_is_bounded() -> None:
    """So many events, and so many bytes of them, are kept."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    topics = [
        near.send("m.room.topic", {"topic": "x" * 5000 + str(number)}, "").pdu
        for number in range(MAX_STATE_EVENTS + 20)
    ]
    near.calls.change["send_knock"] = lambda _: {"knock_room_state": topics}
    result_of(near.elsewhere.knock(near.room_id, ANN, [FIRST]))
    [knock] = knocks(near)
    assert 2 < len(shown_by(knock)) < MAX_STATE_EVENTS
    assert len(knock.room_state) <= MAX_STATE_BYTES + MAX_STATE_EVENTS


def test_knocked_again() -> None:
    """The servers of a room that we had left are asked without `via`."""
    near = Neighbours("12")
    near.join()
    result_of(near.elsewhere.leave(near.room_id, ANN))
    # They have not heard of the leave yet; a knock of a member is refused.
    with pytest.raises(Forbidden, match=FIRST.name):
        result_of(near.elsewhere.knock(near.room_id, ANN))


@pytest.mark.parametrize(
    "change",
    [
        with_("event", "content", "membership", value="join"),
        with_("event", "sender", value=BOB.user_id),
        with_("event", "state_key", value=BOB.user_id),
        with_("event", "type", value="m.room.name"),
        with_("room_version", value="99"),
    ],
)
@pytest.mark.parametrize("what", ["knock", "leave"])
def test_forged_template(what: str, change: Callable[[Any], Any]) -> None:
    """Nothing is signed by such a template; the next server is asked."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    if what == "leave":
        result_of(near.elsewhere.knock(near.room_id, ANN, [FIRST]))
    near.calls.change[f"make_{what}"] = change
    ask = getattr(near.elsewhere, what)
    with pytest.raises(NoServerHelps, match=FIRST.name):
        result_of(ask(near.room_id, ANN, [FIRST]))
    assert f"send_{what}" not in near.calls.routes(FIRST)
    assert result_of(ask(near.room_id, ANN, [FIRST, SECOND])).server_name == SECOND


@pytest.mark.parametrize("reply", [[], b"", b"{", b"[" * 10_000])
def test_junk_reply(reply: Any) -> None:
    """A reply that is no object is not taken for an acceptance."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    near.calls.instead["send_knock"] = lambda _: reply
    with pytest.raises(NoServerHelps, match=FIRST.name):
        result_of(near.elsewhere.knock(near.room_id, ANN, [FIRST]))


def own_room(near: Neighbours) -> Room:
    """A room of Alice's, on our server."""
    return result_of(near.side.ours.rooms.create(new_room(near.version)))


def invite(near: Neighbours, room: Room) -> Event:
    """The invite of Bob, as it is part of the room."""
    new = NewEvent("m.room.member", ALICE, {"membership": "invite"}, BOB.user_id)
    return result_of(near.elsewhere.invite(room, new)).event


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


def leave_of_ann(near: Neighbours) -> Event:
    """Bob takes the invite of Ann back."""
    return near.send("m.room.member", {"membership": "leave"}, ANN.user_id)


@pytest.mark.parametrize("is_inviting", [True, False])
def test_withdrawn(*, is_inviting: bool) -> None:
    """The server that sent an invite takes it back, and no other one can."""
    near = Neighbours("10", preset="private_chat")
    invited(near)
    leave = leave_of_ann(near)
    peer = THEM if is_inviting else OTHERS
    content: Json = {
        "origin": peer.server_name.name,
        "origin_server_ts": 1,
        "pdus": [leave.pdu],
        "edus": [],
    }
    answer = near.side.ask("PUT", "send", "t1", content=content, peer=peer)
    assert answer.json == {"pdus": {leave.event_id: {}}}
    assert is_invited(near) is not is_inviting


@pytest.mark.parametrize("what", ["invite", "knock"])
@pytest.mark.parametrize("how", ["leave", "ban"])
def test_turned_away(what: str, how: str) -> None:
    """The server of a user whose invite or knock ends learns of it, also outside."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    if what == "invite":
        near.send("m.room.member", {"membership": "invite"}, ANN.user_id)
    else:
        result_of(near.elsewhere.knock(near.room_id, ANN, [FIRST]))
    near.send("m.room.topic", {"topic": "not for them"}, "")
    assert near.them.queued() == {}
    near.send("m.room.member", {"membership": how}, ANN.user_id)
    assert near.them.queued() == {ANN.server_name.name: 1}
