"""Knocks on rooms of other servers, and what is kept of them here.

Rules: a knock is kept with what the room shows, as far as that verifies, until it is
taken back or answered.
"""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.protocol.canonical_json import parse
from homeserver.protocol.errors import Forbidden, NoServerHelps, NotFound
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.invites import MAX_STATE_BYTES, MAX_STATE_EVENTS
from homeserver.rooms.outsiders import Taken
from homeserver.storage.pending_memberships import PendingMembership
from tests.support.coroutines import result_of
from tests.support.join_replies import FIRST, NOBODY, with_, without
from tests.support.neighbours import ANN, Neighbours
from tests.support.our_rooms import ALICE
from tests.support.outsiders import KNOCKABLE, invited, is_invited, there


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


@pytest.mark.parametrize("reply", [[], b"", b"{", b"[" * 10_000])
def test_junk_reply(reply: Any) -> None:
    """A reply that is no object is not taken for an acceptance."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    near.calls.instead["send_knock"] = lambda _: reply
    with pytest.raises(NoServerHelps, match=FIRST.name):
        result_of(near.elsewhere.knock(near.room_id, ANN, [FIRST]))
