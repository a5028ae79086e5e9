"""Invites of users of ours, and what is recorded of them."""

from typing import Any

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import RoomId, UserId
from homeserver.protocol.rooms.building import NewEvent
from homeserver.protocol.rooms.creation import build_create
from homeserver.protocol.rooms.state import membership
from homeserver.rooms.author import Given
from homeserver.storage import pending_memberships
from homeserver.storage.pending_memberships import PendingMembership, PendingStore
from tests.support.coroutines import result_of
from tests.support.http_connection import Answer
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OTHER_NAME, OUR_NAME
from tests.support.our_rooms import ALICE, BOB
from tests.support.room_side import RoomSide, changed, reply_in_list, signed
from tests.support.signed_requests import OTHERS, THEM

ALL = tuple(ROOM_VERSIONS)


def _create() -> Event:
    """The create event of a room of another server, of version 12."""
    pdu = build_create(BOB, ROOM_VERSIONS["12"], 1)
    return signed(pdu, "12")


CREATE = _create()


def invite(version: str = "10", user: str = ALICE.user_id, **members: object) -> Event:
    """An invite to a room of another server."""
    pdu: Json = {
        "type": "m.room.member",
        "room_id": "!r:them.example" if version != "12" else CREATE.room_id,
        "sender": BOB.user_id,
        "state_key": user,
        "content": {"membership": "invite"},
        "origin_server_ts": 1,
        "depth": 5,
        "prev_events": [],
        "auth_events": [],
        **members,
    }
    return signed(pdu, version)


def send(side: RoomSide, event: Event, *, v2: bool = True, **more: object) -> Answer:
    """The answer to an invite."""
    version = event.room_version.version
    content: Json = {"event": event.pdu, "room_version": version, **more}
    return side.ask(
        "PUT",
        "invite",
        event.room_id,
        event.event_id,
        content=content if v2 else event.pdu,
        v2=v2,
    )


def recorded(side: RoomSide) -> list[PendingMembership]:
    """The invites that are recorded."""
    return result_of(side.resident.pending.all("invite"))


@pytest.mark.parametrize("version", ALL)
def test_invited(version: str) -> None:
    """An invite is signed and recorded, and no room comes of it."""
    side = RoomSide()
    event = invite(version)
    state: list[Json] = [
        {"type": "m.room.name", "state_key": "", "content": {"name": "N"}}
    ]
    if version == "12":
        name = {**CREATE.pdu, **state[0], "room_id": CREATE.room_id}
        state = [CREATE.pdu, signed({**name, "signatures": {}}, version).pdu]
    answer = send(side, event, invite_room_state=state)
    assert answer.status == 200, answer.json
    pdu: Any = answer.json["event"]
    back = Event.parse(pdu, event.room_version)
    assert back.signed == event.signed
    assert set(pdu["signatures"]) == {OUR_NAME.name, THEM.server_name.name}
    [found] = recorded(side)
    assert (found.room_id, found.user, found.origin) == (
        event.room_id,
        ALICE,
        THEM.server_name,
    )
    assert found.event == back.encoded
    assert b'"N"' in found.room_state
    assert result_of(side.ours.rooms.find(event.room_id)) is None
    # The same again changes nothing.
    assert send(side, event, invite_room_state=state).body == answer.body
    assert len(recorded(side)) == 1


def test_version_1() -> None:
    """The first version of the route has the event alone, and a reply in a list."""
    side = RoomSide()
    event = invite("1", unsigned={"invite_room_state": [{"type": "x"}]})
    answer = send(side, event, v2=False)
    pdu: Any = reply_in_list(answer)["event"]
    assert set(pdu["signatures"]) == {OUR_NAME.name, THEM.server_name.name}
    [found] = recorded(side)
    assert found.room_state == b'[{"type":"x"}]'


