"""Whatever a server answers that we ask about a room, the error is one of the protocol.

Nothing of it is left in the room or in the store where a join fails.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.errors import ProtocolError
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.state import membership
from tests.support.coroutines import result_of
from tests.support.join_replies import FIRST, restricted
from tests.support.mutations import mutated_bytes, mutated_json
from tests.support.neighbours import ANN, Neighbours
from tests.support.our_rooms import ALICE, BOB, new_room, same
from tests.support.outsiders import KNOCKABLE

FUZZ = settings(max_examples=15, deadline=None)


_FRAGMENTS = [b"[", b"{", b'"', b"null", b"1e999", b'"a":', b",", b"\xff", b"[" * 999]


def spoil(near: Neighbours, route: str, random: Random) -> None:
    """Let the first server change something in its replies of a route."""

    def change(reply: Any) -> Any:
        return mutated_json(random, [reply])

    near.calls.change[route] = change


@pytest.mark.parametrize("route", ["make_join", "send_join"])
@pytest.mark.parametrize("version", ["1", "10", "12"])
@FUZZ
@given(random=st.randoms(use_true_random=False))
def test_join(route: str, version: str, random: Random) -> None:
    """A join fails with an error, or its room is sound."""
    near = Neighbours(version)
    if version == "10":
        restricted(near)
    spoil(near, route, random)
    try:
        room = near.join()
    except ProtocolError:
        assert near.ours is None
        return
    assert membership(room.current, ANN.user_id) == "join"
    same(room, near.side.ours.read(near.room_id))


@FUZZ
@given(random=st.randoms(use_true_random=False))
def test_text_of_a_reply(random: Random) -> None:
    """The reply to a join may be any bytes."""
    near = Neighbours()

    def change(reply: Any) -> bytes:
        return mutated_bytes(random, [reply], _FRAGMENTS)

    near.calls.spoil["send_join"] = change
    with suppress(ProtocolError):
        near.join()


def decline(near: Neighbours) -> Awaitable[Any]:
    """Take a knock back."""
    result_of(near.elsewhere.knock(near.room_id, ANN, [FIRST]))
    return near.elsewhere.leave(near.room_id, ANN, [FIRST])


def invite(near: Neighbours) -> Awaitable[Any]:
    """Invite Bob to a room of Alice's."""
    room = result_of(near.side.ours.rooms.create(new_room(near.version)))
    new = NewEvent("m.room.member", ALICE, {"membership": "invite"}, BOB.user_id)
    return near.elsewhere.invite(room, new)


ASKED: list[tuple[str, Callable[[Neighbours], Any]]] = [
    ("make_knock", lambda near: near.elsewhere.knock(near.room_id, ANN, [FIRST])),
    ("send_knock", lambda near: near.elsewhere.knock(near.room_id, ANN, [FIRST])),
    ("make_leave", decline),
    ("send_leave", decline),
    ("invite", invite),
    ("query", lambda near: near.elsewhere.join(f"#a:{FIRST}", ANN)),
]


@pytest.mark.parametrize(("route", "ask"), ASKED)
@FUZZ
@given(random=st.randoms(use_true_random=False))
def test_asked(route: str, ask: Callable[[Neighbours], Any], random: Random) -> None:
    """Knocks, leaves, invites and aliases fail with an error, or are done."""
    near = Neighbours("11", initial_state=[KNOCKABLE])
    alias = near.them.rooms.directory.add_alias(f"#a:{FIRST}", near.room_id)
    assert result_of(alias)
    spoil(near, route, random)
    with suppress(ProtocolError):
        result_of(ask(near))
