"""Rooms of a version that is not known here.

The create event is rejected but its version is remembered: later events of the room are
rejected for it.
"""

import pytest

from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.events.event import event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.inbox import Inbox
from tests.support.pdus import changed, create, message
from tests.support.signed_requests import OTHERS, THEM, Peer


def unknown_create(
    version: object = "99", form: str = "11", peer: Peer = THEM, **changes: object
) -> Json:
    """A create event that names an unknown version, signed as `form` demands."""
    return create(form, peer, content={"room_version": version}, **changes)


# A create event of an unknown version, and the version of its room that is remembered.
REMEMBERED: list[tuple[str, Json, str | None]] = [
    ("signed as in 11", unknown_create(), "99"),
    ("signed as in 10", unknown_create(form="10"), "99"),
    ("with a name of its own", unknown_create("org.example.msc1-2"), "org.example.ms"),
    ("not signed", unknown_create() | {"signatures": {}}, None),
    ("of another server", unknown_create(peer=OTHERS), None),
    ("that follows another event", unknown_create(prev_events=["$x"]), None),
    ("that was changed", changed(unknown_create(), depth=9), None),
    ("without a depth", unknown_create(depth=None), None),
]


@pytest.mark.parametrize(
    ("pdu", "version"),
    [row[1:] for row in REMEMBERED],
    ids=[row[0] for row in REMEMBERED],
)
def test_room_of_an_unknown_version(pdu: Json, version: str | None) -> None:
    """Its own server's create event says it for all later events of the room."""
    inbox = Inbox()
    inbox.take("1", pdu, message("11"))
    inbox.take("2", message("11", depth=9), create("6"))
    first, *later, last = inbox.pdus
    named = as_object(pdu["content"], "`content`")["room_version"]
    assert str(first["verdict"]).startswith(f"rejected: unknown room version '{named}'")
    assert (first["event_id"], first["room_version"]) == (None, None)
    for each in later:
        if version is None:
            assert each["verdict"] == "accepted"
        else:
            assert str(each["room_version"]).startswith(version)
            assert each["room_version_source"] == "create event"
            assert each["verdict"] == (
                f"rejected: the create event of its room names room version '{named}', "
                "which is not known here"
            )
    assert last["verdict"] == "accepted"


def test_room_of_an_unknown_version_with_the_hash_as_its_id() -> None:
    """A create event without a room ID is remembered by its hash."""
    inbox = Inbox()
    pdu = unknown_create(form="12")
    room_id = "!" + event_id(pdu, ROOM_VERSIONS["12"])[1:]
    inbox.take("1", pdu, message("12", room_id=room_id))
    assert [each["room_version"] for each in inbox.pdus] == [None, "99"]


def test_create_event_of_no_version_in_a_known_room() -> None:
    """What is wrong with it is said of itself, not of its room."""
    inbox = Inbox()
    inbox.take("1", create("6"))
    inbox.take("2", unknown_create(5, depth=3))
    assert inbox.pdus[1]["room_version"] is None
    assert str(inbox.pdus[1]["verdict"]).startswith("rejected: unknown room version 5")