BAD: list[tuple[str, Event, dict[str, object], tuple[int, str]]] = [
    ("type", invite(type="m.room.x"), {}, (400, "M_INVALID_PARAM")),
    (
        "membership",
        invite(content={"membership": "join"}),
        {},
        (400, "M_INVALID_PARAM"),
    ),
    ("user", invite(user="@x:else.example"), {}, (400, "M_INVALID_PARAM")),
    ("no user", invite(user="x"), {}, (400, "M_INVALID_PARAM")),
    ("state", invite(), {"invite_room_state": {}}, (400, "M_BAD_JSON")),
    ("entry", invite(), {"invite_room_state": [1]}, (400, "M_BAD_JSON")),
    (
        "too much",
        invite(),
        {"invite_room_state": [{"x": "y" * 300_000}]},
        (400, "M_INVALID_PARAM"),
    ),
    (
        "too many",
        invite(),
        {"invite_room_state": [{}] * 101},
        (400, "M_INVALID_PARAM"),
    ),
    ("version", invite(), {"room_version": 10}, (400, "M_INVALID_PARAM")),
    (
        "no create event",
        invite("12"),
        {"invite_room_state": []},
        (400, "M_INVALID_PARAM"),
    ),
    ("other version", invite(), {"room_version": "1"}, (400, "M_BAD_JSON")),
]


@pytest.mark.parametrize(
    ("event", "more", "error"), [x[1:] for x in BAD], ids=[x[0] for x in BAD]
)
def test_forged(event: Event, more: dict[str, object], error: tuple[int, str]) -> None:
    """What is no invite of a user of ours is neither signed nor recorded."""
    side = RoomSide()
    content = {"event": event.pdu, "room_version": event.room_version.version, **more}
    args = ("PUT", "invite", event.room_id, event.event_id)
    assert side.ask(*args, content=content, v2=True).error == error
    assert recorded(side) == []


def test_unknown_version() -> None:
    """The room version that we do not know is named."""
    answer = send(RoomSide(), invite(), room_version="99")
    assert answer.status == 400
    assert answer.json["errcode"] == "M_INCOMPATIBLE_ROOM_VERSION"
    assert answer.json["room_version"] == "99"


def test_without_members() -> None:
    """A body without its members says which."""
    side, event = RoomSide(), invite()
    answer = side.ask(
        "PUT", "invite", event.room_id, event.event_id, content={}, v2=True
    )
    assert answer.error == (400, "M_MISSING_PARAM")


def test_signed_by_another() -> None:
    """An invite without the signature of its sender's server is refused."""
    side = RoomSide()
    event = invite()
    pdu = {**event.pdu, "signatures": {}}
    content: Json = {"event": pdu, "room_version": "10"}
    args = ("PUT", "invite", event.room_id, event.event_id)
    assert side.ask(*args, content=content, v2=True).error == (403, "M_FORBIDDEN")
    content["event"] = changed(event, OTHERS).pdu
    assert side.ask(*args, content=content, v2=True).error == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("version", ["3", "12"])
def test_to_a_room_of_ours(version: str) -> None:
    """An invite to a room that we are in is judged, and becomes part of it."""
    side = RoomSide()
    room = side.ours.create(
        version, preset="public_chat", power_levels={"invite": 0, "events_default": 0}
    )
    side.join(room)
    new = UserId.parse(f"@new:{OUR_NAME}")
    wanted = NewEvent("m.room.member", BOB, {"membership": "invite"}, new.user_id)
    template = result_of(side.ours.author.template(side.known(room), wanted))
    event = signed(template, version)
    state = [side.known(room).current["m.room.create", ""].pdu]
    assert send(side, event, invite_room_state=state).status == 200
    assert membership(side.known(room).current, new.user_id) == "invite"
    assert recorded(side) == []
    # One that the rules do not allow is refused.
    side.ours.send(room, "m.room.member", {"membership": "ban"}, f"@x:{OUR_NAME}")
    banned = changed(event, state_key=f"@x:{OUR_NAME}")
    assert send(side, banned, invite_room_state=state).error == (403, "M_FORBIDDEN")
    acl: Json = {"allow": ["us.example"]}
    side.ours.send(room, "m.room.server_acl", acl, "", Given())
    assert send(side, event).error == (403, "M_FORBIDDEN")


