"""How users of ours who are in no room decline, accept, and are turned away."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import Forbidden, NoServerHelps, NotFound
from homeserver.protocol.events.event import Event
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.outsiders import Taken
from tests.support.coroutines import result_of
from tests.support.join_replies import FIRST, SECOND, with_
from tests.support.neighbours import ANN, Neighbours
from tests.support.our_rooms import ALICE, BOB
from tests.support.outsiders import KNOCKABLE, invited, is_invited, there
from tests.support.signed_requests import OTHERS, THEM


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
