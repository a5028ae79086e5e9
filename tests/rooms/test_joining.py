"""Joins through other servers: which are asked, how, and what becomes of the room.

Rules: the room is theirs, event by event. What arrives during a join waits for it; a
failed join leaves what was known.
"""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from homeserver.net.cause import Cause
from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import (
    Forbidden,
    IncompatibleRoomVersion,
    InvalidParam,
    NoServerHelps,
    NotFound,
    Overloaded,
    ProtocolError,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import StateMap, membership
from tests.support.coroutines import result_of
from tests.support.http_connection import Connection, request
from tests.support.join_replies import FIRST, NOBODY, SECOND, answer, drop, with_
from tests.support.neighbours import ANN, Neighbours
from tests.support.our_rooms import ALICE, same, text
from tests.support.signed_requests import THEM
from tests.support.state_ids import ids


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_joined(version: str) -> None:
    """The room is the other server's, event by event, and is in the store."""
    near = Neighbours(version)
    near.send("m.room.topic", {"topic": "T"}, "")
    near.send("m.room.message", text("x"))
    room = near.join()
    theirs = near.them.rooms.known(near.room_id)
    assert ids(room.current) == ids(result_of(theirs).current)
    assert room.residents == {FIRST, near.side.ours.rooms.server_name}
    same(room, near.side.ours.read(near.room_id))
    assert near.calls.routes() == ["make_join", "send_join"]


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_old_routes(version: str) -> None:
    """A server that has no second version of the route is asked by the first one."""
    near = Neighbours(version)
    near.calls.unknown = {("send_join", 2)}
    room = near.join()
    assert [(x, y) for _, x, y in near.calls.made[1:]] == [
        ("send_join", 2),
        ("send_join", 1),
    ]
    assert membership(room.current, ANN.user_id) == "join"


def test_not_found_is_no_old_route() -> None:
    """A 404 about the room does not lead to the first version."""
    near = Neighbours()

    def gone(_: Any) -> Any:
        raise NotFound("gone")

    near.calls.change["send_join"] = gone
    with pytest.raises(NotFound, match="gone"):
        near.join()
    assert near.calls.routes() == ["make_join", "send_join"]


@pytest.mark.parametrize(
    ("error", "kind", "is_final"),
    [
        (Forbidden("no"), Forbidden, True),
        (IncompatibleRoomVersion("no", "99"), IncompatibleRoomVersion, True),
        (NotFound("no"), NotFound, False),
        (InvalidParam("no"), NoServerHelps, False),
    ],
)
def test_refused(
    error: ProtocolError, kind: type[ProtocolError], *, is_final: bool
) -> None:
    """Some answers end the join; after any other the next server is asked."""
    near = Neighbours()

    def refuse(_: Any) -> Any:
        raise error

    near.calls.change["make_join"] = refuse
    with pytest.raises(kind, match=f"{FIRST} answers {error.status}"):
        near.join()
    if is_final:
        with pytest.raises(kind):
            near.join(FIRST, SECOND)
        assert near.calls.routes(SECOND) == []
    else:
        near.join(FIRST, SECOND)


def test_nobody_answers() -> None:
    """The error names each server; a room ID and an invite name servers as well."""
    near = Neighbours()
    near.join(NOBODY)  # then the server of the room ID
    newer = Neighbours("12")
    with pytest.raises(NoServerHelps, match=NOBODY.name):
        newer.join(NOBODY)
    with pytest.raises(InvalidParam, match="via"):
        result_of(newer.elsewhere.join(newer.room_id, ANN))


def test_again() -> None:
    """A room that we had left is joined at its present end."""
    near = Neighbours()
    first = near.join()
    result_of(near.elsewhere.leave(near.room_id, ANN))
    assert not first.has_member(ANN.server_name)
    # They have not heard of that, and go on; Ann joins once more.
    near.send("m.room.topic", {"topic": "T"}, "")
    room = near.join()
    theirs = result_of(near.them.rooms.known(near.room_id))
    assert ids(room.current) == ids(theirs.current)
    assert room.extremities == {room.current["m.room.member", ANN.user_id].event_id}
    same(room, near.side.ours.read(near.room_id))


def test_again_without_via() -> None:
    """The servers of a room that we had left are asked, by which it was known last."""
    near = Neighbours("12")
    near.join()
    result_of(near.elsewhere.leave(near.room_id, ANN))
    joined = result_of(near.elsewhere.join(near.room_id, ANN))
    assert joined.server_name == FIRST


def test_full_store() -> None:
    """Nobody is asked for a room that has no place here."""
    near = Neighbours()
    near.side.ours.rooms._max_bytes = 0
    with pytest.raises(Overloaded):
        near.join()
    assert near.calls.made == []


def test_failed_again() -> None:
    """A failed join leaves a room that is known as it was."""
    near = Neighbours()
    near.join()
    result_of(near.elsewhere.leave(near.room_id, ANN))
    before = near.side.ours.read(near.room_id)
    near.calls.instead["send_join"] = lambda question: drop(
        answer(near, question), "m.room.create"
    )
    near.send("m.room.topic", {"topic": "T"}, "")
    with pytest.raises(NoServerHelps):
        near.join()
    same(before, near.side.ours.read(near.room_id))


def test_events_of_a_reply_are_copied() -> None:
    """What we answer with is what came, byte for byte."""
    near = Neighbours()
    ours = near.join().current
    theirs = result_of(near.them.rooms.known(near.room_id)).current
    for key, event in ours.items():
        assert event.encoded == theirs[key].encoded


def transact(near: Neighbours, *events: Event) -> Connection:
    """Let the first server begin a transaction; the connection has its answer."""
    content: Json = {
        "origin": FIRST.name,
        "origin_server_ts": 1,
        "pdus": [each.pdu for each in events],
        "edus": [],
    }
    target = "/_matrix/federation/v1/send/t1"
    header = "Authorization: " + THEM.authorize("PUT", target, content)
    connection = Connection(near.side.site)
    connection.send(request("PUT", target, [header], encode(content)))
    return connection


def test_event_while_joining() -> None:
    """What comes of the room before the reply to the join is part of it after that."""
    near = Neighbours()
    begun: list[tuple[Event, Connection]] = []

    def go_on(reply: Any) -> Any:
        event = near.send("m.room.message", text("welcome"))
        begun.append((event, transact(near, event)))
        return reply

    near.calls.change["send_join"] = go_on
    room = near.join()
    [(event, connection)] = begun
    [answered] = connection.answers()
    assert answered.json == {"pdus": {event.event_id: {}}}
    assert room.entries[event.event_id].outcome is Outcome.ACCEPTED
    assert room.extremities == {event.event_id}


def test_endless_join() -> None:
    """A transaction does not wait for joins for ever, however many there are."""
    near = Neighbours()
    waiting: Deferred[None] = Deferred()
    event = near.send("m.room.message", text("x"))
    other = near.create()
    joins = near.side.ours.rooms.joins

    async def hold() -> None:
        async with joins.turn(near.room_id), joins.turn(other.room_id):
            await waiting

    held = Deferred.fromCoroutine(hold())
    connection = transact(near, event, *other.current.values())
    assert connection.answers() == []
    near.side.clock.advance(10)
    [answered] = connection.answers()
    assert answered.status == 200
    waiting.callback(None)
    assert held.called
    result_of(joins.ended([near.room_id, other.room_id], near.side.clock))


def test_joins_at_once() -> None:
    """A second user waits for the join of the first one, and needs no server then."""
    near = Neighbours()
    second: list[Any] = []

    def join_too(reply: Any) -> Any:
        joining = near.elsewhere.join(near.room_id, ALICE, [FIRST])
        Deferred.fromCoroutine(joining).addBoth(second.append)
        assert second == []
        return reply

    near.calls.change["send_join"] = join_too
    near.join()
    [joined] = second
    assert joined.server_name is None
    assert near.calls.routes() == ["make_join", "send_join"]
    assert membership(joined.room.current, ALICE.user_id) == "join"


def test_alias() -> None:
    """An alias leads to a room and to some servers, of which few are read."""
    near = Neighbours("12")
    alias = f"#a:{FIRST}"
    added = near.them.rooms.directory.add_alias(alias, near.room_id)
    assert result_of(added)
    names = ["not a name", 7, *(f"s{number}.example" for number in range(99))]
    near.calls.change["query"] = with_("servers", value=names)
    target = result_of(near.elsewhere.find(alias))
    assert target.room_id == near.room_id
    assert len(target.servers) == 19
    assert target.servers[-1] == FIRST
    near.calls.change["query"] = with_("servers", value=[])
    assert result_of(near.elsewhere.join(alias, ANN)).server_name == FIRST
    near.calls.change["query"] = with_("room_id", value="nonsense")
    with pytest.raises(NoServerHelps, match="leads nowhere"):
        result_of(near.elsewhere.join(alias, ANN))
    near.calls.change.clear()
    with pytest.raises(NotFound, match="leads nowhere"):
        result_of(near.elsewhere.join(f"#b:{FIRST}", ANN))


@pytest.mark.parametrize("is_signed", [True, False])
def test_policy_of_known_room(*, is_signed: bool) -> None:
    """In a room that we are in, the policy server has to sign the join as well."""
    near = Neighbours(power_levels={"invite": 50})
    allowed = near.create()
    result_of(near.elsewhere.join(allowed.room_id, ALICE, [FIRST]))
    near.join()
    rule: Json = {
        "join_rule": "restricted",
        "allow": [{"type": "m.room_membership", "room_id": allowed.room_id}],
    }
    transact(near, near.send("m.room.join_rules", rule, ""))
    asked: list[Event] = []

    async def recommend(event: Event, current: StateMap, cause: Cause) -> Event:
        asked.append(event)
        if not is_signed:
            raise Forbidden("the policy server does not sign it")
        return event

    near.side.ours.rooms.recommend = recommend
    if is_signed:
        room = near.join(user=ALICE)
        assert membership(room.current, ALICE.user_id) == "join"
    else:
        with pytest.raises(NoServerHelps, match="does not sign"):
            near.join(user=ALICE)
    assert [x.state_key for x in asked] == [ALICE.user_id]
