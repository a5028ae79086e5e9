"""PDUs as servers of 2014 send them.

An unsigned one is accepted from its own server where the configuration allows it, and
is no event of a room.
"""

import pytest

from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.events.event import hash_and_sign
from homeserver.protocol.events.room_versions import EVENTS_OF_2014
from tests.support.inbox import Inbox
from tests.support.pdus import ROOM, create, message
from tests.support.signed_requests import OTHERS, THEM, Peer

OF_2014: Json = {
    "pdu_id": "x",
    "context": ROOM,
    "pdu_type": "m.room.create",
    "origin": "them.example",
    "user_id": "@a:them.example",
    "content": {"creator": "@a:them.example"},
    "is_state": True,
    "state_key": "",
}

UNSIGNED = "unsigned: of 2014, by its transaction's origin alone"

# An unsigned PDU, who sends it, whether those are taken, and the verdict on it.
UNSIGNED_PDUS: list[tuple[Json, Peer, bool, str]] = [
    (OF_2014, THEM, True, UNSIGNED),
    (OF_2014 | {"type": "m.room.create", "content": {}}, THEM, True, UNSIGNED),
    (
        OF_2014,
        OTHERS,
        True,
        "rejected: an unsigned PDU of 2014 is accepted from its own",
    ),
    (OF_2014 | {"content": []}, THEM, True, "rejected: `content` is not a JSON object"),
    (OF_2014, THEM, False, "rejected: unsigned PDUs of 2014 are not accepted here"),
    (
        OF_2014 | {"event_id": "$e:them.example"},
        THEM,
        True,
        "rejected: `signatures` is missing",
    ),
    (OF_2014 | {"room_id": ROOM}, THEM, True, "rejected: `signatures` is missing"),
]


@pytest.mark.parametrize(("pdu", "peer", "are_taken", "verdict"), UNSIGNED_PDUS)
def test_unsigned_pdu_of_2014(
    pdu: Json,
    peer: Peer,
    are_taken: bool,  # noqa: FBT001 - a row
    verdict: str,
) -> None:
    """It rests on its transaction's origin, and is no event of a room."""
    inbox = Inbox(unsigned_2014=are_taken)
    reply = inbox.take("1", pdu, message("11"), peer=peer)
    unsigned, later = inbox.pdus
    assert str(unsigned["verdict"]).startswith(verdict)
    assert unsigned["event"] == pdu
    assert (later["verdict"], later["room_version"]) == ("accepted", "11")
    is_event = bool({"event_id", "room_id"} & pdu.keys())
    assert (unsigned["event_id"] is not None) == is_event
    assert len(as_object(reply["pdus"], "`pdus`")) == 1 + is_event


@pytest.mark.parametrize("version", [None, "1", "2"])
def test_event_of_2014_that_is_signed(version: str | None) -> None:
    """What Synapse 0.5 signed is accepted, but not in rooms of later versions."""
    pdu = message(
        "1",
        type="m.room.history_visibility",
        state_key="",
        content={"history_visibility": "shared"},
        membership="join",
        signatures=None,
    )
    signed = hash_and_sign(pdu, EVENTS_OF_2014, THEM.server_name, [THEM.key])
    inbox = Inbox()
    creates = [] if version is None else [create(version)]
    inbox.take("1", *creates, signed)
    last = inbox.pdus[-1]
    if version == "2":
        assert str(last["verdict"]).startswith("rejected: signature does not verify")
    else:
        source = "event format" if version is None else "create event"
        assert (last["verdict"], last["room_version"]) == ("accepted", "1")
        assert last["room_version_source"] == source
