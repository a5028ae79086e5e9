"""The form that a PDU must have to be read as an event of its room version.

Rules: what the version allows is read unchanged, and anything else is refused with
the error of its kind. Only a create event can create a room.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeserver.protocol.canonical_json import Json, encode
from homeserver.protocol.errors import BadJson, InvalidParam, ProtocolError, TooLarge
from homeserver.protocol.events.event import MAX_EVENT_BYTES, Event, event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.event_forms import ABSENT, LENIENT, VERSIONS, pdu_of, versions
from tests.support.event_members import ALWAYS_KEPT, json_objects, json_values
from tests.support.tables import cases


@pytest.mark.parametrize("version", VERSIONS)
def test_parse_reads_a_pdu(version: str) -> None:
    """A PDU in its room version's form is read into an event."""
    room_version = ROOM_VERSIONS[version]
    pdu = pdu_of(version)
    event = Event.parse(pdu, room_version)
    assert event.pdu == pdu
    assert event.room_version is room_version
    assert event.event_id == event_id(pdu, room_version)
    assert event.type == "m.room.member"
    assert event.sender.user_id == "@u:a.example"
    assert event.room_id == "!r:a.example"
    assert event.origin_server_ts == 1000000


STRICT = VERSIONS[VERSIONS.index("6") :]

ALLOWED: list[tuple[str, list[str], Json]] = [
    ("no state key", VERSIONS, {"state_key": ABSENT}),
    ("no unsigned data", VERSIONS, {"unsigned": {}}),
    ("empty texts", VERSIONS, {"state_key": "", "type": ""}),
    ("no references", VERSIONS, {"prev_events": [], "auth_events": []}),
    ("20 previous events", versions(3, 12), {"prev_events": ["$"] * 20}),
    ("20 previous events", versions(1, 2), {"prev_events": [["$", {}]] * 20}),
    ("10 auth events", versions(3, 12), {"auth_events": ["$"] * 10}),
    ("10 auth events", versions(1, 2), {"auth_events": [["$", {}]] * 10}),
    ("unknown members", VERSIONS, {"x": None, "content": {"x": [None, {}]}}),
    ("other hashes", VERSIONS, {"hashes": {"sha256": "", "sha512": 5}}),
    ("historical user ID", VERSIONS, {"sender": "@Ü ber:a.example"}),
    ("room ID of version 12", ["12"], {"room_id": "!" + "x" * 43}),
    ("depth 0", VERSIONS, {"depth": 0}),
    ("largest integer", VERSIONS, {"depth": 2**53 - 1}),
    ("greatest depth", LENIENT, {"depth": 2**63 - 1}),
    ("float", LENIENT, {"content": {"a": 1.5}}),
    ("nested float", LENIENT, {"unsigned": {"a": [{"b": 1e30}]}}),
    ("integer of 54 bits", LENIENT, {"content": {"a": 2**53}}),
    ("negative integer of 54 bits", LENIENT, {"content": {"a": -(2**53)}}),
]


@pytest.mark.parametrize(
    ("version", "changes"),
    [(version, changes) for _, those, changes in ALLOWED for version in those],
    ids=[f"{name} in {version}" for name, those, _ in ALLOWED for version in those],
)
def test_parse_accepts(version: str, changes: Json) -> None:
    """A PDU may have what its room version does not forbid."""
    pdu = pdu_of(version, changes)
    assert Event.parse(pdu, ROOM_VERSIONS[version]).pdu == pdu


Malformed = tuple[str, list[str], Json, type[ProtocolError]]

