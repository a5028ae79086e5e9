"""Jobs in groups: what one transaction is made of, and what fails alone.

Rules of the room: a job that fails undoes itself alone. A group is undone as a whole
and its jobs are run again, from their beginning, each alone: where one of them fails,
and where another writer stays in the way. Nothing here knows of threads.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.storage.engine.connection import Conflict, Connection
from homeserver.storage.engine.interface import Job, StoreUnavailable

_T = TypeVar("_T")

# How often a group that others are in the way of is tried; then each job alone.
_ATTEMPTS = 3


class Call(Struct, frozen=True):
    """A job, and where its result goes."""

    job: Job[Any]
    result: Deferred[Any]


Outcome = tuple[Call, Any]
"""A call and its result, or a `Failure`."""


def write_group(connection: Connection, group: list[Call]) -> list[Outcome]:
    """Run jobs, and commit them together; each alone if one of them cannot be done."""
    try:
        return _insist(partial(commit, connection, group))
    except StoreUnavailable:
        return fail(group, Failure())
    except Exception as problem:  # noqa: BLE001 - it goes to who called
        if len(group) > 1:
            return [
                outcome for call in group for outcome in write_group(connection, [call])
            ]
        return fail(group, _failure(problem))


def commit(
    connection: Connection,
    group: list[Call],
    is_over: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Run jobs in one transaction: all, or the first ones until `is_over`.

    If anything is raised, by a job or by the engine, nothing was written.
    """
    outcomes: list[Outcome] = []
    try:
        connection.begin()
        cursor = connection.cursor()
        for call in group:
            outcomes.append((call, call.job(cursor)))
            if is_over():
                break
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    return outcomes


def read_group(connection: Connection, group: list[Call]) -> list[Outcome]:
    """Run jobs one by one; nothing of what they read is held."""
    return [_look(connection, call) for call in group]


def fail(group: list[Call], failure: Failure) -> list[Outcome]:
    """All of a group failed for the same reason."""
    return [(call, failure) for call in group]


def _look(connection: Connection, call: Call) -> Outcome:
    try:
        return call, _insist(lambda: call.job(connection.cursor()))
    except Exception as problem:  # noqa: BLE001 - it goes to who called
        return call, _failure(problem)


def _insist(run: Callable[[], _T]) -> _T:
    """Run what others may be in the way of; raises `Conflict` if they stay."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(Conflict):
            return run()
    return run()


def _failure(problem: Exception) -> Failure:
    """What is raised where a job was called that raised `problem`."""
    if isinstance(problem, Conflict):
        return Failure(StoreUnavailable(f"others are in the way: {problem}"))
    return Failure(problem)


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
