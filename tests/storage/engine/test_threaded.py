"""Databases with threads: what is committed together, and what fails alone."""

import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event, current_thread

import psycopg
import pytest
from twisted.internet.defer import gatherResults

from homeserver.storage.engine.connection import Conflict
from homeserver.storage.engine.interface import Cursor, Job, StoreUnavailable
from homeserver.storage.engine.thread import MAX_GROUP
from tests.support.eventually import HANGING_SECONDS
from tests.support.postgres_server import Server
from tests.support.threaded_databases import (
    Store,
    insert,
    insert_and_fail,
    rooms,
)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store of each engine is, with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:{tmp_path / 'homeserver.db'}"
    server: Server = request.getfixturevalue("postgres")
    return server.new_store()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """A database that is closed in the end."""
    store = Store(url)
    yield store
    store.close()


def seen_by_others(store: Store) -> list[str]:
    """The rows that another process sees."""
    other = store.other()
    try:
        return rooms(other.cursor())
    finally:
        other.close()


def test_a_write_that_is_done_is_committed(store: Store) -> None:
    """When the Deferred of a write fires, other processes see what was written."""
    done = store.begin_write(insert("a"))
    seen = store.wait(done.addCallback(lambda _: seen_by_others(store)))
    assert seen == ["a"]


def telling(store: Store, number: int) -> Job[int]:
    """A job that says when it runs."""

    def job(cursor: Cursor) -> int:
        store.events.append(str(number))
        return number

    return job


def test_writes_that_wait_are_one_commit(store: Store) -> None:
    """Jobs that wait when the writer is free are committed together, in order."""
    done = [store.begin_write(telling(store, number)) for number in range(10)]
    assert store.wait(gatherResults(done)) == list(range(10))
    assert store.events == [*map(str, range(10)), "COMMIT"]


def test_a_commit_is_bounded(store: Store) -> None:
    """No more than so many jobs are committed together."""
    numbers = range(MAX_GROUP + 1)
    done = [store.begin_write(telling(store, number)) for number in numbers]
    assert store.wait(gatherResults(done)) == list(numbers)
    assert store.events[MAX_GROUP:] == ["COMMIT", str(MAX_GROUP), "COMMIT"]


def test_a_later_write_is_another_commit(store: Store) -> None:
    """Who waits for a write before the next one gets a commit for each."""
    store.write(insert("a"))
    store.write(insert("b"))
    assert store.events == ["COMMIT", "COMMIT"]


def test_a_job_that_fails_undoes_itself_alone(store: Store) -> None:
    """What a job wrote before it failed is undone; the others are committed."""
    jobs = [insert("a"), insert_and_fail("b"), insert("c")]
    first, failing, last = [store.begin_write(job) for job in jobs]
    assert store.wait(first) == "a"
    assert store.wait(last) == "c"
    with pytest.raises(KeyError, match="b"):
        store.wait(failing)
    assert store.read(rooms) == ["a", "c"]


# (statement, its parameters, what is raised: of SQLite, of PostgreSQL)
MISTAKES: list[tuple[str, tuple[object, ...], tuple[type[Exception], ...]]] = [
    (
        "INSERT INTO rooms VALUES ('us', 'a', '1')",
        (),
        (sqlite3.IntegrityError, psycopg.IntegrityError),
    ),
    (
        "INSERT INTO rooms VALUES ('us', ?, NULL)",
        ("b",),
        (sqlite3.IntegrityError, psycopg.IntegrityError),
    ),
    (
        "INSERT INTO rooms VALUES ('us', ?, '1')",
        (),
        (sqlite3.ProgrammingError, psycopg.ProgrammingError),
    ),
    (
        "INSERT INTO last_received VALUES (?)",
        (2**80,),
        (OverflowError, psycopg.DataError),
    ),
    (
        "SELECT 1 FROM rooms WHERE room_id = ?",
        ("\ud800",),
        (UnicodeEncodeError,),
    ),
    (
        "INSERT INTO received_pdus VALUES ('us', 1, 0, '', '', '', '', '', '', 0)",
        (),
        (sqlite3.IntegrityError, psycopg.IntegrityError),
    ),
]


@pytest.mark.parametrize(("statement", "parameters", "errors"), MISTAKES)
def test_a_mistake_is_not_the_store_s_fault(
    store: Store,
    statement: str,
    parameters: tuple[object, ...],
    errors: tuple[type[Exception], ...],
) -> None:
    """A job that cannot be done gets that error, and undoes itself alone."""

    def job(cursor: Cursor) -> str:
        insert("c")(cursor)
        cursor.execute(statement, parameters)
        return "done"

    jobs = [insert("a"), job, insert("d")]
    first, failing, last = [store.begin_write(job) for job in jobs]
    assert (store.wait(first), store.wait(last)) == ("a", "d")
    with pytest.raises(errors):
        store.wait(failing)
    assert store.database.problem is None
    assert store.read(rooms) == ["a", "d"]