MALFORMED: list[Malformed] = [
    ("no type", VERSIONS, {"type": ABSENT}, BadJson),
    ("type null", VERSIONS, {"type": None}, BadJson),
    ("type a number", VERSIONS, {"type": 5}, BadJson),
    ("no sender", VERSIONS, {"sender": ABSENT}, BadJson),
    ("sender a number", VERSIONS, {"sender": 5}, BadJson),
    ("sender without a server", VERSIONS, {"sender": "@u"}, InvalidParam),
    ("sender of a bad server", VERSIONS, {"sender": "@u:a_b"}, InvalidParam),
    ("sender without a sigil", VERSIONS, {"sender": "u:a.example"}, InvalidParam),
    ("no room ID", VERSIONS, {"room_id": ABSENT}, BadJson),
    ("room ID null", VERSIONS, {"room_id": None}, BadJson),
    ("room ID of another sigil", VERSIONS, {"room_id": "#r:a"}, InvalidParam),
    ("state key null", VERSIONS, {"state_key": None}, BadJson),
    ("no content", VERSIONS, {"content": ABSENT}, BadJson),
    ("content null", VERSIONS, {"content": None}, BadJson),
    ("content a list", VERSIONS, {"content": []}, BadJson),
    ("no signatures", VERSIONS, {"signatures": ABSENT}, BadJson),
    ("signatures a list", VERSIONS, {"signatures": []}, BadJson),
    ("no hashes", VERSIONS, {"hashes": ABSENT}, BadJson),
    ("hashes a list", VERSIONS, {"hashes": []}, BadJson),
    ("no sha256", VERSIONS, {"hashes": {"sha512": "a"}}, BadJson),
    ("sha256 a number", VERSIONS, {"hashes": {"sha256": 5}}, BadJson),
    ("no depth", VERSIONS, {"depth": ABSENT}, BadJson),
    ("depth a string", VERSIONS, {"depth": "3"}, BadJson),
    ("depth a boolean", VERSIONS, {"depth": True}, BadJson),
    ("depth a float", VERSIONS, {"depth": 3.0}, BadJson),
    ("depth negative", VERSIONS, {"depth": -1}, BadJson),
    ("depth of 64 bits", VERSIONS, {"depth": 2**63}, BadJson),
    ("no time", VERSIONS, {"origin_server_ts": ABSENT}, BadJson),
    ("time a string", VERSIONS, {"origin_server_ts": "1"}, BadJson),
    ("no prev_events", VERSIONS, {"prev_events": ABSENT}, BadJson),
    ("prev_events an object", VERSIONS, {"prev_events": {}}, BadJson),
    ("no auth_events", VERSIONS, {"auth_events": ABSENT}, BadJson),
    ("auth_events a string", VERSIONS, {"auth_events": "$a"}, BadJson),
    ("21 prev_events", versions(3, 12), {"prev_events": ["$"] * 21}, BadJson),
    ("21 prev_events", versions(1, 2), {"prev_events": [["$", {}]] * 21}, BadJson),
    ("11 auth_events", versions(3, 12), {"auth_events": ["$"] * 11}, BadJson),
    ("11 auth_events", versions(1, 2), {"auth_events": [["$", {}]] * 11}, BadJson),
    ("pairs", versions(3, 12), {"prev_events": [["$a:b", {}]]}, BadJson),
    ("auth pairs", versions(3, 12), {"auth_events": [["$a:b", {}]]}, BadJson),
    ("plain IDs", versions(1, 2), {"prev_events": ["$a:b"]}, BadJson),
    ("plain auth IDs", versions(1, 2), {"auth_events": ["$a:b"]}, BadJson),
    ("a pair of one", versions(1, 2), {"prev_events": [["$a:b"]]}, BadJson),
    ("a pair of three", versions(1, 2), {"prev_events": [["$", {}, {}]]}, BadJson),
    ("a pair's ID a number", versions(1, 2), {"prev_events": [[5, {}]]}, BadJson),
    ("a pair's hash a text", versions(1, 2), {"prev_events": [["$", "a"]]}, BadJson),
    ("no event ID", versions(1, 2), {"event_id": ABSENT}, BadJson),
    ("event ID a number", VERSIONS, {"event_id": 5}, BadJson),
    ("event ID without a server", versions(1, 2), {"event_id": "$a"}, InvalidParam),
    ("event ID without a sigil", versions(1, 2), {"event_id": "a:b"}, InvalidParam),
    ("float", STRICT, {"content": {"a": 1.5}}, BadJson),
    ("whole float", STRICT, {"content": {"a": 1.0}}, BadJson),
    ("nested float", STRICT, {"unsigned": {"a": [{"b": 1e30}]}}, BadJson),
    ("integer of 54 bits", STRICT, {"content": {"a": 2**53}}, BadJson),
    ("negative integer of 54 bits", STRICT, {"content": {"a": -(2**53)}}, BadJson),
    ("depth of 54 bits", STRICT, {"depth": 2**53}, BadJson),
    ("unsigned null", VERSIONS, {"unsigned": None}, BadJson),
    ("unsigned a list", VERSIONS, {"unsigned": []}, BadJson),
    ("unsigned a text", VERSIONS, {"unsigned": "{}"}, BadJson),
    (
        "room ID without a server",
        versions(1, 11),
        {"room_id": "!" + "x" * 43},
        InvalidParam,
    ),
    (
        "create event whose room ID has no server",
        versions(1, 11),
        {"type": "m.room.create", "state_key": "", "room_id": "!" + "x" * 43},
        InvalidParam,
    ),
    ("room ID of other letters", VERSIONS, {"room_id": "!" + "x" * 42}, InvalidParam),
]


