"""Jobs in groups: what one transaction is made of, and what fails alone.

Rules of the room: a job that fails undoes itself alone. Jobs that another writer was in
the way of are run again, from their beginning. Nothing here knows of threads.
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.storage.connection import Conflict, Connection
from homeserver.storage.database import Job, StoreUnavailable

_T = TypeVar("_T")

# How often a group that others are in the way of is tried; then each job alone.
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Call:
    """A job, and where its result goes."""

    job: Job[Any]
    result: Deferred[Any]


Outcome = tuple[Call, Any]
"""A call and its result, or a `Failure`."""


Measure = Callable[[int], AbstractContextManager[object]]
"""Surrounds the work on a group of so many jobs, in the thread that does it."""


def measured_group(
    measure: Measure, connection: Connection, group: list[Call]
) -> list[Outcome]:
    """As `write_group`, measured."""
    with measure(len(group)):
        return write_group(connection, group)


def write_group(connection: Connection, group: list[Call]) -> list[Outcome]:
    """Run jobs, and commit them together; each alone if others are in the way."""
    try:
        return _insist(partial(_commit, connection, group))
    except StoreUnavailable:
        if len(group) > 1:
            return [
                outcome for call in group for outcome in write_group(connection, [call])
            ]
        return [(call, Failure()) for call in group]


def _commit(connection: Connection, group: list[Call]) -> list[Outcome]:
    """Run jobs in one transaction; raises `Conflict`, and then nothing is written."""
    outcomes = []
    try:
        connection.begin()
        cursor = connection.cursor()
        for call in group:
            cursor.execute("SAVEPOINT job")
            outcome = _run(connection, call)
            if isinstance(outcome[1], Failure):
                if not connection.is_in_transaction:
                    # SQLite itself undoes all where the disk is full or fails; and
                    # with a connection, all that was done over it is lost.
                    return fail(group, outcome[1])
                cursor.execute("ROLLBACK TO job")
            cursor.execute("RELEASE job")
            outcomes.append(outcome)
        connection.commit()
    except Conflict:
        connection.rollback()
        raise
    except Exception:  # noqa: BLE001 - it is raised again where the jobs were called
        failure = Failure()
        connection.rollback()
        return fail(group, failure)
    return outcomes


def read_group(connection: Connection, group: list[Call]) -> list[Outcome]:
    """Run jobs one by one; nothing of what they read is held."""
    return [_look(connection, call) for call in group]


def fail(group: list[Call], failure: Failure) -> list[Outcome]:
    """All of a group failed for the same reason."""
    return [(call, failure) for call in group]


def _look(connection: Connection, call: Call) -> Outcome:
    try:
        return _insist(partial(_run, connection, call))
    except StoreUnavailable:
        return call, Failure()


def _insist(run: Callable[[], _T]) -> _T:
    """Run what others may be in the way of; raises `StoreUnavailable` if they stay."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(Conflict):
            return run()
    try:
        return run()
    except Conflict as conflict:
        raise StoreUnavailable(f"others are in the way: {conflict}") from None


def _run(connection: Connection, call: Call) -> Outcome:
    try:
        return call, call.job(connection.cursor())
    except Conflict:
        raise
    except Exception:  # noqa: BLE001 - it is raised again where the job was called
        return call, Failure()


def try_write(connection: Connection) -> None:
    """Write something that changes nothing; raises `StoreUnavailable`, `Conflict`."""
    try:
        connection.begin()
        connection.record_version(connection.load_version())
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def try_read(connection: Connection) -> None:
    """Read something; raises as `try_write`."""
    connection.cursor().execute("SELECT 1 FROM last_received").fetchall()
