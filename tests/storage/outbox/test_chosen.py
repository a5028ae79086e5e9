"""Transactions with a chosen ID, and those that are sent once more."""

import pytest

from homeserver.storage.outbox.batching import PendingTransaction
from homeserver.storage.outbox.chosen import CannotChoose
from homeserver.storage.outbox.queue_id import QueueId
from tests.support.coroutines import result_of
from tests.support.endpoint_store import A, B, Endpoint, numbered, numbers


def add(own: Endpoint, txn_id: str) -> int:
    """Queue an entry with a transaction ID."""
    pdus = [numbered(7)]
    return result_of(
        own.queue.add(A, pdus, [], is_ephemeral=False, txn_id=txn_id),
    )


def repeat(own: Endpoint, entry: int, body: bytes | None = None) -> bool:
    """Have the transaction of an entry sent again; `body` is what is kept of it."""

    def kept(queue: QueueId, _: str) -> bytes | None:
        return body if queue == own.queue.of(A) else None

    return result_of(own.queue.repeat(A, entry, kept))


def is_empty(own: Endpoint) -> bool:
    """Whether nothing is queued, and no failure is remembered."""
    return own.find_summary(A) is None


def reject(own: Endpoint, pending: PendingTransaction) -> None:
    """Record that its destination never takes it."""
    result_of(own.leases.record_rejection(pending, "no", None))


def test_an_id_is_chosen(own: Endpoint) -> None:
    """The transaction has the ID and the entry; what follows is another one."""
    entry = add(own, "mine")
    later = own.add(A, 8)
    assert own.state(A, entry)["txn_id"] == "mine"
    [pending] = own.lease()
    assert (pending.txn_id, numbers(pending)) == ("mine", [7])
    following = own.go_on(pending)
    assert following is not None
    assert numbers(following) == [8]
    assert own.state(A, entry)["state"] == "delivered"
    assert own.state(A, later)["state"] == "sending"


@pytest.mark.parametrize("is_pending", [False, True])
def test_an_id_needs_an_empty_queue(own: Endpoint, *, is_pending: bool) -> None:
    """Nothing is queued where something else is, built or not."""
    own.add(A, 1)
    if is_pending:
        own.lease()
    with pytest.raises(CannotChoose, match=r"something else for a\.example"):
        add(own, "mine")
    assert own.summary(A)["queued"] == 1
    own.add(B, 1)  # the store goes on


def test_an_id_is_used_once(own: Endpoint) -> None:
    """The ID of an earlier transaction is refused, and nothing is queued."""
    add(own, "mine")
    [pending] = own.lease()
    own.deliver(pending)
    with pytest.raises(CannotChoose, match="`again` sends it once more"):
        add(own, "mine")
    assert is_empty(own)
    assert own.lease() == []


def test_a_delivered_one_is_sent_again(own: Endpoint) -> None:
    """It has the same ID and bytes, before what waits, and an outcome of its own."""
    first, second = own.add(A, 1), own.add(A, 2)
    [pending] = own.lease()
    own.deliver(pending, {"pdus": {}})
    third = own.add(A, 3)
    assert repeat(own, second, pending.body)
    assert own.summary(A)["queued"] == 3
    state = own.state(A, first)
    assert (state["state"], state["reply"], state["connection"]) == (
        "queued",
        None,
        None,
    )
    [again] = own.lease()
    assert (again.txn_id, again.body) == (pending.txn_id, pending.body)
    following = own.go_on(again)
    assert own.state(A, first)["attempts"] == 2
    assert own.state(A, first)["state"] == "delivered"
    assert following is not None
    assert numbers(following) == [3]
    own.deliver(following)
    assert own.state(A, third)["state"] == "delivered"
    assert is_empty(own)


def test_a_rejected_one_is_sent_again(own: Endpoint) -> None:
    """Its bytes are in the store; it does not count as rejected meanwhile."""
    entry = own.add(A, 1)
    [pending] = own.lease()
    reject(own, pending)
    assert own.summary(A)["rejected"] == 1
    assert repeat(own, entry)
    assert own.summary(A)["rejected"] == 0
    [again] = own.lease()
    assert again.body == pending.body
    reject(own, again)
    assert own.summary(A)["rejected"] == 1


def test_what_cannot_be_sent_again(own: Endpoint) -> None:
    """Neither what is unknown, nor what is under way, nor what is not kept."""
    assert not repeat(own, 99)
    entry = own.add(A, 1)
    with pytest.raises(CannotChoose, match="neither delivered nor rejected"):
        repeat(own, entry)
    [pending] = own.lease()
    with pytest.raises(CannotChoose, match="neither delivered nor rejected"):
        repeat(own, entry)
    own.deliver(pending)
    with pytest.raises(CannotChoose, match="not kept any more"):
        repeat(own, entry)
    own.add(A, 2)
    own.lease()
    with pytest.raises(CannotChoose, match=r"something else for a\.example"):
        repeat(own, entry, pending.body)
    dropped = own.add(B, 1)
    result_of(own.queue.drop(B, dropped))
    with pytest.raises(CannotChoose, match="neither delivered nor rejected"):
        result_of(own.queue.repeat(B, dropped, lambda *_: b"{}"))
