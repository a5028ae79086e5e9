"""The room version that a PDU is checked by, and where it comes from.

The create event of the room decides, then the format of the event, then the default of
the configuration.
"""

import pytest

from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.event import event_id, redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.inbox import Inbox
from tests.support.pdus import ROOM, changed, create, message, sign
from tests.support.signed_requests import OTHERS, THEM, Peer


def founded(*creates: Json, peer: Peer = THEM, room_id: str = ROOM) -> object:
    """The version that a later event of a room is judged by."""
    inbox = Inbox()
    for number, pdu in enumerate(creates):
        inbox.take(f"c{number}", pdu, peer=peer)
    inbox.take("m", message("6", room_id=room_id))
    return inbox.pdus[-1]["room_version"]


FOUNDING: list[tuple[str, list[Json], str]] = [
    ("nothing", [], "11"),
    ("a create event", [create("6")], "6"),
    ("one of before room versions", [create("1", content={"creator": "@a:x"})], "1"),
    ("two of them", [create("6"), create("7", depth=1)], "6"),
    ("one of another server", [create("6", OTHERS)], "11"),
    ("one that is not signed", [create("6") | {"signatures": {}}], "11"),
    ("one that was changed", [create("6") | {"more": "x"}], "11"),
    ("one that follows another event", [create("6", prev_events=["$x"])], "11"),
    ("one with a state key", [create("6", state_key="x")], "11"),
    ("one without a state key", [create("6", state_key=None)], "11"),
    ("one of another room", [create("6", room_id="!s:them.example")], "11"),
    ("another event", [message("6", content={"room_version": "6"})], "11"),
]


@pytest.mark.parametrize(
    ("creates", "version"),
    [row[1:] for row in FOUNDING],
    ids=[row[0] for row in FOUNDING],
)
def test_founding(creates: list[Json], version: str) -> None:
    """A room is of the version that its own server's first create event says."""
    assert founded(*creates) == version


def test_foreign_create_sent_on_founds() -> None:
    """It matters who signed the create event, not who delivered it."""
    assert founded(create("6"), peer=OTHERS) == "6"


def test_create_of_version_12_founds_the_room_of_its_hash() -> None:
    """A room of version 12 is called as its create event is, and of that version."""
    inbox = Inbox()
    pdu = create("12")
    inbox.take("c", pdu)
    room_id = "!" + event_id(pdu, ROOM_VERSIONS["12"])[1:]
    # The same event, but for its `origin`, would be of version 10 at most.
    inbox.take("m", message("12", room_id=room_id, origin="them.example"))
    assert inbox.pdus[1]["room_version"] == "12"
    assert inbox.pdus[1]["verdict"] == "accepted"


def test_events_that_come_with_the_create_event() -> None:
    """A create event counts for all events of its room in the same transaction."""
    inbox = Inbox()
    levels = message("6", type="m.room.power_levels", content={"invite": 5, "ban": 5})
    inbox.take("1", levels, create("6"), levels)
    assert [pdu["room_version"] for pdu in inbox.pdus] == ["6", "6", "6"]
    assert inbox.pdus[2]["verdict"] == "accepted"


def test_first_create_event_of_a_transaction_counts() -> None:
    """Two create events of a room in one transaction are as two in two of them."""
    inbox = Inbox()
    inbox.take("1", create("6"), create("7", depth=1), message("6"))
    assert inbox.pdus[2]["room_version"] == "6"
    inbox.take("2", message("6"))
    assert inbox.pdus[3]["room_version"] == "6"


# Version 11 redacts it as no version before does.
REDACTION = message(
    "11",
    type="m.room.redaction",
    content={"redacts": "$x"},
)

OLD = message("11", origin="them.example", prev_state=[], membership="join")

