"""Of which room versions a PDU may be, and what that rests on."""

import pytest

from homeserver.protocol.assumptions import Basis, assume_room_versions
from homeserver.protocol.canonical import Json
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.room_versions import ROOM_VERSIONS, IdFormat

CREATE: Json = {"type": "m.room.create", "content": {"room_version": "6"}}

# What is known, the PDU, the recorded room version, the ones it may be of, and the
# ground of the first.
ASSUMED: list[tuple[str, Json, str | None, str, Basis]] = [
    ("a create event", CREATE, None, "6", Basis.CREATE_EVENT),
    ("a create event of a known room", CREATE, "9", "6", Basis.CREATE_EVENT),
    ("a create event of 1", CREATE | {"content": {}}, None, "1", Basis.CREATE_EVENT),
    (
        "a create event without a content",
        CREATE | {"content": None},
        "9",
        "9",
        Basis.CREATE_EVENT,
    ),
    ("a known room", {"type": "m.room.name"}, "9", "9", Basis.CREATE_EVENT),
    (
        "another type with a version",
        CREATE | {"type": "m.x"},
        "9",
        "9",
        Basis.CREATE_EVENT,
    ),
    (
        "an event ID in a known room",
        {"event_id": "$0:a.example"},
        "3",
        "3",
        Basis.CREATE_EVENT,
    ),
    ("an event ID", {"event_id": "$0:a.example"}, None, "2", Basis.SHAPE),
    ("nothing", {"type": "m.room.name"}, None, "11 10 8 7 5", Basis.DEFAULT),
    ("a room of 12", {"room_id": "!" + "a" * 43}, None, "12", Basis.SHAPE),
    ("a member of before 11", {"origin": "a.org"}, None, "10 8 7 5", Basis.SHAPE),
]


@pytest.mark.parametrize(
    ("pdu", "recorded", "expected", "basis"),
    [row[1:] for row in ASSUMED],
    ids=[row[0] for row in ASSUMED],
)
def test_versions_of_a_pdu(
    pdu: Json, recorded: str | None, expected: str, basis: Basis
) -> None:
    """A PDU may be of the versions that it, its room or its shape allows."""
    assumed = assume_room_versions(pdu, recorded, ROOM_VERSIONS["11"])
    assert [each.room_version.version for each in assumed] == expected.split()
    assert assumed[0].basis is basis
    assert {each.basis for each in assumed[1:]} <= {Basis.SHAPE}


# The default, the PDU, the versions that it may be of, and the ground of the first.
DEFAULTS: list[tuple[str, Json, str, Basis]] = [
    ("12", {}, "11 10 8 7 5", Basis.SHAPE),
    ("11", {}, "11 10 8 7 5", Basis.DEFAULT),
    ("10", {}, "10 11 8 7 5", Basis.DEFAULT),
    ("9", {}, "9 11 8 7 5", Basis.DEFAULT),
    ("8", {}, "8 11 10 7 5", Basis.DEFAULT),
    ("6", {}, "6 11 10 8 5", Basis.DEFAULT),
    ("3", {}, "3 11 10 8 7", Basis.DEFAULT),
    ("1", {}, "11 10 8 7 5", Basis.SHAPE),
    ("11", {"prev_state": []}, "10 8 7 5", Basis.SHAPE),
    ("9", {"prev_state": []}, "9 8 7 5", Basis.DEFAULT),
    ("1", {"event_id": "$0:a.example"}, "1", Basis.DEFAULT),
    ("2", {"event_id": "$0:a.example"}, "2", Basis.DEFAULT),
    ("3", {"event_id": "$0:a.example"}, "2", Basis.SHAPE),
    ("12", {"room_id": "!" + "a" * 43}, "12", Basis.SHAPE),
    ("11", {"room_id": "!" + "a" * 43}, "12", Basis.SHAPE),
]


@pytest.mark.parametrize(("default", "pdu", "expected", "basis"), DEFAULTS)
def test_default(default: str, pdu: Json, expected: str, basis: Basis) -> None:
    """The default comes first where the form allows it, and stands for its like."""
    assumed = assume_room_versions(pdu, None, ROOM_VERSIONS[default])
    assert [each.room_version.version for each in assumed] == expected.split()
    assert assumed[0].basis is basis
    assert {each.basis for each in assumed[1:]} <= {Basis.SHAPE}


def test_an_unknown_version_is_not_guessed() -> None:
    """A create event of a version that does not exist is refused for that."""
    pdu = CREATE | {"content": {"room_version": "13"}}
    with pytest.raises(InvalidParam, match="not a room version: '13'"):
        assume_room_versions(pdu, None, ROOM_VERSIONS["11"])


@pytest.mark.parametrize("default", ROOM_VERSIONS)
@pytest.mark.parametrize("version", [str(number) for number in range(3, 12)])
def test_every_version_signs_as_one_of_those(default: str, version: str) -> None:
    """Whatever the default, for each version there is one that signs as it does."""
    room_version = ROOM_VERSIONS[version]
    assert any(
        (each.kept_members, each.kept_content, each.is_strict)
        == (
            room_version.kept_members,
            room_version.kept_content,
            room_version.is_strict,
        )
        and each.id_format is not IdFormat.SENT
        for each in (
            assumption.room_version
            for assumption in assume_room_versions({}, None, ROOM_VERSIONS[default])
        )
    )