@pytest.mark.parametrize(
    ("version", "changes", "error"),
    [row[1:] for row in ((n, v, c, e) for n, vs, c, e in MALFORMED for v in vs)],
    ids=[
        f"{name} in {version}" for name, those, _, _ in MALFORMED for version in those
    ],
)
def test_parse_refuses(version: str, changes: Json, error: type[ProtocolError]) -> None:
    """A PDU of another form is refused, with the error of its kind."""
    with pytest.raises(ProtocolError) as caught:
        Event.parse(pdu_of(version, changes), ROOM_VERSIONS[version])
    assert type(caught.value) is error


def test_parse_refuses_a_create_event_with_a_room_id_in_version_12() -> None:
    """A create event of room version 12 must not name the room it creates."""
    with pytest.raises(BadJson, match="must not have a `room_id`"):
        Event.parse(pdu_of("12", {"type": "m.room.create"}), ROOM_VERSIONS["12"])


@pytest.mark.parametrize("version", versions(1, 11))
def test_parse_demands_the_room_id_of_a_create_event(version: str) -> None:
    """A create event of an earlier room version names the room it creates."""
    changes: Json = {"type": "m.room.create", "room_id": ABSENT}
    with pytest.raises(BadJson, match="`room_id` is missing"):
        Event.parse(pdu_of(version, changes), ROOM_VERSIONS[version])


def pdu_of_size(version: str, size: int) -> Json:
    """A PDU of that many bytes, a signature and unsigned data among them."""
    changes: Json = {
        "signatures": {"a.example": {"ed25519:1": "a" * 86}},
        "unsigned": {"age": 1},
    }
    empty = len(encode(pdu_of(version, changes | {"content": {"body": ""}})))
    return pdu_of(version, changes | {"content": {"body": "x" * (size - empty)}})


@pytest.mark.parametrize("version", VERSIONS)
def test_parse_accepts_a_pdu_of_65536_bytes(version: str) -> None:
    """A PDU may have 65536 bytes in canonical JSON, signatures included."""
    pdu = pdu_of_size(version, 65536)
    assert len(encode(pdu)) == MAX_EVENT_BYTES
    Event.parse(pdu, ROOM_VERSIONS[version])


@pytest.mark.parametrize("version", VERSIONS)
def test_parse_refuses_a_pdu_of_65537_bytes(version: str) -> None:
    """A PDU that is one byte larger than the limit is refused for its size."""
    with pytest.raises(TooLarge, match="has 65537 bytes; the limit is 65536"):
        Event.parse(pdu_of_size(version, 65537), ROOM_VERSIONS[version])


