"""Joining, knocking and leaving, as other servers ask us."""

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from homeserver.net.cause import OURSELVES
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.author import Given
from homeserver.rooms.memberships import make_join, make_knock, make_leave
from homeserver.rooms.question import Question
from homeserver.rooms.resident import Resident
from tests.support.lost_changes import during_a_lost_change
from tests.support.our_names import OUR_NAME
from tests.support.our_rooms import ALICE, BOB, CAROL, OurRooms, join_rule, same
from tests.support.room_side import (
    VERSIONS,
    RoomSide,
    changed,
    ids_of,
    reply_in_list,
    signed,
)
from tests.support.signed_requests import OTHERS, THEM
from tests.support.state_ids import ids

Make = Callable[[Resident, Question], Coroutine[Any, Any, Json]]

ALL = tuple(ROOM_VERSIONS)


@pytest.mark.parametrize("v2", [True, False])
@pytest.mark.parametrize("version", ALL)
def test_joined(version: str, *, v2: bool) -> None:
    """A user joins a public room, and its server gets all that was before."""
    side = RoomSide()
    room = side.ours.create(version, preset="public_chat")
    before = ids(room.current)
    event = side.membership(room, "join")
    answer = side.send("join", event, v2=v2)
    assert answer.status == 200
    reply = answer.json if v2 else reply_in_list(answer)
    assert sorted(ids_of(reply["state"], version)) == sorted(before.values())
    chain = ids_of(reply["auth_chain"], version)
    assert set(event.auth_event_ids) <= set(chain)
    assert before["m.room.create", ""] in chain
    assert len(chain) == len(set(chain))
    assert ids_of([reply["event"]], version) == [event.event_id]
    assert reply["members_omitted"] is False
    assert reply["servers_in_room"] == [OUR_NAME.name]
    now = side.known(room)
    assert now.extremities == {event.event_id}
    assert now.residents == {OUR_NAME, THEM.server_name}
    assert side.ours.queued() == {}  # the one that joins has it
    # The reply may have been lost: the same request has the same reply.
    assert side.send("join", event, v2=v2).body == answer.body
    # The next one is sent to the server that has joined.
    side.join(room, CAROL, OTHERS)
    assert side.ours.queued() == {THEM.server_name.name: 1}
    same(side.known(room), side.ours.read(room.room_id))


def test_joined_beside_another_worker() -> None:
    """The reply is of the room as another process has changed it meanwhile."""
    side = RoomSide()
    side.ours.store.is_shared = True
    room = side.ours.create(preset="public_chat")
    fork = Given(prev_events=[*room.extremities])
    for topic in "ab":
        side.ours.send(room, "m.room.topic", {"topic": topic}, "", fork)
    event = side.membership(room, "join")
    assert len(event.prev_event_ids) == 2

    async def change() -> None:
        other = OurRooms(side.database).rooms
        new = NewEvent("m.room.topic", ALICE, {"topic": "c"}, "")
        await other.send(room.room_id, new)

    before = ids(side.known(room).current)
    side.ours.rooms.check_space = change  # type: ignore[method-assign]
    answer = side.send("join", event)
    assert answer.status == 200, answer.json
    sent = ids_of(answer.json["state"], room.room_version.version)
    assert sorted(sent) == sorted(before.values())


@pytest.mark.parametrize("make", [make_join, make_knock, make_leave])
def test_template_of_what_is_written(make: Make) -> None:
    """A template does not cite a change that is under way: it may be lost."""
    side = RoomSide()
    room = side.ours.create("10", preset="public_chat")
    if make is make_knock:
        side.ours.send(room, "m.room.join_rules", {"join_rule": "knock"}, "")
    if make is make_leave:
        side.join(room)
    before = list(side.known(room).extremities)
    path = {"roomId": room.room_id, "userId": BOB.user_id}
    asked = Question(THEM.server_name, path, {"ver": ["10"]}, {}, OURSELVES)
    made: Any = during_a_lost_change(
        side.ours, room, lambda: make(side.resident, asked)
    )
    assert made["event"]["prev_events"] == before


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_members_omitted(version: str, *, is_named: bool) -> None:
    """Without its members a state has what the joining server needs at once."""
    side = RoomSide()
    room = side.ours.create(
        version, preset="public_chat", name="N" if is_named else None
    )
    for number in range(8):
        side.join(room, f"@u{number}:{OTHERS.server_name}", OTHERS)
    event = side.membership(room, "join")
    before = side.known(room).current
    answer = side.send("join", event, query=[("omit_members", "true")])
    reply = answer.json
    assert reply["members_omitted"] is True
    assert reply["servers_in_room"] == sorted([OUR_NAME.name, OTHERS.server_name.name])
    sent = set(ids_of(reply["state"], version))
    chain = set(ids_of(reply["auth_chain"], version))
    assert not sent & chain
    others = {e.event_id for (kind, _), e in before.items() if kind != "m.room.member"}
    assert others <= sent
    assert len(sent - others) == (0 if is_named else 5)
    needed = set(event.auth_event_ids)
    assert needed <= sent | chain


