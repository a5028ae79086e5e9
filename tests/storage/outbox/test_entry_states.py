"""The state of an entry: queued, sending, delivered or rejected, and why."""

from homeserver.protocol.canonical_json import Json
from tests.support.coroutines import result_of
from tests.support.endpoint_store import NOW, A, B, Endpoint, StoreTime

STATE: Json = {
    "state": "queued",
    "txn_id": None,
    "attempts": 0,
    "next_attempt_ts": None,
    "error": None,
    "reply": None,
    "remarks": [],
    "dropped_ts": None,
    "dropped_by": None,
    "connection": None,
}
"""Of an entry that nothing has happened to."""


def test_state_of_what_waits(own: Endpoint) -> None:
    """An entry that is in no transaction yet is queued."""
    entry = own.add(A, 1)
    assert own.state(A, entry) == STATE | {"id": entry}


def test_state_of_what_is_sent(own: Endpoint) -> None:
    """The entries of the transaction that is in flight are being sent, no others."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    following = own.add(A, 2)
    state = own.state(A, entry)
    assert (state["state"], state["txn_id"]) == ("sending", pending.txn_id)
    assert own.state(A, following)["state"] == "queued"


def test_state_after_failures(own: Endpoint, time: StoreTime) -> None:
    """An entry is queued until delivered, and tells of the last attempt."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    own.fail(pending, lambda _: 1.0, why="first")
    time.advance(1)
    own.lease()
    own.fail(pending, lambda _: 1.0, why="second")
    assert own.state(A, entry) == STATE | {
        "id": entry,
        "txn_id": pending.txn_id,
        "attempts": 2,
        "next_attempt_ts": NOW + 2000,
        "error": "second",
    }


def test_state_after_delivery(own: Endpoint, time: StoreTime) -> None:
    """All entries of a transaction are delivered with it."""
    entries = [own.add(A, 1), own.add(A, 2)]
    [pending] = own.lease()
    own.fail(pending, lambda _: 1.0)
    time.advance(1)
    own.lease()
    reply: Json = {"pdus": {"$a": {"error": "ä"}}}
    own.deliver(pending, reply)
    for entry in entries:
        assert own.state(A, entry) == STATE | {
            "id": entry,
            "state": "delivered",
            "txn_id": pending.txn_id,
            "attempts": 2,
            "reply": reply,
            "connection": {"address": "::1"},
        }


def test_state_after_refusal(own: Endpoint) -> None:
    """An entry that was rejected tells why, and what the answer was."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    own.reject(pending)
    assert own.state(A, entry) == STATE | {
        "id": entry,
        "state": "rejected",
        "txn_id": pending.txn_id,
        "attempts": 1,
        "error": "never",
        "reply": {"error": "never"},
    }


def test_state_is_still_told(own: Endpoint) -> None:
    """What was delivered is so for ever, whatever becomes of what comes later."""
    delivered = own.add(A, 1)
    [pending] = own.lease()
    own.deliver(pending)
    before = own.state(A, delivered)
    waiting = own.add(A, 2)
    [pending] = own.lease()
    own.fail(pending)
    assert own.state(A, delivered) == before
    assert own.state(A, waiting)["state"] == "queued"


def test_a_reply_that_is_none(own: Endpoint) -> None:
    """What was answered with something else than an object is delivered too."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    own.deliver(pending, None)
    state = own.state(A, entry)
    assert (state["state"], state["reply"]) == ("delivered", None)


def test_state_of_another_destination(own: Endpoint) -> None:
    """An ID is an entry of its own destination only."""
    entry = own.add(A, 1)
    assert result_of(own.queue.state(B, entry)) is None
    assert result_of(own.queue.state(A, entry + 1)) is None
