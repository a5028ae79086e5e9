"""An event cites what may authorise it, and nothing else."""

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.rooms.auth_events import (
    auth_keys,
    auth_keys_of,
    select_auth_events,
)
from tests.protocol.rooms.room import ALICE, BOB, DAN, OLIVE, Room

CREATE, POWER, RULES = "m.room.create", "m.room.power_levels", "m.room.join_rules"
VIA = "join_authorised_via_users_server"
INVITE: Json = {"membership": "invite"}
BY_MAIL: Json = {"signed": {"token": "t"}}

# Type, state key, content, and what is cited beside create, power and the sender.
ROWS: list[tuple[str, str | None, Json, list[str]]] = [
    ("m.room.message", None, {"membership": "join", VIA: BOB}, []),
    ("m.room.topic", "", {}, []),
    ("m.room.member", DAN, {"membership": "join"}, [RULES]),
    ("m.room.member", OLIVE, {"membership": "join"}, [OLIVE, RULES]),
    ("m.room.member", OLIVE, {"membership": "knock"}, [OLIVE, RULES]),
    ("m.room.member", OLIVE, INVITE, [OLIVE, RULES]),
    ("m.room.member", OLIVE, {"membership": "leave"}, [OLIVE]),
    ("m.room.member", OLIVE, {"membership": "ban"}, [OLIVE]),
    ("m.room.member", OLIVE, {"membership": ""}, [OLIVE]),
    ("m.room.member", OLIVE, {}, [OLIVE]),
    ("m.room.member", OLIVE, {"membership": ["join"]}, [OLIVE]),
    ("m.room.member", OLIVE, {"membership": {}}, [OLIVE]),
    ("m.room.member", None, {}, []),
    (
        "m.room.member",
        OLIVE,
        INVITE | {"third_party_invite": BY_MAIL},
        [OLIVE, RULES, "t"],
    ),
    (
        "m.room.member",
        OLIVE,
        {"membership": "join", "third_party_invite": BY_MAIL},
        [OLIVE, RULES],
    ),
    ("m.room.member", OLIVE, INVITE | {"third_party_invite": 5}, [OLIVE, RULES]),
    (
        "m.room.member",
        OLIVE,
        INVITE | {"third_party_invite": {"signed": {"token": 5}}},
        [OLIVE, RULES],
    ),
    ("m.room.member", OLIVE, INVITE | {VIA: BOB}, [OLIVE, RULES]),
    ("m.room.member", OLIVE, {"membership": "join", VIA: 5}, [OLIVE, RULES]),
]


@pytest.mark.parametrize("version", ROOM_VERSIONS)
@pytest.mark.parametrize(("kind", "key", "content", "more"), ROWS)
def test_selection(
    version: str, kind: str, key: str | None, content: Json, more: list[str]
) -> None:
    """The create event up to version 11, the levels, the sender, and what is said."""
    keys = auth_keys(kind, DAN, key, content, ROOM_VERSIONS[version])
    expected = [(POWER, ""), ("m.room.member", DAN)]
    if version != "12":
        expected.insert(0, (CREATE, ""))
    for each in more:
        if each == "t":
            expected.append(("m.room.third_party_invite", "t"))
        else:
            expected.append((RULES, "") if each == RULES else ("m.room.member", each))
    assert keys == expected


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_authorised_joins(version: str) -> None:
    """From version 8 on, a join cites the user that authorised it."""
    content: Json = {"membership": "join", VIA: BOB}
    keys = auth_keys("m.room.member", DAN, DAN, content, ROOM_VERSIONS[version])
    assert (("m.room.member", BOB) in keys) is (int(version) >= 8)


@pytest.mark.parametrize("version", ROOM_VERSIONS)
def test_create(version: str) -> None:
    """A create event cites nothing."""
    assert auth_keys_of(Room(version).create) == []


def test_what_the_state_lacks() -> None:
    """What the state does not have is left out."""
    room = Room("11").without(POWER)
    keys = auth_keys("m.room.message", OLIVE, None, {}, room.version)
    assert select_auth_events(keys, room.state) == [room.create]
    keys = auth_keys("m.room.message", ALICE, None, {}, room.version)
    member = room.state[("m.room.member", ALICE)]
    assert select_auth_events(keys, room.state) == [room.create, member]
