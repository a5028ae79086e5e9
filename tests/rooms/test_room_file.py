"""The events of a room in a file."""

import json

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.errors import (
    BadJson,
    InvalidParam,
    NotJson,
    ProtocolError,
    TooLarge,
)
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.rooms import room_file
from homeserver.rooms.room_file import RoomFile, read
from tests.protocol.rooms.made_rooms import ALICE, BOB, MadeRoom


def topics(room: MadeRoom, count: int) -> list[Event]:
    """So many topics, one after the other."""
    return [
        room.send("m.room.topic", ALICE, {"n": n}, cites=[room.join])
        for n in range(count)
    ]


def listed(pdus: list[Json]) -> RoomFile:
    """What a list of PDUs is read as."""
    return read(json.dumps(pdus).encode(), None)


def pdus(room: MadeRoom) -> list[Json]:
    """The PDUs of a room."""
    return [event.pdu for event in room.events.values()]


@pytest.mark.parametrize("version", ["1", "3", "6", "11", "12"])
def test_forms(version: str) -> None:
    """A list, or one PDU a line, are the same; blank lines say nothing."""
    room = MadeRoom(version)
    topics(room, 2)
    lines = [json.dumps(pdu).encode() for pdu in pdus(room)]
    for data in (
        json.dumps(pdus(room), indent=1).encode(),
        b" \n" + json.dumps(pdus(room)).encode(),
        b"\n".join(lines),
        b"\n\n".join(lines) + b"\r\n \n",
    ):
        file = read(data, None)
        assert file.room_version is ROOM_VERSIONS[version]
        assert [each.event_id for each in file.events] == list(room.events)
        assert file.last == list(room.events)[-1]
        assert not (file.dropped or file.redacted or file.in_circles)


def test_version_that_is_named() -> None:
    """It stands above what the create event says, which may be missing."""
    room = MadeRoom("10")
    data = json.dumps(pdus(room)).encode()
    assert read(data, ROOM_VERSIONS["9"]).room_version is ROOM_VERSIONS["9"]
    data = json.dumps(pdus(room)[1:]).encode()
    assert read(data, ROOM_VERSIONS["10"]).events[0].event_id == room.join.event_id


def test_create_event_without_a_version() -> None:
    """It begins a room of version 1."""
    room = MadeRoom("1")
    data = pdus(room)
    content = data[0]["content"]
    assert isinstance(content, dict)
    data[0]["content"] = {"creator": content["creator"]}
    assert listed(data).room_version is ROOM_VERSIONS["1"]


def _create(content: bytes) -> bytes:
    return b'{"type": "m.room.create", "state_key": "", "content": %b}' % content


@pytest.mark.parametrize(
    ("data", "error", "why"),
    [
        (b"", BadJson, "no event of the file is the create event"),
        (b"[]", BadJson, "no event of the file is the create event"),
        (b"[{]", NotJson, "not JSON"),
        (b"{}\n{", BadJson, "line 2: not JSON"),
        (b"{}\n3", BadJson, "line 2: it is not a JSON object"),
        (b"[{}, 3]", BadJson, "entry 2 is not a JSON object"),
        (b"[" + b"[" * 200, ProtocolError, "JSON"),
        (b"\xff", BadJson, "line 1"),
        (
            _create(b'{"room_version": "1.5"}'),
            InvalidParam,
            "unknown room version '1.5'",
        ),
        (_create(b"1"), BadJson, "no event of the file is the create event"),
        (
            b'{"type": "m.room.create", "state_key": "x", "content": {}}',
            BadJson,
            "no event of the file is the create event",
        ),
        (
            _create(b'{}, "prev_events": ["$x"]'),
            BadJson,
            "no event of the file is the create event",
        ),
    ],
)
def test_bad_files(data: bytes, error: type[ProtocolError], why: str) -> None:
    """What is no room is refused with the reason."""
    with pytest.raises(error, match=why.replace("(", r"\(")):
        read(data, None)


def test_create_events_of_several_versions() -> None:
    """None of them is chosen, as each reads the events in its own way."""
    rooms = [MadeRoom(version, user) for version, user in (("10", ALICE), ("12", BOB))]
    data = json.dumps(pdus(rooms[0]) + pdus(rooms[1])).encode()
    with pytest.raises(BadJson, match="of room versions '10' and '12': name the one"):
        read(data, None)
    file = read(data, ROOM_VERSIONS["12"])
    assert set(rooms[1].events) < {each.event_id for each in file.events}
    same = listed(pdus(rooms[0]) + pdus(MadeRoom("10", BOB)))
    assert len(same.events) == 4
    with pytest.raises(BadJson, match=r"'10' and \[\"12\"\]"):
        listed([*pdus(rooms[0]), pdus(rooms[0])[0] | {"content": _version(["12"])}])


