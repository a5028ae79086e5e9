"""What an operator gives up, and what becomes of what is behind it."""

from collections.abc import Callable

import pytest

from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.outbox import drops
from homeserver.storage.outbox.drops import AlreadyOver, Dropped
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B, Endpoint, StoreTime, numbers
from tests.support.tables import cases


@pytest.fixture
def other(database: ImmediateDatabase, time: StoreTime) -> Endpoint:
    """Another process over the same store."""
    return Endpoint(database, time, "second", is_shared=True)


def drop(own: Endpoint, entry: int, destination: ServerName = A) -> Dropped | None:
    """Give up an entry."""
    return result_of(own.queue.drop(destination, entry))


def states(own: Endpoint, *entries: int) -> list[object]:
    """What has become of entries."""
    return [own.state(A, entry)["state"] for entry in entries]


def test_entry_that_waits(own: Endpoint, time: StoreTime) -> None:
    """An entry in no transaction is dropped alone; what is under way goes on."""
    first = own.add(A, 1)
    [pending] = own.lease()
    second, third = own.add(A, 2), own.add(A, 3)
    assert drop(own, second) == Dropped(1, None)
    assert states(own, first, second, third) == ["sending", "dropped", "queued"]
    assert own.state(A, second)["dropped_ts"] == time.now_ts
    assert own.state(A, second)["dropped_by"] == "peers --drop"
    assert own.summary(A)["queued"] == 2
    assert own.summary(A)["dropped"] == 1
    following = own.go_on(pending)
    assert following is not None
    assert numbers(following) == [3]


def test_transaction(own: Endpoint, time: StoreTime) -> None:
    """A transaction is dropped with all its entries; the next one is due at once."""
    first, second = own.add(A, 1), own.add(A, 2)
    [pending] = own.lease()
    third = own.add(A, 3)
    own.fail(pending, lambda _: 1000.0)
    assert own.lease() == []
    assert drop(own, second) == Dropped(2, pending.txn_id)
    assert states(own, first, second, third) == ["dropped", "dropped", "queued"]
    for entry in (first, second):
        state = own.state(A, entry)
        assert (state["txn_id"], state["attempts"]) == (pending.txn_id, 1)
        assert (state["error"], state["dropped_ts"]) == ("no", time.now_ts)
    assert own.summary(A)["dropped"] == 2
    assert own.summary(A)["failures"] == 0
    assert own.summary(A)["oldest_id"] == third
    [following] = own.lease()
    assert numbers(following) == [3]
    own.deliver(following)
    assert own.summary(A)["queued"] == 0
    assert own.wait() is None


def test_transaction_under_way(own: Endpoint) -> None:
    """Whatever comes of a dropped transaction afterwards is not recorded."""
    first = own.add(A, 1)
    [pending] = own.lease()
    second = own.add(A, 2)
    drop(own, first)
    own.deliver(pending)
    assert own.fail(pending) is None
    own.reject(pending)
    assert states(own, first, second) == ["dropped", "queued"]
    assert (own.summary(A)["queued"], own.summary(A)["failures"]) == (1, 0)
    assert own.summary(A)["rejected"] == 0


def test_body_is_gone(own: Endpoint) -> None:
    """Of what was dropped, nothing is kept but that it was."""
    entries = [own.add(A, 1)]
    own.lease()
    entries.append(own.add(A, 2))
    for entry in entries:
        drop(own, entry)
    assert own.rows("SELECT pdus, edus FROM outbound_entries") == [("", "")] * 2
    [[body]] = own.rows("SELECT body FROM outbound_transactions")
    assert not body


def test_last_one(own: Endpoint) -> None:
    """Where nothing is left, nothing is due; what is queued later goes."""
    for is_cut in (True, False):
        entry = own.add(A, 1)
        if is_cut:
            own.lease()
        drop(own, entry)
        assert own.rows("SELECT due_ts FROM destinations") == [(None,)]
        assert own.lease() == []
        assert own.wait() is None
    own.add(A, 3)
    [pending] = own.lease()
    assert numbers(pending) == [3]


def test_back_off_of_what_waits(own: Endpoint, time: StoreTime) -> None:
    """To drop what waits behind a back-off does not end that."""
    own.add(A, 1)
    [pending] = own.lease()
    own.fail(pending, lambda _: 1000.0)
    drop(own, own.add(A, 2))
    assert own.lease() == []
    assert own.summary(A)["failures"] == 1
    time.advance(1000)
    assert own.lease() == [pending]


