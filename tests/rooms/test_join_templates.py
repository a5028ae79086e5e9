"""The template of a join: what is signed of it, and which ones are not signed."""

from collections.abc import Callable
from typing import Any

import pytest

from homeserver.protocol.errors import NoServerHelps
from homeserver.protocol.rooms.state import membership
from tests.support.join_replies import FIRST, SECOND, answer, with_, without
from tests.support.neighbours import ANN, Neighbours
from tests.support.our_rooms import BOB
from tests.support.room_pair import EVE

TEMPLATES = [
    with_("event", "room_id", value="!other:them.example"),
    with_("event", "sender", value=EVE.user_id),
    with_("event", "state_key", value=BOB.user_id),
    with_("event", "type", value="m.room.power_levels"),
    with_("event", "content", "membership", value="leave"),
    with_("event", "content", value=[]),
    with_("event", value=7),
    with_("room_version", value="99"),
    with_("room_version", value=["10"]),
    with_("event", "depth", value=2**60),
    with_("event", "depth", value=-1),
    with_("event", "prev_events", value=["$a"] * 21),
    with_("event", "auth_events", value=["$a"] * 11),
    with_("event", "auth_events", value=[{}]),
    without("event"),
    without("event", "depth"),
    without("event", "prev_events"),
    lambda _: [],
    lambda _: {},
]


@pytest.mark.parametrize("change", TEMPLATES)
def test_forged_template(change: Callable[[Any], Any]) -> None:
    """Nothing is signed by such a template; the next server is asked."""
    near = Neighbours()
    near.calls.change["make_join"] = change
    with pytest.raises(NoServerHelps, match=FIRST.name):
        near.join()
    assert near.calls.routes() == ["make_join"]
    assert near.ours is None
    room = near.join(FIRST, SECOND)
    assert near.calls.routes() == ["make_join", "make_join"]
    assert near.calls.routes(SECOND) == ["make_join", "send_join"]
    assert membership(room.current, ANN.user_id) == "join"


def test_old_template() -> None:
    """`origin`, and what else servers of before have in a template, is not signed."""
    near = Neighbours("1")
    near.calls.change["make_join"] = with_("event", "prev_state", value=[])
    near.join()
    sent = near.calls.calls[-1].content
    assert sent is not None
    assert "origin" not in sent
    assert "prev_state" not in sent
    # Servers of 2014 compare the path with the IDs as they are.
    assert f"/{near.room_id}/{ANN}" in near.calls.calls[0].path


def test_junk_auth_events() -> None:
    """A template with foreign auth events ends with the rules at the latest."""
    near = Neighbours()
    junk = with_("event", "auth_events", value=["$junk"])
    near.calls.change["make_join"] = junk
    near.calls.instead["send_join"] = lambda question: answer(near, question)
    with pytest.raises(NoServerHelps, match=r"\$junk"):
        near.join()
    assert near.ours is None