@pytest.mark.parametrize("version", ALL)
def test_version_that_is_not_known(version: str) -> None:
    """A server that does not know the room version learns which it is."""
    side = RoomSide()
    room = side.ours.create(version, preset="public_chat")
    others = [each for each in VERSIONS if each[1] != version]
    answer = side.ask("GET", "make_join", room.room_id, BOB.user_id, query=others)
    assert answer.status == 400
    assert answer.json["errcode"] == "M_INCOMPATIBLE_ROOM_VERSION"
    assert answer.json["room_version"] == version
    without = side.ask("GET", "make_join", room.room_id, BOB.user_id)
    assert without.status == (200 if version == "1" else 400)


def test_not_joined() -> None:
    """Nobody joins who may not, and nobody for a user of another server."""
    side = RoomSide()
    room = side.ours.create()

    def make(room_id: str, user: str) -> tuple[int, str]:
        return side.ask("GET", "make_join", room_id, user, query=VERSIONS).error

    assert make(room.room_id, BOB.user_id) == (403, "M_FORBIDDEN")
    assert make(room.room_id, CAROL) == (403, "M_FORBIDDEN")
    assert make("!no:us.example", BOB.user_id) == (404, "M_NOT_FOUND")
    assert make("no", BOB.user_id) == (400, "M_INVALID_PARAM")
    assert make(room.room_id, "bob") == (400, "M_INVALID_PARAM")
    # A room that the last user of ours has left is answered for by others.
    side.ours.send(room, "m.room.member", {"membership": "leave"}, ALICE.user_id)
    assert make(room.room_id, BOB.user_id) == (404, "M_NOT_FOUND")


CHANGES: list[tuple[str, dict[str, object], int, str]] = [
    ("type", {"type": "m.room.message"}, 400, "M_INVALID_PARAM"),
    ("membership", {"content": {"membership": "leave"}}, 400, "M_INVALID_PARAM"),
    ("no membership", {"content": {}}, 400, "M_INVALID_PARAM"),
    ("another room", {"room_id": "!x:us.example"}, 404, "M_NOT_FOUND"),
    ("another sender", {"sender": CAROL}, 400, "M_INVALID_PARAM"),
    ("another user", {"state_key": CAROL}, 400, "M_INVALID_PARAM"),
    ("unknown past", {"prev_events": ["$x"]}, 403, "M_FORBIDDEN"),
    ("unknown authority", {"auth_events": ["$x"]}, 403, "M_FORBIDDEN"),
    ("no authority", {"auth_events": []}, 403, "M_FORBIDDEN"),
    ("no past", {"prev_events": []}, 403, "M_FORBIDDEN"),
    ("a malformed list", {"prev_events": "x"}, 400, "M_BAD_JSON"),
    ("no depth", {"depth": None}, 400, "M_BAD_JSON"),
    ("too long", {"x": "y" * 66000}, 413, "M_TOO_LARGE"),
]


@pytest.mark.parametrize(
    ("members", "status", "errcode"),
    [each[1:] for each in CHANGES],
    ids=[each[0] for each in CHANGES],
)
def test_forged_join(members: dict[str, object], status: int, errcode: str) -> None:
    """A signed join that is not the one asked for is refused and leaves no trace."""
    side = RoomSide()
    room = side.ours.create("10", preset="public_chat")
    event = side.membership(room, "join")
    before = dict(side.known(room).entries)
    pdu = {**event.pdu, **members, "signatures": {}}
    try:
        forged = changed(event, THEM, **members)
    except Exception:  # noqa: BLE001 - it has no form at all: sent as it is
        answer = side.ask(
            "PUT", "send_join", room.room_id, event.event_id, content=pdu, v2=True
        )
    else:
        answer = side.send("join", forged)
    assert answer.error == (status, errcode)
    assert side.known(room).entries == before