def test_what_is_over(own: Endpoint) -> None:
    """What was delivered, rejected or dropped already cannot be dropped."""
    delivered, rejected = own.add(A, 1), own.add(B, 2)
    of_a, of_b = own.lease()
    own.deliver(of_a)
    own.reject(of_b)
    dropped = own.add(A, 3)
    drop(own, dropped)
    for destination, entry, what in [
        (A, delivered, "delivered"),
        (B, rejected, "rejected"),
        (A, dropped, "dropped"),
    ]:
        with pytest.raises(AlreadyOver, match=f"entry {entry} .* was {what}"):
            drop(own, entry, destination)
    assert own.summary(A)["dropped"] == 1
    assert own.state(A, delivered)["dropped_by"] is None


def test_unknown(own: Endpoint) -> None:
    """An ID of nothing, or of another destination, drops nothing."""
    entry = own.add(A, 1)
    assert drop(own, entry + 1) is None
    assert drop(own, entry, B) is None
    assert states(own, entry) == ["queued"]


def test_all(own: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that waits is dropped in small steps, and nothing that comes later."""
    monkeypatch.setattr(drops, "MAX_AT_ONCE", 3)
    monkeypatch.setattr("homeserver.storage.outbox.queue.MAX_AT_ONCE", 3)
    own.add(A, 0)
    [pending] = own.lease()
    entries = [own.add(A, number) for number in range(7)]
    other = own.add(B, 1)
    assert result_of(own.queue.drop_waiting(A)) == 7
    assert result_of(own.queue.drop_waiting(A)) == 0
    assert states(own, *entries) == ["dropped"] * 7
    assert own.state(A, entries[0])["dropped_by"] == "peers --drop-all"
    assert own.summary(A)["queued"] == 1
    assert result_of(own.queue.drop_transaction(A)) == Dropped(1, pending.txn_id)
    assert result_of(own.queue.drop_transaction(A)) == Dropped(0, None)
    assert (own.summary(A)["queued"], own.summary(A)["dropped"]) == (0, 8)
    assert own.state(B, other)["state"] == "queued"


def test_what_comes_later_stays(own: Endpoint, time: StoreTime) -> None:
    """What is queued while all of before is given up is not."""
    entries = [own.add(A, number) for number in range(4)]

    def drop_three(cursor: Cursor) -> int:
        return drops.drop_waiting(cursor, own.queue.of(A), entries[2], time.now_ts)

    assert result_of(own.database.write(drop_three)) == 3
    assert states(own, *entries) == ["dropped"] * 3 + ["queued"]


def test_age(own: Endpoint, time: StoreTime) -> None:
    """What was dropped because it was stale says so."""
    entry = own.add_entry(A, [], [{}], is_ephemeral=True)
    time.advance(3600)
    assert own.lease() == []
    state = own.state(A, entry)
    assert (state["state"], state["dropped_by"]) == ("dropped", "age")
    assert state["dropped_ts"] == time.now_ts


def test_another_process(own: Endpoint, other: Endpoint) -> None:
    """What another process is sending is dropped, and the next one may go from here."""
    first = own.add(A, 1)
    [theirs] = other.lease()
    own.add(A, 2)
    assert drop(own, first) == Dropped(1, theirs.txn_id)
    [ours] = own.lease()
    assert numbers(ours) == [2]
    other.deliver(theirs)
    assert own.state(A, first)["state"] == "dropped"
    own.deliver(ours)
    assert own.summary(A)["queued"] == 0


DROPS: list[tuple[str, Callable[[Endpoint, int], object]]] = [
    ("one", drop),
    ("all", lambda own, _: result_of(own.queue.drop_waiting(A))),
]


@cases("drop_it", DROPS)
def test_damaged_queue(
    own: Endpoint, drop_it: Callable[[Endpoint, int], object]
) -> None:
    """A damaged queue that is dropped has no next attempt, and so no failures."""
    entry = own.add(A, 1)
    own.rows("UPDATE outbound_entries SET pdus = '[{' RETURNING id")
    assert own.lease() == []
    assert own.summary(A)["failures"] == 1
    drop_it(own, entry)
    summary = own.summary(A)
    assert (summary["queued"], summary["failures"]) == (0, 0)
