"""The leases of a process that serves several of the names in a store, or not all."""

import pytest

from homeserver.protocol.canonical_json import as_list, parse_object
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.transactions import MAX_EDUS, MAX_PDUS
from homeserver.storage.engine.immediate import ImmediateDatabase
from homeserver.storage.engine.interface import Cursor
from homeserver.storage.outbox import due
from homeserver.storage.outbox.batching import Acknowledged, PendingTransaction
from homeserver.storage.outbox.due import Quota
from homeserver.storage.outbox.leases import DestinationLeases
from homeserver.storage.outbox.queue import OutboundQueue
from tests.support.coroutines import result_of
from tests.support.endpoint_store import MAX_RETRY, A, B, Endpoint, StoreTime
from tests.support.memory_database import MemoryDatabase
from tests.support.our_names import OTHER_NAME, OUR_NAME
from tests.support.queue_summaries import queue_summary


class Process:
    """A process that serves some names."""

    def __init__(
        self, database: ImmediateDatabase, names: set[ServerName], time: StoreTime
    ) -> None:
        """`names` may change."""
        self._database = database
        self._time = time
        self.leases = DestinationLeases(
            database,
            names.__contains__,
            self._clock,
            "a process",
            MAX_RETRY,
            is_shared=False,
        )

    def _clock(self, _: object) -> int:
        return self._time.now_ts

    def add(self, server_name: ServerName, *destinations: ServerName) -> None:
        """Queue an entry of one of our names for each destination."""
        queue = OutboundQueue(self._database, server_name, self._clock)
        for destination in destinations:
            result_of(queue.add(destination, [{}], [], is_ephemeral=False))

    def lease(self, at_most: int = 10) -> list[PendingTransaction]:
        """Lease what is due."""
        quota = Quota(at_most, at_most)
        return list(result_of(self.leases.lease(quota, ())).transactions)


def many(number: int) -> list[ServerName]:
    """Names of servers."""
    return [ServerName.parse(f"n{each}.example") for each in range(number)]


def test_one_look_finds_the_queues_of_all_names(
    database: ImmediateDatabase, time: StoreTime
) -> None:
    """Each queue is leased for its name, whose origin its transaction has."""
    process = Process(database, {OUR_NAME, OTHER_NAME}, time)
    process.add(OUR_NAME, A, B)
    process.add(OTHER_NAME, A)
    leased = process.lease()
    queues = {(OUR_NAME, A), (OUR_NAME, B), (OTHER_NAME, A)}
    assert {pending.queue for pending in leased} == queues
    for pending in leased:
        origin = parse_object(pending.body)["origin"]
        assert origin == pending.queue.server_name.name


def test_a_lease_of_one_name_leaves_the_other(
    database: ImmediateDatabase, time: StoreTime
) -> None:
    """Two names that send to one destination have a lease and a back-off each."""
    process = Process(database, {OUR_NAME, OTHER_NAME}, time)
    process.add(OUR_NAME, A)
    [first] = process.lease()
    process.add(OTHER_NAME, A)
    [second] = process.lease()
    assert second.queue == (OTHER_NAME, A)
    pause = process.leases.record_failure(first, "no", lambda _: 9.0, 1.0)
    assert result_of(pause) == 9.0
    assert result_of(process.leases.renew([first.queue, second.queue])) == [first.queue]
    result_of(process.leases.release(second))
    [again] = process.lease()
    assert again.body == second.body


def test_transactions_have_entries_of_one_name(
    database: ImmediateDatabase, time: StoreTime
) -> None:
    """What another name has queued before is neither in a transaction nor counted."""
    process = Process(database, {OUR_NAME, OTHER_NAME}, time)
    for _ in range(2 * (MAX_PDUS + MAX_EDUS)):
        process.add(OTHER_NAME, A)
    process.add(OUR_NAME, A)
    process.add(OTHER_NAME, A)
    process.add(OUR_NAME, A)
    leased = {each.queue.server_name: each for each in process.lease()}
    entries = {name: pending.entries for name, pending in leased.items()}
    assert entries == {OUR_NAME: 2, OTHER_NAME: MAX_PDUS}
    pdus = as_list(parse_object(leased[OUR_NAME].body)["pdus"], "`pdus`")
    assert len(pdus) == 2


def test_stale_entries_of_one_name(
    database: ImmediateDatabase, time: StoreTime
) -> None:
    """What is stale in a queue is dropped from it, and from no other name's."""
    own = Endpoint(database, time)
    other = Endpoint(database, time, server_name=OTHER_NAME)
    for endpoint in (own, other):
        endpoint.add_entry(A, [], [{}], is_ephemeral=True)
    time.advance(3600)
    assert own.lease() == []
    mine, others = own.summary(A), other.summary(A)
    assert (mine["queued"], mine["dropped"]) == (0, 1)
    assert (others["queued"], others["dropped"]) == (1, 0)


def test_damaged_queue_of_one_name(
    database: ImmediateDatabase, time: StoreTime
) -> None:
    """A queue that is damaged in the store fails for its own name alone."""
    own = Endpoint(database, time)
    other = Endpoint(database, time, server_name=OTHER_NAME)
    for endpoint in (own, other):
        endpoint.add(A, 1)
    own.rows(
        f"UPDATE outbound_entries SET pdus = '[{{' WHERE server_name = '{OUR_NAME}'"
        " RETURNING id"
    )
    assert own.lease() == []
    assert (own.summary(A)["failures"], other.summary(A)["failures"]) == (1, 0)
    assert len(other.lease()) == 1