def test_other_forgeries() -> None:
    """A join without a signature, under another ID, or of another origin."""
    side = RoomSide()
    room = side.ours.create("10", preset="public_chat")
    event = side.membership(room, "join")
    path = ("PUT", "send_join", room.room_id)
    unsigned = {**event.pdu, "signatures": {}}
    answer = side.ask(*path, event.event_id, content=unsigned, v2=True)
    assert answer.error == (403, "M_FORBIDDEN")
    said = f"event {event.event_id} by them.example is not signed by a known key: "
    assert str(answer.json["error"]).startswith(said)
    answer = side.ask(*path, "$other", content=event.pdu, v2=True)
    assert answer.error == (400, "M_INVALID_PARAM")
    answer = side.ask(*path, event.event_id, content=event.pdu, v2=True, peer=OTHERS)
    assert answer.error == (400, "M_INVALID_PARAM")
    # A content that was changed after the signature is redacted, and so accepted.
    content = {"membership": "join", "displayname": "B"}
    swapped = {**event.pdu, "content": content}
    answer = side.ask(*path, event.event_id, content=swapped, v2=True)
    assert answer.status == 200
    stored = side.known(room).current["m.room.member", BOB.user_id]
    assert stored.content == {"membership": "join"}


@pytest.mark.parametrize("version", ["7", "10", "12"])
def test_knocked(version: str) -> None:
    """A user knocks, sees what the room is, and takes it back."""
    side = RoomSide()
    room = side.ours.create(version, name="N", initial_state=[join_rule("knock")])
    event = side.membership(room, "knock")
    answer = side.send("knock", event)
    assert answer.status == 200
    shown = answer.json["knock_room_state"]
    kinds = {each["type"] for each in shown}  # type: ignore[attr-defined]
    assert kinds == {"m.room.create", "m.room.name", "m.room.join_rules"}
    assert len(ids_of(shown, version)) == 3
    assert membership(side.known(room).current, BOB.user_id) == "knock"
    leave = side.membership(room, "leave")
    answer = side.send("leave", leave)
    assert (answer.status, answer.json) == (200, {})
    assert membership(side.known(room).current, BOB.user_id) == "leave"


def test_not_knocked() -> None:
    """Rooms of before version 7, and others without the rule, know no knocks."""
    side = RoomSide()
    for version, rule in (("6", "knock"), ("10", "invite"), ("10", "public")):
        room = side.ours.create(version, initial_state=[join_rule(rule)])
        args = ("GET", "make_knock", room.room_id, BOB.user_id)
        assert side.ask(*args, query=VERSIONS).error == (403, "M_FORBIDDEN")
        assert side.ask(*args).error == (400, "M_MISSING_PARAM")


def test_knocks_of_others() -> None:
    """No member knocks, no banned user, and nobody for a user of another server."""
    side = RoomSide()
    room = side.ours.create("10", initial_state=[join_rule("knock")])
    knock = side.membership(room, "knock")
    foreign = signed({**knock.pdu, "state_key": CAROL, "signatures": {}}, "10")
    assert side.send("knock", foreign, v2=False).error == (400, "M_INVALID_PARAM")
    args = ("GET", "make_knock", room.room_id)
    asked = side.ask(*args, CAROL, query=VERSIONS)
    assert asked.error == (403, "M_FORBIDDEN")
    for how in ("invite", "ban"):
        side.ours.send(room, "m.room.member", {"membership": how}, BOB.user_id)
        asked = side.ask(*args, BOB.user_id, query=VERSIONS)
        assert asked.error == (403, "M_FORBIDDEN")
        assert side.send("knock", knock, v2=False).error == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("v2", [True, False])
@pytest.mark.parametrize("version", ["1", "5", "12"])
def test_left(version: str, *, v2: bool) -> None:
    """An invited user declines; a user who is not there leaves nothing."""
    side = RoomSide()
    room = side.ours.create(version)
    args = ("GET", "make_leave", room.room_id, BOB.user_id)
    assert side.ask(*args).error == (403, "M_FORBIDDEN")
    side.ours.send(room, "m.room.member", {"membership": "invite"}, BOB.user_id)
    event = side.membership(room, "leave")
    answer = side.send("leave", event, v2=v2)
    assert answer.status == 200
    assert (answer.json if v2 else reply_in_list(answer)) == {}
    assert membership(side.known(room).current, BOB.user_id) == "leave"
    foreign = signed(
        {**event.pdu, "state_key": ALICE.user_id, "signatures": {}}, version
    )
    assert side.send("leave", foreign).error == (400, "M_INVALID_PARAM")


def test_soft_failed() -> None:
    """A join by what held before a ban is refused, though its past allowed it."""
    side = RoomSide()
    room = side.ours.create("10", preset="public_chat")
    event = side.membership(room, "join")
    side.ours.send(room, "m.room.member", {"membership": "ban"}, BOB.user_id)
    assert side.send("join", event).error == (403, "M_FORBIDDEN")
    assert UserId.parse(BOB.user_id).server_name not in side.known(room).residents
