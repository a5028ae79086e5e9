"""Of which room versions a PDU may be, and what that rests on."""

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.events.room_versions import (
    EVENTS_OF_2014,
    ROOM_VERSIONS,
    IdFormat,
    RoomVersion,
)
from homeserver.protocol.events.version_inference import (
    PossibleVersion,
    VersionSource,
    infer_room_versions,
)
from tests.support.tables import cases

CREATE: Json = {"type": "m.room.create", "content": {"room_version": "6"}}
WITH_ID: Json = {"event_id": "$0:a.example"}
OF_1: Json = {"type": "m.room.create", "content": {}}
VISIBILITY: Json = {"type": "m.room.history_visibility"}
ROOM_OF_12: Json = {"room_id": "!" + "a" * 43}

# What gomatrixserverlib and Conduit send in every version, and Synapse did once.
OLD_MEMBERS: list[Json] = [
    {"origin": "a.org"},
    {"prev_state": []},
    {"membership": "join"},
    {"origin": "a.org", "prev_state": [], "membership": "join"},
]

CREATE_EVENT = VersionSource.CREATE_EVENT
EVENT_FORMAT = VersionSource.EVENT_FORMAT
DEFAULT = VersionSource.DEFAULT


def names(assumed: list[PossibleVersion]) -> str:
    """The versions in their order; 2014's events are told from those of version 1."""
    return " ".join(
        "2014" if each.room_version is EVENTS_OF_2014 else each.room_version.version
        for each in assumed
    )


# What is known, the PDU, the recorded room version, the ones it may be of, and the
# source of the first.
ASSUMED: list[tuple[str, Json, str | None, str, VersionSource]] = [
    ("a create event", CREATE, None, "6", CREATE_EVENT),
    ("a create event of a known room", CREATE, "9", "6", CREATE_EVENT),
    ("a create event of 1", OF_1, None, "1", CREATE_EVENT),
    ("one without a content", CREATE | {"content": None}, "9", "9", CREATE_EVENT),
    ("a known room", {"type": "m.room.name"}, "9", "9", CREATE_EVENT),
    ("another type with a version", CREATE | {"type": "m.x"}, "9", "9", CREATE_EVENT),
    ("an event ID in a known room", WITH_ID, "3", "3", CREATE_EVENT),
    ("an event ID", WITH_ID, None, "2", EVENT_FORMAT),
    ("nothing", {"type": "m.room.name"}, None, "11 10 8 7 5", DEFAULT),
    ("a room of 12", ROOM_OF_12, None, "12", EVENT_FORMAT),
    *(("an old member", old, None, "11 10 8 7 5", DEFAULT) for old in OLD_MEMBERS),
    *(("one in 12", ROOM_OF_12 | old, None, "12", EVENT_FORMAT) for old in OLD_MEMBERS),
    (
        "an event ID and pairs",
        WITH_ID | {"prev_events": [["$a:b", {}]], "auth_events": []},
        None,
        "2",
        EVENT_FORMAT,
    ),
    (
        "an event ID and previous events by their IDs",
        WITH_ID | {"prev_events": ["$a"], "auth_events": []},
        None,
        "11 10 8 7 5",
        DEFAULT,
    ),
    (
        "an event ID and auth events by their IDs",
        WITH_ID | {"prev_events": [], "auth_events": ["$a"]},
        None,
        "11 10 8 7 5",
        DEFAULT,
    ),
    ("references of no form", WITH_ID | {"prev_events": 5}, None, "2", EVENT_FORMAT),
    ("2014's visibility in 1", VISIBILITY | WITH_ID, "1", "1 2014", CREATE_EVENT),
    ("2014's visibility in 2", VISIBILITY | WITH_ID, "2", "2", CREATE_EVENT),
    ("2014's visibility", VISIBILITY | WITH_ID, None, "2 2014", EVENT_FORMAT),
    ("2014's member", {"membership": "join"} | WITH_ID, "1", "1 2014", CREATE_EVENT),
    ("2014's create event", OF_1 | {"membership": ""}, None, "1 2014", CREATE_EVENT),
    ("today's visibility", VISIBILITY, None, "11 10 8 7 5", DEFAULT),
]


@cases("pdu recorded expected source", ASSUMED)
def test_versions_of_a_pdu(
    pdu: Json, recorded: str | None, expected: str, source: VersionSource
) -> None:
    """A PDU may be of the versions that it, its room or its format allows."""
    assumed = list(infer_room_versions(pdu, recorded, ROOM_VERSIONS["11"]))
    assert names(assumed) == expected
    assert assumed[0].source is source
    later = CREATE_EVENT if source is CREATE_EVENT else EVENT_FORMAT
    assert {each.source for each in assumed[1:]} <= {later}
    assert {each.unknown_version for each in assumed} == {None}