# The default of the configuration, what came, and what the last PDU's version is and
# rests on.
SOURCES: list[tuple[str, str, list[Json], str, str]] = [
    ("the default", "11", [message("11")], "11", "default"),
    ("another default", "9", [message("9")], "9", "default"),
    ("a default that was not signed by", "9", [REDACTION], "11", "event format"),
    ("a default that the form excludes", "12", [message("11")], "11", "event format"),
    ("a create event", "11", [create("6")], "6", "create event"),
    ("a known room", "11", [create("6"), message("6")], "6", "create event"),
    (
        "a room of version 12",
        "11",
        [message("12", room_id="!" + "a" * 43)],
        "12",
        "event format",
    ),
    ("an ID of 3, which only the default tells", "3", [message("3")], "3", "default"),
    ("an old member, as gomatrixserverlib has", "9", [OLD], "11", "event format"),
]


@pytest.mark.parametrize(
    ("default", "pdus", "version", "source"),
    [row[1:] for row in SOURCES],
    ids=[row[0] for row in SOURCES],
)
def test_source_of_a_version(
    default: str, pdus: list[Json], version: str, source: str
) -> None:
    """Of each PDU it is recorded what its room version rests on."""
    inbox = Inbox(default_room_version=default)
    inbox.take("1", *pdus)
    last = inbox.pdus[-1]
    assert (last["room_version"], last["room_version_source"]) == (version, source)
    own_id = event_id(pdus[-1], ROOM_VERSIONS[version])
    assert last["event_id"] == own_id


@pytest.mark.parametrize("version", ROOM_VERSIONS)
@pytest.mark.parametrize(
    "members",
    [{}, {"origin": "them.example", "prev_state": [], "membership": "join"}],
    ids=["as specified", "as gomatrixserverlib and Conduit send them"],
)
def test_every_version_without_its_create_event(version: str, members: Json) -> None:
    """An event of any version is accepted in a room that is not known here."""
    room_id = "!" + "a" * 43 if version == "12" else ROOM
    pdu = message(
        version,
        type="m.room.power_levels",
        state_key="",
        content={"invite": 5, "ban": 5},
        room_id=room_id,
        signatures=None,
    )
    pdu = sign(pdu | members, version, THEM)
    for default in ROOM_VERSIONS:
        inbox = Inbox(default_room_version=default)
        inbox.take("1", pdu)
        [recorded] = inbox.pdus
        assert recorded["verdict"] == "accepted"
        # No member of an event tells 3 from 4 and 5, nor 1 from 2.
        given = ROOM_VERSIONS[str(recorded["room_version"])]
        assert redact(pdu, given) == redact(pdu, ROOM_VERSIONS[version])


def test_an_event_that_fits_no_version() -> None:
    """It is told in which versions it was tried, and is not said to be of one."""
    inbox = Inbox()
    inbox.take("1", changed(message("9", content={"x": 1.5}), depth=4))
    [recorded] = inbox.pdus
    assert (recorded["room_version"], recorded["room_version_source"]) == (None, None)
    own_ids = [
        event_id(recorded["event"], ROOM_VERSIONS[version])
        for version in ("11", "5")
        if isinstance(recorded["event"], dict)
    ]
    assert recorded["event_id"] == own_ids[0]
    assert recorded["verdict"] == (
        "rejected: canonical JSON has no floats: 1.5; or: signature does not verify: "
        f"ed25519:t_1 over event {own_ids[1]} by them.example (checked as of room "
        "versions 11, 10, 8, 7, 5; valid in none; the create event of its room is not "
        "known here)"
    )


# A PDU, and why it is rejected; whether the versions that were tried are told.
TRIED: list[tuple[Json, str, bool]] = [
    (message(depth=None), "`depth` is missing", False),
    (message(unsigned=[]), "`unsigned` is not a JSON object", False),
    (message(content={"x": 1.5}, depth=-1), "canonical JSON has no floats: 1.5", True),
    (message() | {"signatures": {}}, "is not signed by a known key", True),
]


@pytest.mark.parametrize(("pdu", "why", "are_told"), TRIED)
def test_versions_are_told_where_they_matter(
    pdu: Json,
    why: str,
    are_told: bool,  # noqa: FBT001 - a row
) -> None:
    """What is wrong in every version alike has nothing to do with them."""
    inbox = Inbox()
    inbox.take("1", pdu)
    verdict = str(inbox.pdus[0]["verdict"])
    assert why in verdict
    assert ("room versions 11, 10, 8, 7, 5" in verdict) == are_told