# Member, and what stands before and after the part of it that is made longer.
LIMITED: list[tuple[str, str, str, str]] = [
    ("type", "12", "", ""),
    ("state_key", "12", "", ""),
    ("sender", "12", "@", ":a.example"),
    ("room_id", "12", "!", ":a.example"),
    ("event_id", "1", "$", ":a.example"),
    ("event_id", "12", "$", ""),
]


@pytest.mark.parametrize("letter", ["x", "é", "😀"])
@pytest.mark.parametrize(("member", "version", "before", "after"), LIMITED)
def test_parse_limits_a_text_to_255_bytes(
    member: str, version: str, before: str, after: str, letter: str
) -> None:
    """A PDU's names and IDs may have 255 bytes, and no more."""
    room = 255 - len(before + after)
    width = len(letter.encode())
    longest = before + letter * (room // width) + "x" * (room % width) + after
    assert len(longest.encode()) == 255
    Event.parse(pdu_of(version, {member: longest}), ROOM_VERSIONS[version])

    too_long = before + "x" + longest[len(before) :]
    with pytest.raises(BadJson, match=f"`{member}` has more than 255 bytes"):
        Event.parse(pdu_of(version, {member: too_long}), ROOM_VERSIONS[version])


pdus = st.builds(
    lambda version, changes: (version, pdu_of(version, changes)),
    st.sampled_from(VERSIONS),
    st.dictionaries(
        st.sampled_from([*ALWAYS_KEPT, "unsigned"]),
        st.just(ABSENT) | json_objects | json_values,
        max_size=2,
    ),
)


@given(drawn=pdus)
@settings(deadline=None, max_examples=300)
def test_parse_raises_nothing_but_protocol_errors(drawn: tuple[str, Json]) -> None:
    """Any object is either read, and can be asked, or refused with a ProtocolError."""
    version, pdu = drawn
    try:
        event = Event.parse(pdu, ROOM_VERSIONS[version])
        assert isinstance(event.content_hash_matches, bool)
        assert isinstance(event.required_signers, frozenset)
    except ProtocolError as error:
        assert error.status in {400, 413}


CREATING: list[tuple[str, str, Json, str | None]] = [
    ("its own room", "6", {}, "!r:a.example"),
    ("a foreign room", "6", {"room_id": "!r:b.example"}, None),
    ("events before it", "6", {"prev_events": ["$x"]}, None),
    ("a state key", "6", {"state_key": "x"}, None),
    ("no state key", "6", {"state_key": None}, None),
    ("another type", "6", {"type": "m.room.name"}, None),
]


@cases("version changes created", CREATING)
def test_a_create_event_creates_its_own_room(
    version: str, changes: Json, created: str | None
) -> None:
    """Only a first create event of a server's own room creates it."""
    pdu: Json = {
        "type": "m.room.create",
        "content": {"room_version": "6"},
        "sender": "@u:a.example",
        "room_id": "!r:a.example",
        "state_key": "",
        "origin_server_ts": 1,
        "depth": 1,
        "prev_events": [],
        "auth_events": [],
        "hashes": {"sha256": ""},
        "signatures": {},
    }
    pdu = {k: v for k, v in (pdu | changes).items() if v is not None}
    assert Event.parse(pdu, ROOM_VERSIONS[version]).created_room_id == created


def test_a_create_event_of_version_12_creates_the_room_of_its_hash() -> None:
    """In version 12 the room is called as the create event is."""
    pdu = {
        "type": "m.room.create",
        "content": {"room_version": "12"},
        "sender": "@u:a.example",
        "state_key": "",
        "origin_server_ts": 1,
        "depth": 1,
        "prev_events": [],
        "auth_events": [],
        "hashes": {"sha256": ""},
        "signatures": {},
    }
    event = Event.parse(pdu, ROOM_VERSIONS["12"])
    assert event.created_room_id == "!" + event.event_id[1:]
