"""Which room versions there are, and what each decides about the form of events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.events.room_versions import (
    DEFAULT_ROOM_VERSION,
    ROOM_VERSIONS,
    IdFormat,
    RoomVersion,
    parse_room_version,
)

SENT, BASE64, URLSAFE = IdFormat.SENT, IdFormat.BASE64, IdFormat.URLSAFE

# What redaction keeps of each is in test_events.
DECISIONS: list[tuple[str, IdFormat, set[str]]] = [
    ("1", SENT, set()),
    ("2", SENT, set()),
    ("3", BASE64, set()),
    ("4", URLSAFE, set()),
    ("5", URLSAFE, {"validity"}),
    ("6", URLSAFE, {"validity", "strict"}),
    ("7", URLSAFE, {"validity", "strict"}),
    ("8", URLSAFE, {"validity", "strict", "restricted joins"}),
    ("9", URLSAFE, {"validity", "strict", "restricted joins"}),
    ("10", URLSAFE, {"validity", "strict", "restricted joins"}),
    ("11", URLSAFE, {"validity", "strict", "restricted joins"}),
    ("12", URLSAFE, {"validity", "strict", "restricted joins", "hash room ID"}),
]


def decided(room_version: RoomVersion) -> set[str]:
    """The names of what a room version demands."""
    demands = {
        "validity": room_version.enforces_key_validity,
        "strict": room_version.is_strict,
        "restricted joins": room_version.has_restricted_joins,
        "hash room ID": room_version.has_hash_room_id,
    }
    return {name for name, demanded in demands.items() if demanded}


@pytest.mark.parametrize(("version", "id_format", "decisions"), DECISIONS)
def test_room_version(version: str, id_format: IdFormat, decisions: set[str]) -> None:
    """A room version decides what the specification's table says of it."""
    room_version = parse_room_version(version)
    assert room_version.version == version
    assert room_version.id_format is id_format
    assert decided(room_version) == decisions


def test_table_is_complete() -> None:
    """No room version is without a line in the table above."""
    assert list(ROOM_VERSIONS) == [version for version, _, _ in DECISIONS]


def test_default_is_version_12() -> None:
    """New rooms are of version 12."""
    assert DEFAULT_ROOM_VERSION.version == "12"


@pytest.mark.parametrize(
    "value", ["", "0", "13", "01", "1 ", "1.0", "org.example.x", 1, 12, None, True, []]
)
def test_unknown_room_version(value: object) -> None:
    """A value that names no room version is refused, with those that there are."""
    with pytest.raises(InvalidParam, match="known: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,"):
        parse_room_version(value)


@given(value=st.text() | st.integers() | st.none() | st.lists(st.text()))
def test_parse_raises_nothing_but_invalid_param(value: object) -> None:
    """Any value is either a room version's name or refused with InvalidParam."""
    try:
        assert parse_room_version(value).version == value
    except InvalidParam:
        assert value not in list(ROOM_VERSIONS)
