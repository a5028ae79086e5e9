"""PDUs and EDUs that cannot be read.

A flawed PDU is rejected and recorded as the text that came; a flawed EDU is a problem
of its transaction. The items beside them are processed.
"""

import pytest

from homeserver.protocol.bodies import FlawedItem
from homeserver.protocol.canonical_json import Json, as_object, encode, parse_object
from homeserver.protocol.events.event import event_id
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.inbox import EDU, Inbox
from tests.support.pdus import create, message

BIG = 2**64

# PDUs as they are written in a transaction, beside good ones: what is wrong, the
# verdict, whether there is an event ID, and what is recorded.
FLAWED_PDUS: list[tuple[object, str, bool]] = [
    (5, "the PDU is not a JSON object", False),
    (None, "the PDU is not a JSON object", False),
    ([message()], "the PDU is not a JSON object", False),
    (FlawedItem(message(content={"x": BIG}), "p", "{TEXT}"), "p", True),
    (FlawedItem(message(depth=BIG), "p", "{TEXT}"), "p", True),
    (FlawedItem({"event_id": 5}, "p", "{TEXT}"), "p", False),
    (FlawedItem(message(depth=11), "p", "T" * 65536), "p", True),
    (FlawedItem(message(depth=11), "p", "T" * 65537), "p", False),
    (FlawedItem(create(), "p", "{TEXT}"), "p", True),
    (
        FlawedItem({"pdu_id": "", "context": "", "pdu_type": ""}, "p", "{TEXT}"),
        "p",
        True,
    ),
]


@pytest.mark.parametrize(("pdu", "problem", "has_id"), FLAWED_PDUS)
def test_flawed_pdu(pdu: object, problem: str, has_id: bool) -> None:  # noqa: FBT001
    """It is rejected and recorded as text; the reply has it if it has an ID."""
    inbox = Inbox()
    first, last = message(), message(depth=9)
    content: Json = {"pdus": [first, pdu, last], "edus": [EDU]}
    begun = inbox.begin("1", content)
    assert isinstance(begun.result, bytes)
    reply = as_object(parse_object(begun.result)["pdus"], "`pdus`")
    [good, flawed, other] = inbox.pdus
    assert (good["verdict"], other["verdict"]) == ("accepted", "accepted")
    assert flawed["verdict"] == f"rejected: {problem}"
    assert (flawed["room_version"], flawed["room_version_source"]) == (None, None)
    text = pdu.text if isinstance(pdu, FlawedItem) else encode(pdu).decode()
    assert flawed["event"] == text
    assert len(reply) == 2 + has_id
    if has_id:
        assert isinstance(pdu, FlawedItem)
        version = "12" if pdu.get("type") == "m.room.create" else "11"
        assert flawed["event_id"] == event_id(pdu, ROOM_VERSIONS[version])
        assert reply[str(flawed["event_id"])] == {"error": flawed["verdict"]}
    else:
        assert flawed["event_id"] is None


def test_flawed_edus() -> None:
    """An EDU that cannot be read is a problem of its transaction, and not recorded."""
    inbox = Inbox()
    flawed = FlawedItem({"edu_type": "m.x", "content": {}}, "twice", '{"a":1,"a":2}')
    edus: list[object] = [EDU, 5, {"content": {}}, {"edu_type": "m"}, flawed, EDU]
    inbox.begin("1", {"pdus": [message()], "edus": edus})
    [recorded] = inbox.transactions
    assert recorded["edus"] == [EDU, EDU]
    assert recorded["problems"] == [
        "EDU 1: the EDU is not a JSON object: '5'",
        "EDU 2: `edu_type` of the EDU is missing: '{\"content\":{}}'",
        'EDU 3: `content` of the EDU is missing: \'{"edu_type":"m"}\'',
        'EDU 4: twice: \'{"a":1,"a":2}\'',
    ]
    assert inbox.pdus[0]["verdict"] == "accepted"
