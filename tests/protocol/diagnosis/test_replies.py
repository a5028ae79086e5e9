"""What is remarked of the event IDs in a reply."""

import pytest

from homeserver.protocol.canonical_json import encode_urlsafe_base64
from homeserver.protocol.diagnosis.replies import diagnose_reply, remark_on_alphabet
from homeserver.protocol.events.event import content_hash, event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from homeserver.protocol.identifiers import EventId
from homeserver.protocol.remarks import REMARKS
from homeserver.protocol.slices import run
from tests.support.pdus import message

PDU = message("10", depth=5)
OWN_ID = event_id(PDU, ROOM_VERSIONS["10"])
OF_CONTENT = "$" + encode_urlsafe_base64(content_hash(PDU))

REPLIES = [
    ([OWN_ID + "="], "the event ID has padding"),
    ([OF_CONTENT], "the event ID is the content hash"),
    (["$other", OF_CONTENT], "the event ID is the content hash"),
    (["$other"], None),
    ([], None),
    (["$other", "$another", OF_CONTENT], None),
]


@pytest.mark.parametrize(("answered", "said"), REPLIES)
def test_event_ids(answered: list[str], said: str | None) -> None:
    """An ID that a known mistake explains is told; the first two are looked at."""
    found = run(diagnose_reply(PDU, [None], answered))
    assert {each.code for each in found} <= REMARKS.keys()
    assert [said in each.text for each in found if said] == ([True] if said else [])


STANDARD = "$" + "a+/" * 14 + "a"
ALPHABETS: list[tuple[dict[str, object], str, bool]] = [
    ({}, STANDARD, True),
    ({}, OWN_ID, False),
    ({}, "$a/b:server.example", False),
    ({"content": {"room_version": "3"}}, STANDARD, False),
    ({"content": 1}, STANDARD, True),
    ({"prev_events": [STANDARD]}, STANDARD, False),
    ({"auth_events": [STANDARD]}, STANDARD, False),
    ({"prev_events": [1], "auth_events": 1}, STANDARD, True),
    ({"prev_events": [OWN_ID]}, STANDARD, True),
]


@pytest.mark.parametrize(("changes", "answered", "is_told"), ALPHABETS)
def test_alphabets(changes: dict[str, object], answered: str, is_told: object) -> None:
    """The alphabet of room version 3 is told, unless the PDU is of that version."""
    remark = remark_on_alphabet(PDU | changes, EventId(answered))
    assert (remark is not None) is is_told
    assert remark is None or remark.code in REMARKS
