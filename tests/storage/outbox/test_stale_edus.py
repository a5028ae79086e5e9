"""EDUs that mean nothing after an hour are dropped, and told of."""

import pytest

from homeserver.protocol.canonical_json import Json, as_list, parse_object
from tests.support.endpoint_store import A, Endpoint, StoreTime, numbered

HOUR = 3600.0


def add_ephemeral(own: Endpoint, count: int) -> int:
    """Queue EDUs that mean nothing after a while."""
    edus: list[Json] = [{"edu_type": "m.typing", "content": {}}] * count
    return own.add_entry(A, [], edus, is_ephemeral=True)


def test_stale_edus_are_dropped(own: Endpoint, time: StoreTime) -> None:
    """What was ephemeral is dropped after an hour, told of and counted."""
    blocking = own.add(A, 1)
    [pending] = own.lease()
    stale = [add_ephemeral(own, 2), add_ephemeral(own, 3)]
    kept = own.add_entry(A, [], [numbered(1)])
    time.advance(1)
    fresh = add_ephemeral(own, 1)
    own.fail(pending, lambda _: 0.0)
    time.advance(HOUR - 1)
    assert own.lease() == [pending]
    own.deliver(pending)
    [pending] = own.lease()
    assert len(as_list(parse_object(pending.body)["edus"], "EDUs")) == 2
    assert [own.state(A, each)["state"] for each in stale] == ["dropped"] * 2
    states = [own.state(A, each)["state"] for each in (blocking, kept, fresh)]
    assert states == ["delivered", "sending", "sending"]
    assert (own.summary(A)["queued"], own.summary(A)["dropped"]) == (2, 2)
    own.deliver(pending)
    assert (own.summary(A)["queued"], own.summary(A)["dropped"]) == (0, 2)


def test_nothing_but_stale_edus(own: Endpoint, time: StoreTime) -> None:
    """Where all of a queue is stale, nothing is sent, and nothing is owed."""
    entry = add_ephemeral(own, 1)
    time.advance(HOUR)
    assert own.lease() == []
    assert own.wait() is None
    assert own.state(A, entry)["state"] == "dropped"
    own.add(A, 1)
    assert len(own.lease()) == 1


def test_stale_edus_that_are_damaged(own: Endpoint, time: StoreTime) -> None:
    """A queue that is idle after them has no next attempt, and so no failures."""
    add_ephemeral(own, 1)
    own.rows("UPDATE outbound_entries SET edus = '[{' RETURNING id")
    assert own.lease() == []
    assert own.summary(A)["failures"] == 1
    time.advance(HOUR)
    assert own.lease() == []
    assert (own.summary(A)["dropped"], own.summary(A)["failures"]) == (1, 0)


def test_stale_edus_that_were_tried(own: Endpoint, time: StoreTime) -> None:
    """A transaction that was tried keeps its bytes, whatever they mean by now."""
    entry = add_ephemeral(own, 1)
    [pending] = own.lease()
    own.fail(pending, lambda _: 0.0)
    time.advance(2 * HOUR)
    assert own.lease() == [pending]
    own.deliver(pending)
    assert own.state(A, entry)["state"] == "delivered"


def test_many_stale_edus(
    own: Endpoint, time: StoreTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are dropped some at a time, and then the others go."""
    monkeypatch.setattr("homeserver.storage.outbox.batching._MAX_DROPPED", 50)
    for _ in range(60):
        add_ephemeral(own, 1)
    own.add(A, 1)
    time.advance(HOUR)
    assert own.wait() == 0.001
    assert own.summary(A)["dropped"] == 50
    time.advance(0.001)
    [pending] = own.lease()
    assert parse_object(pending.body)["pdus"] == [numbered(1)]
    assert (own.summary(A)["queued"], own.summary(A)["dropped"]) == (1, 60)