def _version(version: object) -> Json:
    return {"room_version": version}


def test_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file has so many bytes at most."""
    data = json.dumps(pdus(MadeRoom("10"))).encode()
    monkeypatch.setattr(room_file, "MAX_BYTES", len(data))
    assert len(read(data, None).events) == 2
    with pytest.raises(TooLarge, match=f"the file has more than {len(data)} bytes"):
        read(data + b" ", None)


def test_too_many_values() -> None:
    """They are counted over all lines."""
    line = b'{"a":[' + b",".join([b"0"] * 500_000) + b"]}\n"
    with pytest.raises(TooLarge, match="the JSON has more than 1000000 values"):
        read(line * 2, None)


def test_too_many_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file has so many events at most."""
    room = MadeRoom("10")
    monkeypatch.setattr(room_file, "MAX_EVENTS", 2)
    listed(pdus(room))
    topics(room, 1)
    with pytest.raises(BadJson, match="the file has 3 events; 2 are allowed"):
        listed(pdus(room))


def test_order_of_arrival() -> None:
    """Each event comes after those that it cites, else as the file has them."""
    room = MadeRoom("10")
    first, second, third = topics(room, 3)
    aside = room.send("m.room.name", ALICE, {}, cites=[room.join], after=[first])
    order = [aside, third, second, first, room.join, room.create]
    file = listed([event.pdu for event in order])
    assert [each.event_id for each in file.events] == [
        each.event_id for each in (room.create, room.join, first, aside, second, third)
    ]
    assert file.last == room.create.event_id


def test_only_cited_events_of_the_file_are_waited_for() -> None:
    """What the file lacks holds nothing up."""
    room = MadeRoom("10")
    first, second = topics(room, 2)
    file = listed([room.create.pdu, second.pdu, room.join.pdu])
    assert [each.event_id for each in file.events] == [
        each.event_id for each in (room.create, room.join, second)
    ]
    assert first.event_id not in {each.event_id for each in file.events}


def test_dropped() -> None:
    """What breaks the form of its version is dropped, with its place and the reason."""
    room = MadeRoom("10")
    [topic] = topics(room, 1)
    without_depth = {key: each for key, each in topic.pdu.items() if key != "depth"}
    float_depth = topic.pdu | {"depth": 1.5}
    file = listed([*pdus(room)[:2], float_depth, without_depth])
    assert [each.number for each in file.dropped] == [3, 4]
    assert "1.5" in file.dropped[0].why
    assert file.dropped[1].why == "`depth` is missing"
    assert file.dropped[1].event_id is not None
    assert file.dropped[1].event_id == file.last
    assert len(file.events) == 2


def test_dropped_without_an_id() -> None:
    """In versions 1 and 2, what is dropped may have no ID."""
    room = MadeRoom("1")
    [topic] = topics(room, 1)
    without_id = {key: each for key, each in topic.pdu.items() if key != "event_id"}
    file = listed([*pdus(room)[:2], without_id])
    assert [each.event_id for each in file.dropped] == [None]
    assert file.last is None


def test_changed_content() -> None:
    """An event whose content was changed is taken redacted, under the same ID."""
    room = MadeRoom("10")
    [topic] = topics(room, 1)
    changed = topic.pdu | {"content": {"topic": "another"}}
    file = listed([*pdus(room)[:2], changed])
    assert file.redacted == {topic.event_id}
    assert file.events[-1].event_id == topic.event_id
    assert file.events[-1].content == {}


def test_twice_the_same_id() -> None:
    """Of two events that claim one ID, the first stays."""
    room = MadeRoom("10")
    [topic] = topics(room, 1)
    changed = topic.pdu | {"content": {"topic": "another"}}
    file = listed([*pdus(room), changed])
    assert file.events[-1].content == {"n": 0}
    assert file.redacted == set()
    assert file.last == topic.event_id


def test_circle() -> None:
    """Events that cite each other never arrive; version 2 lets senders choose IDs."""
    room = MadeRoom("2")
    for own, other in (
        ("$x:a.example", "$y:a.example"),
        ("$y:a.example", "$x:a.example"),
    ):
        room.send(
            "m.room.topic", ALICE, {}, cites=[], event_id=own, auth_events=[[other, {}]]
        )
    file = listed(pdus(room))
    assert [each.event_id for each in file.events] == list(room.events)[:2]
    assert file.in_circles == {"$x:a.example", "$y:a.example"}
