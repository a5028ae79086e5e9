"""The verdict on each PDU of a transaction.

A PDU is accepted, redacted or rejected by itself; the record and the reply say so.
"""

import pytest

from homeserver.protocol.canonical_json import Json, as_object
from homeserver.protocol.events.event import event_id, redact
from homeserver.protocol.events.room_versions import ROOM_VERSIONS
from tests.support.inbox import Inbox
from tests.support.pdu_cases import NAMELESS, VERDICTS
from tests.support.pdus import message
from tests.support.signed_requests import OTHERS, THEM, KnownKeys, SlowKeys


@pytest.mark.parametrize(
    ("pdu", "verdict", "version"),
    [row[1:] for row in VERDICTS],
    ids=[row[0] for row in VERDICTS],
)
def test_verdict(pdu: Json, verdict: str, version: str | None) -> None:
    """A PDU is accepted, redacted or rejected, and is recorded and replied so."""
    inbox = Inbox()
    reply = as_object(inbox.take("1", pdu)["pdus"], "`pdus`")
    [recorded] = inbox.pdus
    given = str(recorded["verdict"])
    assert given.startswith(verdict)
    assert given == verdict or verdict != "accepted"
    assert recorded["room_version"] == version
    assert (recorded["room_version_source"] is None) == (version is None)
    own_id = event_id(pdu, ROOM_VERSIONS[version or "11"])
    assert recorded["event_id"] == own_id
    assert reply == {own_id: {"error": given} if "rejected" in given else {}}
    if verdict.startswith("redacted"):
        assert recorded["event"] == redact(pdu, ROOM_VERSIONS[str(version)])
    else:
        assert recorded["event"] == pdu


@pytest.mark.parametrize(
    ("pdu", "verdict", "version"),
    [row[1:] for row in NAMELESS],
    ids=[row[0] for row in NAMELESS],
)
def test_pdu_without_an_event_id(pdu: Json, verdict: str, version: str | None) -> None:
    """A PDU of which no event ID can be told is recorded, but not replied."""
    inbox = Inbox()
    assert inbox.take("1", pdu) == {"pdus": {}}
    [recorded] = inbox.pdus
    assert str(recorded["verdict"]).startswith(verdict)
    assert (recorded["event_id"], recorded["room_version"]) == (None, version)
    assert recorded["event"] == pdu


def test_one_bad_pdu_is_no_other_ones_error() -> None:
    """Every PDU is judged by itself."""
    inbox = Inbox()
    inbox.take("1", {}, message(), {"type": 5, "room_id": []}, message(depth=9))
    verdicts = [str(pdu["verdict"]).partition(":")[0] for pdu in inbox.pdus]
    assert verdicts == ["rejected", "accepted", "rejected", "accepted"]


def test_keys_are_of_the_time_of_the_event() -> None:
    """A key is asked for with the time and the room version of its event."""
    keyring = KnownKeys(THEM)
    Inbox(keyring).take("1", message(origin_server_ts=5), message("2"))
    assert set(keyring.asked) == {
        (THEM.server_name, 5, "11"),
        (THEM.server_name, 1_700_000_000_000, "2"),
    }


def test_keys_that_come_too_late() -> None:
    """Who does not answer for its keys in time has its events rejected, alone."""
    keys = SlowKeys(THEM, OTHERS)
    inbox = Inbox(keys)
    events = [message(), message(peer=OTHERS), message(peer=OTHERS)]
    begun = inbox.begin("1", {"pdus": events})
    keys.waiting[0].callback(None)
    inbox.clock.advance(20)
    assert begun.called
    good, *late = [str(pdu["verdict"]) for pdu in inbox.pdus]
    assert good == "accepted"
    assert len(late) == 2
    for verdict in late:
        assert "timed out fetching the keys of others.example" in verdict
