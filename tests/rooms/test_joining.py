"""Joins through other servers, honest ones and others."""

from collections.abc import Callable
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
from homeserver.protocol.events.event import Event, redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.rooms.receipt import Outcome
from homeserver.protocol.rooms.state import StateMap, membership
from homeserver.rooms.checking import MAX_SIGNERS
from homeserver.rooms.join_reply import MAX_EVENTS
from homeserver.rooms.question import Question
from tests.support.coroutines import result_of
from tests.support.http_connection import Connection, request
from tests.support.neighbours import ANN, Neighbours
from tests.support.our_rooms import ALICE, BOB, ids, same, text
from tests.support.room_pair import EVE
from tests.support.room_side import signed
from tests.support.signed_requests import OTHERS, THEM

FIRST, SECOND = THEM.server_name, OTHERS.server_name
NOBODY = ServerName.parse("nobody.example")


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


def without(*steps: str) -> Callable[[Any], Any]:
    """A reply without a member."""

    def change(reply: Any) -> Any:
        *path, last = steps
        inner = reply
        for step in path:
            inner = inner[step]
        del inner[last]
        return reply

    return change


def with_(*steps: str, value: Any) -> Callable[[Any], Any]:
    """A reply with another value of a member."""

    def change(reply: Any) -> Any:
        *path, last = steps
        inner = reply
        for step in path:
            inner = inner[step]
        inner[last] = value
        return reply

    return change


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


def answer(near: Neighbours, question: Question) -> Json:
    """What an honest server answers to a join, whatever the join is."""
    join = Event.parse(question.content, near.theirs.room_version)
    room = result_of(near.them.rooms.known(near.room_id))
    state = room.current
    reply: Json = {
        "auth_chain": [each.pdu for each in room.events.values()],
        "event": join.pdu,
        "members_omitted": False,
        "origin": FIRST.name,
        "servers_in_room": [FIRST.name],
        "state": [each.pdu for each in state.values()],
    }
    return reply


def of_kind(reply: Any, kind: str, where: str = "state") -> Any:
    """The first event of a type in a reply."""
    return next(each for each in reply[where] if each["type"] == kind)


def drop(reply: Any, kind: str) -> Any:
    """A reply without the events of a type."""
    for where in ("state", "auth_chain"):
        reply[where] = [each for each in reply[where] if each["type"] != kind]
    return reply


def unsigned(kind: str) -> Callable[[Any], Any]:
    """A reply with an event whose signatures do not verify."""

    def change(reply: Any) -> Any:
        for where in ("state", "auth_chain"):
            for each in reply[where]:
                if each["type"] == kind:
                    [names] = each["signatures"].values()
                    for key in names:
                        names[key] = "A" * 86
        return reply

    return change


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


def test_too_many_events() -> None:
    """A reply with more events than the limit is refused by their number alone."""
    near = Neighbours()

    def many(question: Question) -> Json:
        reply: Any = answer(near, question)
        reply["auth_chain"] *= MAX_EVENTS // len(reply["auth_chain"]) + 1
        return reply  # type: ignore[no-any-return]

    near.calls.instead["send_join"] = many
    with pytest.raises(NoServerHelps, match=f"{MAX_EVENTS} are joined here at most"):
        near.join()


def test_too_many_values() -> None:
    """A reply that would take much more memory than bytes is refused unread."""
    near = Neighbours()
    near.calls.instead["send_join"] = lambda _: b'{"x":[' + b"[]," * 2_000_001 + b"0]}"
    with pytest.raises(NoServerHelps, match="values"):
        near.join()


@pytest.mark.parametrize(
    "naming",
    [
        lambda user: {"sender": user},
        lambda user: {"content": {"join_authorised_via_users_server": user}},
    ],
)
def test_too_many_servers(naming: Callable[[str], Json]) -> None:
    """The keys of a bounded number of servers are fetched for one reply."""
    near = Neighbours()
    topic = near.send("m.room.topic", {"topic": "T"}, "")

    def crowd(question: Question) -> Json:
        reply: Any = answer(near, question)
        reply["auth_chain"] += [
            {**topic.pdu, **naming(f"@a:s{number}.example")}
            for number in range(MAX_SIGNERS)
        ]
        return reply  # type: ignore[no-any-return]

    near.calls.instead["send_join"] = crowd
    with pytest.raises(NoServerHelps, match=f"the keys of {MAX_SIGNERS}"):
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


def test_junk_auth_events() -> None:
    """A template with foreign auth events ends with the rules at the latest."""
    near = Neighbours()
    junk = with_("event", "auth_events", value=["$junk"])
    near.calls.change["make_join"] = junk
    near.calls.instead["send_join"] = lambda question: answer(near, question)
    with pytest.raises(NoServerHelps, match=r"\$junk"):
        near.join()
    assert near.ours is None


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


def restricted(near: Neighbours) -> None:
    """Let the room admit the members of another one, in which Ann is."""
    allowed = near.create()
    result_of(near.elsewhere.join(allowed.room_id, ANN, [FIRST]))
    rule: Json = {
        "join_rule": "restricted",
        "allow": [{"type": "m.room_membership", "room_id": allowed.room_id}],
    }
    near.send("m.room.join_rules", rule, "")


def test_restricted() -> None:
    """A restricted join is signed by the server that authorised it as well."""
    near = Neighbours()
    restricted(near)
    room = near.join()
    join = room.current["m.room.member", ANN.user_id]
    assert set(join.pdu["signatures"]) == {FIRST.name, ANN.server_name.name}  # type: ignore[call-overload]


def their_signature(reply: Any) -> dict[str, str]:
    """The signatures of the first server on the join."""
    found: dict[str, str] = reply["event"]["signatures"][FIRST.name]
    return found


def forged_signature(reply: Any) -> Any:
    """A reply whose signature on the join does not verify."""
    found = their_signature(reply)
    found.update(dict.fromkeys(found, "A" * 86))
    return reply


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (without("event"), "no `event`"),
        (without("event", "signatures", FIRST.name), "did not sign|not a JSON object"),
        (forged_signature, "signature"),
    ],
)
def test_restricted_unsigned(change: Callable[[Any], Any], why: str) -> None:
    """Without a valid signature of the authorising server, nothing is joined."""
    near = Neighbours()
    restricted(near)
    near.calls.change["send_join"] = change
    with pytest.raises(NoServerHelps, match=why):
        near.join()
    assert near.ours is None


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
