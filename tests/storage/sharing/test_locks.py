"""Rows that several processes want: who waits, for how long, and who gives up."""

from collections.abc import Iterable
from threading import Barrier, Thread

import pytest

from homeserver.storage.engine.interface import Cursor, Job
from homeserver.storage.engine.postgres import connect
from homeserver.storage.migrations.migrate import _scripts, migrate
from tests.support.eventually import HANGING_SECONDS
from tests.support.our_names import OUR_NAME
from tests.support.postgres_server import Server
from tests.support.threaded_databases import Store, insert, rooms


def crossing(names: Iterable[str], begun: Barrier) -> Job[str]:
    """A job that holds a row, waits until somebody holds another, and wants that."""
    first, second = names
    has_met: list[bool] = []

    def job(cursor: Cursor) -> str:
        update = "UPDATE rooms SET room_version = '2' WHERE room_id = ?"
        cursor.execute(update, (first,))
        if not has_met:
            has_met.append(True)
            begun.wait(HANGING_SECONDS)
        cursor.execute(update, (second,))
        return first

    return job


def test_who_waits_for_each_other_both_succeed(store: Store, url: str) -> None:
    """Of two groups that hold what the other wants, one is undone and run again."""
    store.write(insert("a"))
    store.write(insert("b"))
    other, begun = Store(url), Barrier(2)
    here = store.begin_write(crossing("ab", begun))
    there = other.begin_write(crossing("ba", begun))
    other.start()
    assert (store.wait(here), other.wait(there)) == ("a", "b")
    other.close()


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_a_conflict_is_tried_again(store: Store, code: str) -> None:
    """What PostgreSQL gives up in favour of others is run again."""
    left = [1, 2]

    def job(cursor: Cursor) -> str:
        insert("a")(cursor)
        if left:
            left.pop()
            cursor.execute(f"DO 'BEGIN RAISE SQLSTATE ''{code}''; END'")
        return "done"

    assert store.write(job) == "done"
    assert store.read(rooms) == ["a"]


SETTINGS = [
    ("synchronous_commit", "on"),
    ("idle_in_transaction_session_timeout", "10s"),
    ("lock_timeout", "15s"),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_setting(postgres: Server, url: str, name: str, value: str) -> None:
    """A commit is on the disk whatever the server's default, and no wait is endless."""
    with postgres.altered("synchronous_commit", "off"):
        store = Store(url)

    def job(cursor: Cursor) -> object:
        return cursor.execute(f"SHOW {name}").fetchone()[0]

    assert (store.write(job), store.read(job)) == (value, value)
    store.close()


def test_endpoints_that_start_together(url: str) -> None:
    """Of several that find an empty store, one makes the schema; the others wait."""
    problems: list[BaseException] = []
    begun = Barrier(4)

    def start() -> None:
        try:
            connection = connect(url)
            begun.wait(HANGING_SECONDS)
            migrate(connection, OUR_NAME)
            assert connection.load_version() == max(_scripts())
            connection.close()
        except BaseException as problem:  # noqa: BLE001 - shown by the assertion
            problems.append(problem)

    threads = [Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