# The default, the PDU, the versions that it may be of, and the source of the first.
DEFAULTS: list[tuple[str, Json, str, VersionSource]] = [
    ("12", {}, "11 10 8 7 5", EVENT_FORMAT),
    ("11", {}, "11 10 8 7 5", DEFAULT),
    ("10", {}, "10 11 8 7 5", DEFAULT),
    ("9", {}, "9 11 8 7 5", DEFAULT),
    ("8", {}, "8 11 10 7 5", DEFAULT),
    ("6", {}, "6 11 10 8 5", DEFAULT),
    ("3", {}, "3 11 10 8 7", DEFAULT),
    ("1", {}, "11 10 8 7 5", EVENT_FORMAT),
    ("11", {"prev_state": []}, "11 10 8 7 5", DEFAULT),
    ("9", {"prev_state": []}, "9 11 8 7 5", DEFAULT),
    ("1", WITH_ID, "1", DEFAULT),
    ("2", WITH_ID, "2", DEFAULT),
    ("3", WITH_ID, "2", EVENT_FORMAT),
    ("1", WITH_ID | VISIBILITY, "1 2014", DEFAULT),
    ("12", ROOM_OF_12, "12", EVENT_FORMAT),
    ("11", ROOM_OF_12, "12", EVENT_FORMAT),
]


@pytest.mark.parametrize(("default", "pdu", "expected", "source"), DEFAULTS)
def test_default(default: str, pdu: Json, expected: str, source: VersionSource) -> None:
    """The default comes first where the format allows it, and stands for its like."""
    assumed = list(infer_room_versions(pdu, None, ROOM_VERSIONS[default]))
    assert names(assumed) == expected
    assert assumed[0].source is source
    assert {each.source for each in assumed[1:]} <= {EVENT_FORMAT}


@pytest.mark.parametrize(
    "named", ["A", "", "a" * 33, "1 ", "1\n", 12, 12.0, True, None, [], {"1": "1"}]
)
def test_what_is_no_version_is_refused(named: object) -> None:
    """A create event that names what can be no version is refused for that."""
    pdu = CREATE | {"content": {"room_version": named}}
    with pytest.raises(InvalidParam, match="unknown room version "):
        infer_room_versions(pdu, None, ROOM_VERSIONS["11"])


# A create event, and the versions whose format it may have.
UNKNOWN: list[tuple[Json, str]] = [
    ({"room_id": "!r:a.example"}, "11 10 8 7 5"),
    ({}, "12"),
    (WITH_ID, "12"),
    (ROOM_OF_12, "12"),
    (WITH_ID | {"room_id": "!r:a.example"}, "2"),
]


@pytest.mark.parametrize("version", ["13", "org.example.msc1-2", "a" * 32])
@pytest.mark.parametrize(("members", "expected"), UNKNOWN)
def test_unknown_version(members: Json, expected: str, version: str) -> None:
    """A create event of an unknown version is read in each format it may have."""
    pdu = CREATE | {"content": {"room_version": version}} | members
    assumed = list(infer_room_versions(pdu, "9", ROOM_VERSIONS["11"]))
    assert names(assumed) == expected
    assert {each.source for each in assumed} == {CREATE_EVENT}
    assert {each.unknown_version for each in assumed} == {version}


def test_room_of_an_unknown_version() -> None:
    """An event of a room whose create event names an unknown version is not guessed."""
    with pytest.raises(InvalidParam, match="names room version '13', which is not kno"):
        infer_room_versions({}, "13", ROOM_VERSIONS["11"])


def signed_parts(version: RoomVersion) -> object:
    """What decides about which bytes the servers sign."""
    return version.kept_members, version.kept_content, version.is_strict


@pytest.mark.parametrize("default", ROOM_VERSIONS)
@pytest.mark.parametrize("version", [str(number) for number in range(3, 12)])
@pytest.mark.parametrize("pdu", [{}, *OLD_MEMBERS])
def test_every_version_signs_as_one_of_those(
    pdu: Json, default: str, version: str
) -> None:
    """Whatever the default, for each version there is one that signs as it does."""
    assumed = infer_room_versions(pdu, None, ROOM_VERSIONS[default])
    assert signed_parts(ROOM_VERSIONS[version]) in [
        signed_parts(each.room_version)
        for each in assumed
        if each.room_version.id_format is not IdFormat.SENT
    ]