@pytest.mark.parametrize("version", ["1", "10", "12"])
def test_wrong_content_hash(version: str) -> None:
    """An invite that its signature covers in part is signed and recorded redacted."""
    side = RoomSide()
    event = invite(version)
    content = {"membership": "invite", "reason": "not covered"}
    sent = Event.parse({**event.pdu, "content": content}, event.room_version)
    state = [CREATE.pdu] if version == "12" else []
    answer = send(side, sent, invite_room_state=state)
    assert answer.status == 200, answer.json
    pdu: Any = answer.json["event"]
    assert Event.parse(pdu, event.room_version).signed == event.signed
    assert pdu["content"] == {"membership": "invite"}
    [found] = recorded(side)
    assert b"not covered" not in found.event


def test_wrong_content_hash_in_a_room_of_ours() -> None:
    """It is a part of the room as it is for all other servers: redacted."""
    side = RoomSide()
    levels = {"invite": 0, "events_default": 0}
    room = side.ours.create("10", preset="public_chat", power_levels=levels)
    side.join(room)
    new = UserId.parse(f"@new:{OUR_NAME}")
    wanted = NewEvent("m.room.member", BOB, {"membership": "invite"}, new.user_id)
    event = signed(result_of(side.ours.author.template(side.known(room), wanted)), "10")
    content = {"membership": "invite", "reason": "not covered"}
    sent = Event.parse({**event.pdu, "content": content}, event.room_version)
    assert send(side, sent).status == 200
    taken = side.known(room).current["m.room.member", new.user_id]
    assert taken.content == {"membership": "invite"}


def test_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one server, and of all, the newest invites are kept."""
    monkeypatch.setattr(pending_memberships, "MAX_OF_ONE", (3, 10**6))
    monkeypatch.setattr(pending_memberships, "MAX_OF_ALL", (5, 10**6))
    database = MemoryDatabase()
    store, other = (PendingStore(database, n) for n in (OUR_NAME, OTHER_NAME))

    def record(store: PendingStore, number: int, origin: str) -> None:
        result_of(
            store.record(
                PendingMembership(
                    RoomId(f"!{number}:{origin}"),
                    ALICE,
                    UserId.parse(f"@x:{origin}").server_name,
                    "1",
                    b"{}",
                    b"[]",
                )
            )
        )

    record(other, 0, "a.example")
    for number in range(6):
        record(store, number, "a.example")
    assert [x.room_id for x in result_of(store.all("invite"))] == [
        f"!{number}:a.example" for number in (3, 4, 5)
    ]
    for number in range(3):
        record(store, number, "b.example")
        record(store, number, "c.example")
    assert len(result_of(store.all("invite"))) == 5
    assert len(result_of(other.all("invite"))) == 1
    [*_, last] = result_of(store.all("invite"))
    assert result_of(store.find(last.room_id, ALICE)) == last
    result_of(store.remove(last.room_id, ALICE))
    assert len(result_of(store.all("invite"))) == 4
    assert result_of(store.find(last.room_id, ALICE)) is None


def test_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large invites leave room for fewer, of one server and of all."""
    monkeypatch.setattr(pending_memberships, "MAX_OF_ONE", (100, 5000))
    monkeypatch.setattr(pending_memberships, "MAX_OF_ALL", (100, 8000))
    store = PendingStore(MemoryDatabase(), OUR_NAME)

    def record(number: int, origin: str) -> list[str]:
        name = UserId.parse(f"@x:{origin}").server_name
        room_id = RoomId(f"!{number}:{origin}")
        event, state = b"{}", b"[" + b" " * 1500 + b"]"
        result_of(
            store.record(PendingMembership(room_id, ALICE, name, "1", event, state))
        )
        return [str(x.room_id) for x in result_of(store.all("invite"))]

    a, b = ([f"!{n}:{x}.example" for n in range(3)] for x in "ab")
    assert record(0, "a.example") == a[:1]
    assert record(1, "a.example") == a[:2]
    assert record(2, "a.example") == a[1:]
    assert record(0, "b.example") == [*a[1:], b[0]]
    assert record(1, "b.example") == [a[2], *b[:2]]