def test_form_of_the_path(database: ImmediateDatabase, time: StoreTime) -> None:
    """Each name remembers the form of the path that a destination knows."""
    process = Process(database, {OUR_NAME, OTHER_NAME}, time)
    process.add(OUR_NAME, A)
    process.add(OTHER_NAME, A)

    def remember(cursor: Cursor) -> None:
        cursor.execute(
            "UPDATE destinations SET slash = 1 WHERE server_name = ?",
            (OTHER_NAME.name,),
        )

    result_of(database.write(remember))
    for _ in range(2):  # when it is built, and when it is sent again
        leased = process.lease()
        slashes = {pending.queue.server_name: pending.slash for pending in leased}
        assert slashes == {OUR_NAME: False, OTHER_NAME: True}
        for pending in leased:
            result_of(process.leases.release(pending))


def test_outcome_of_one_name(database: ImmediateDatabase, time: StoreTime) -> None:
    """An outcome is that of one queue, though one process has leased both."""
    process = Process(database, {OUR_NAME, OTHER_NAME}, time)
    process.add(OUR_NAME, A)
    process.add(OTHER_NAME, A)
    first, second = process.lease()
    result_of(process.leases.record_failure(first, "no", lambda _: 0.0, 1.0))
    failed, leased = (
        result_of(queue_summary(database, *each.queue)) for each in (first, second)
    )
    assert failed is not None
    assert leased is not None
    assert (failed.failures, leased.failures) == (1, 0)
    [again] = process.lease()
    result_of(process.leases.record_delivery(second, Acknowledged({}, {})))
    assert result_of(process.leases.renew([again.queue])) == []
    failed = result_of(queue_summary(database, *again.queue))
    assert failed is not None
    assert (failed.queued, failed.failures) == (1, 1)


def test_foreign_queues_are_left(database: ImmediateDatabase, time: StoreTime) -> None:
    """Due queues of names that another process serves neither go nor hinder ours."""
    process = Process(database, {OUR_NAME}, time)
    for name in many(50):
        process.add(name, A, B)
    time.advance(1)
    process.add(OUR_NAME, A, B)
    leased = process.lease(1)
    assert [pending.queue for pending in leased] == [(OUR_NAME, A)]
    assert {queue.server_name for queue in result_of(process.leases.pending())} == {
        OUR_NAME
    }


def test_foreign_queues_wait_for_no_slot(
    database: ImmediateDatabase, time: StoreTime
) -> None:
    """A turn does not end for a due queue that this process never sends."""
    own = Endpoint(database, time)
    foreign = Endpoint(database, time, server_name=OTHER_NAME)
    own.add(A, 1)
    foreign.add(B, 1)
    [pending] = own.lease()
    own.add(A, 2)
    assert own.go_on(pending) is not None


def test_a_name_comes_and_goes(database: ImmediateDatabase, time: StoreTime) -> None:
    """The queue of a name stays while it is not served, and goes on when it is."""
    names = {OUR_NAME}
    process = Process(database, names, time)
    process.add(OTHER_NAME, A)
    assert process.lease() == []
    names.add(OTHER_NAME)
    [pending] = process.lease()
    result_of(process.leases.release(pending))
    names.remove(OTHER_NAME)
    assert process.lease() == []
    names.add(OTHER_NAME)
    [again] = process.lease()
    assert again.body == pending.body


def test_more_foreign_names_than_fit(
    database: ImmediateDatabase, time: StoreTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look ends also where more names are foreign than a statement may list."""
    monkeypatch.setattr(due, "_MAX_FOREIGN", 3)
    process = Process(database, {OUR_NAME}, time)
    for name in many(5):
        process.add(name, A)
    process.add(OUR_NAME, A)
    assert [pending.queue for pending in process.lease()] == [(OUR_NAME, A)]


def test_a_statement_lists_so_many_foreign_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Databases bound the parameters of a statement; what is beyond them is left."""
    monkeypatch.setattr(due, "_MAX_FOREIGN", 3)
    served = due.ServedNames(lambda _: False)
    for name in many(4):
        assert not served.is_full
        served.serves(name.name)
    assert served.is_full
    names = tuple(name.name for name in many(3))
    assert served.condition() == (" AND server_name NOT IN (?, ?, ?)", names)


@pytest.mark.parametrize("idle", [0, 1000])
def test_idle_names_cost_no_statement(time: StoreTime, idle: int) -> None:
    """A look takes the same statements, however many names and queues are idle."""
    database = MemoryDatabase()
    names = {OUR_NAME, *many(idle)}
    process = Process(database, names, time)
    rows = [(name.name, A.name) for name in names]
    database.connection.executemany(
        "INSERT INTO destinations (server_name, destination) VALUES (?, ?)", rows
    )
    statements: list[str] = []
    database.connection.set_trace_callback(statements.append)
    assert process.lease() == []
    assert len(statements) == 4  # BEGIN, what is due, when there is more, COMMIT
    for statement in statements[1:3]:
        plan = database.connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        steps = [step for *_, step in plan if "destinations" in step]
        assert steps
        assert all("INDEX destinations_due" in step for step in steps)


def test_release_of_one_name(database: ImmediateDatabase, time: StoreTime) -> None:
    """A queue that is released leaves the lease of the other name."""
    process = Process(database, {OUR_NAME, OTHER_NAME}, time)
    process.add(OUR_NAME, A)
    process.add(OTHER_NAME, A)
    first, second = process.lease()
    result_of(process.leases.release(first))
    assert result_of(process.leases.renew([second.queue])) == []
    assert [again.queue for again in process.lease()] == [first.queue]
