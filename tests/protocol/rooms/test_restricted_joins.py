"""Who authorises a join to a restricted room, and what is said where none does."""

from collections.abc import Callable

import pytest

from homeserver.protocol.errors import Forbidden, ProtocolError
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import RoomId, ServerName, UserId
from homeserver.protocol.rooms.restricted_joins import (
    UnableToAuthoriseJoin,
    UnableToGrantJoin,
    allowed_rooms,
    authorising_user,
    needs_authorisation,
)
from tests.protocol.rooms.room import ALICE, BOB, DAN, INA, OLIVE, Room

SPACE, OTHER = RoomId("!space:a.example"), RoomId("!other:a.example")


def entry(room_id: object, kind: object = "m.room_membership") -> dict[str, object]:
    """A condition."""
    return {"type": kind, "room_id": room_id}


def restricted(allow: object, version: str = "12", rule: object = "restricted") -> Room:
    """A room that members of other rooms may join."""
    content: dict[str, object] = {"join_rule": rule}
    if allow is not None:
        content["allow"] = allow
    return Room(version).set("m.room.join_rules", ALICE, content)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_who_needs_it(version: str) -> None:
    """A user neither in the room nor invited, by a rule that the version has."""
    number = int(version)
    for rule, since in (("restricted", 8), ("knock_restricted", 10), ("public", 99)):
        room = restricted([], version, rule)
        needs = [
            needs_authorisation(room.state, room.version, UserId.parse(user))
            for user in (OLIVE, DAN, INA)
        ]
        assert needs == [number >= since, False, False]


def test_where_there_is_no_join_rule() -> None:
    """Without one, or with one that is none, a room is not restricted."""
    olive = UserId.parse(OLIVE)
    room = Room("12").without("m.room.join_rules")
    assert not needs_authorisation(room.state, room.version, olive)
    odd = restricted([], rule=["restricted"])
    assert not needs_authorisation(odd.state, odd.version, olive)


ALLOW: list[tuple[object, list[RoomId]]] = [
    ([entry(SPACE), entry(OTHER)], [SPACE, OTHER]),
    ([entry(SPACE, "x.other")], []),
    ([entry(5), entry("space"), 5, {}, entry(OTHER)], [OTHER]),
    (None, []),
    ({}, []),
]


@pytest.mark.parametrize(("allow", "rooms"), ALLOW)
def test_allowed_rooms(allow: object, rooms: list[RoomId]) -> None:
    """What is not a condition that is known lets no user in."""
    assert allowed_rooms(restricted(allow).state) == rooms


def test_a_room_without_join_rules_allows_no_room() -> None:
    """Without a join rule there is no condition."""
    assert allowed_rooms(Room("12").without("m.room.join_rules").state) == []


def authorise(room: Room, server: str, known: dict[RoomId, bool]) -> UserId:
    """The user of a server that authorises a join of a user in these rooms."""
    is_in: Callable[[RoomId], bool | None] = known.get
    return authorising_user(room.state, room.version, ServerName.parse(server), is_in)


def test_a_user_that_may_invite_authorises() -> None:
    """One of the server's own, in the room, with the invite level."""
    room = restricted([entry(SPACE)])
    for user in ("@zoe:d.example", "@amy:d.example"):
        room.member(user, "join")
    room.member("@aaa:d.example", "leave")
    met = {SPACE: True}
    assert str(authorise(room, "d.example", met)) == "@amy:d.example"
    room.levels(invite=50)
    assert str(authorise(room, "b.example", met)) == BOB
    with pytest.raises(UnableToGrantJoin):
        authorise(room, "d.example", met)


def test_one_condition_is_enough() -> None:
    """Whatever the others are."""
    room = restricted([entry(OTHER), entry(SPACE)])
    assert str(authorise(room, "b.example", {SPACE: True})) == BOB
    assert str(authorise(room, "b.example", {OTHER: False, SPACE: True})) == BOB


NOT_MET: list[tuple[object, dict[RoomId, bool], type[ProtocolError], str]] = [
    ([entry(SPACE)], {SPACE: False}, Forbidden, "M_FORBIDDEN"),
    ([], {}, Forbidden, "M_FORBIDDEN"),
    (None, {SPACE: True}, Forbidden, "M_FORBIDDEN"),
    ([entry(SPACE)], {}, UnableToAuthoriseJoin, "M_UNABLE_TO_AUTHORISE_JOIN"),
    (
        [entry(SPACE), entry(OTHER)],
        {OTHER: False},
        UnableToAuthoriseJoin,
        "M_UNABLE_TO_AUTHORISE_JOIN",
    ),
]


@pytest.mark.parametrize(("allow", "known", "error", "errcode"), NOT_MET)
def test_no_condition_is_met(
    allow: object, known: dict[RoomId, bool], error: type[ProtocolError], errcode: str
) -> None:
    """The user is refused, or another server may know more."""
    with pytest.raises(error) as refused:
        authorise(restricted(allow), "b.example", known)
    assert refused.value.errcode == errcode
    assert refused.value.status == (403 if errcode == "M_FORBIDDEN" else 400)


def test_another_server_may_grant() -> None:
    """Where no user of the server is in the room, or may invite."""
    room = restricted([entry(SPACE)])
    with pytest.raises(UnableToGrantJoin, match=r"no user of o\.example") as refused:
        authorise(room, "o.example", {SPACE: True})
    assert (refused.value.status, refused.value.errcode) == (
        400,
        "M_UNABLE_TO_GRANT_JOIN",
    )


def test_levels_that_cannot_be_read() -> None:
    """No user may invite by a level that cannot be read."""
    room = restricted([entry(SPACE)], "9").levels(invite="x")
    with pytest.raises(UnableToGrantJoin):
        authorise(room, "b.example", {SPACE: True})


def test_who_authorises_lets_the_join_in() -> None:
    """The rules allow the join that names the user."""
    room = restricted([entry(SPACE)]).levels(invite=50)
    via = str(authorise(room, "b.example", {SPACE: True}))
    join = room.membership(OLIVE, OLIVE, "join", join_authorised_via_users_server=via)
    assert room.check(join).rule == "5.3.5.3"


def test_a_member_that_is_no_user_hides_no_other() -> None:
    """A state key that is not a user ID is passed over, and those after it count."""
    room = restricted([entry(SPACE)])
    members = {x: room.state.pop(x) for x in list(room.state) if x[1] == BOB}
    room.set("m.room.member", ALICE, {"membership": "join"}, "bob")
    room.state.update(members)
    assert str(authorise(room, "b.example", {SPACE: True})) == BOB