def test_a_read_that_fails(store: Store) -> None:
    """A read gets the error of its own job, and no other read gets it."""

    def fail(cursor: Cursor) -> None:
        raise KeyError("b")

    failing = store.begin(store.database.read(fail))
    other = store.begin(store.database.read(rooms))
    with pytest.raises(KeyError, match="b"):
        store.wait(failing)
    assert store.database.problem is None
    assert store.wait(other) == []


def test_a_read_sees_what_is_committed(store: Store) -> None:
    """A read does not wait for a write that is under way, and sees nothing of it."""
    is_written, may_end = Event(), Event()

    def job(cursor: Cursor) -> None:
        insert("a")(cursor)
        is_written.set()
        assert may_end.wait(HANGING_SECONDS)

    writing = store.begin_write(job)
    assert store.read(lambda _: is_written.wait(HANGING_SECONDS))
    assert store.read(rooms) == []
    may_end.set()
    store.wait(writing)
    assert store.read(rooms) == ["a"]


def test_jobs_run_in_threads(store: Store) -> None:
    """No job runs in the thread that called, and reads do not run with writes."""
    writer = store.write(lambda _: current_thread())
    reader = store.read(lambda _: current_thread())
    assert len({writer, reader, current_thread()}) == 3


def test_who_gave_up_is_not_told(store: Store) -> None:
    """A write whose caller was cancelled meanwhile is done, and so are the others."""
    cancelled = store.begin_write(insert("a"))
    cancelled.addErrback(lambda _: None)
    other = store.begin_write(insert("b"))
    cancelled.cancel()
    assert store.wait(other) == "b"
    assert store.read(rooms) == ["a", "b"]


class InTheWay:
    """Jobs that others are in the way of, so many times."""

    def __init__(self, store: Store, times: int) -> None:
        self._store = store
        self._left = times

    def job(self, cursor: Cursor) -> str:
        """Write a row, unless others are in the way."""
        self._store.events.append("tried")
        insert("in the way")(cursor)
        if self._left:
            self._left -= 1
            raise Conflict("deadlock detected")
        return "done"


def test_who_was_in_the_way_may_be_gone(store: Store) -> None:
    """A group that others are in the way of is undone, and run again from the start."""
    first = store.begin_write(insert("a"))
    crossed = store.begin_write(InTheWay(store, 2).job)
    assert store.wait(gatherResults([first, crossed])) == ["a", "done"]
    assert store.read(rooms) == ["a", "in the way"]
    assert store.events == ["tried", "tried", "tried", "COMMIT"]


def test_who_is_always_in_the_way(store: Store) -> None:
    """Where others stay in the way of one job, the rest of the group is done alone."""
    first, crossed, last = [
        store.begin_write(job)
        for job in (insert("a"), InTheWay(store, 1000).job, insert("b"))
    ]
    assert store.wait(gatherResults([first, last])) == ["a", "b"]
    with pytest.raises(StoreUnavailable, match="deadlock detected"):
        store.wait(crossed)
    assert store.read(rooms) == ["a", "b"]
    assert store.events.count("COMMIT") == 2


def test_a_read_that_others_are_in_the_way_of(store: Store) -> None:
    """It is run again; who stays in the way makes the store unavailable to it."""

    def look(left: list[int], cursor: Cursor) -> str:
        if left:
            left.pop()
            raise Conflict("recovery")
        return "seen"

    assert store.read(partial(look, [1, 2])) == "seen"
    with pytest.raises(StoreUnavailable, match="recovery"):
        store.read(partial(look, [1] * 1000))


def test_close_finishes_what_was_begun(store: Store, url: str) -> None:
    """What was asked for before the store closes is done, and told."""
    other = Store(url)
    written = [other.begin_write(insert(name)) for name in "abc"]
    seen = other.begin(other.database.read(lambda _: "seen"))
    other.close()
    assert other.wait(gatherResults(written)) == ["a", "b", "c"]
    assert other.wait(seen) == "seen"
    assert seen_by_others(store) == ["a", "b", "c"]


def test_close_finishes_more_than_one_group(store: Store, url: str) -> None:
    """That is so for more than fits into one commit, too."""
    other = Store(url)
    names = [f"{number:04}" for number in range(MAX_GROUP * 2)]
    for name in names:
        other.begin_write(insert(name))
    other.close()
    assert seen_by_others(store) == names


def test_close_ends_the_threads(url: str) -> None:
    """A store that is closed has no threads."""
    store = Store(url)
    threads = [
        store.write(lambda _: current_thread()),
        store.read(lambda _: current_thread()),
    ]
    store.close()
    assert not any(thread.is_alive() for thread in threads)
