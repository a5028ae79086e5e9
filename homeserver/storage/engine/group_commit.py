"""Group commit: many jobs in one transaction, and one sync of the disk for all of them.

A sync takes milliseconds, a job far less. So jobs that arrive during a commit wait, and
run as the next group in one transaction. The jobs of a group share its outcome:

| what happens to the group | what follows |
|---|---|
| the commit succeeds | each job has its own result |
| a conflict with another process | the group runs again, three times at most |
| a job raises, or the conflict stays | rolled back; each job runs again alone |
| the store is unavailable | each job fails with that error |

Rules: a job that raises does not fail the others. Nothing here knows of threads.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.storage.engine.connection import Conflict, Connection, transaction
from homeserver.storage.engine.interface import Job, StoreUnavailable

_T = TypeVar("_T")

_ATTEMPTS = 3  # of a group, and then of each of its jobs


class Call(Struct, frozen=True):
    """A job, and the Deferred that takes its result."""

    job: Job[Any]
    result: Deferred[Any]


Outcome = tuple[Call, Any]
"""A call and its result, or a `Failure`."""


def write_group(connection: Connection, group: list[Call]) -> list[Outcome]:
    """Run jobs and commit them together, or each alone if that fails."""
    try:
        return _retry_conflicts(partial(commit, connection, group))
    except StoreUnavailable:
        return fail_all(group, Failure())
    except Exception as problem:  # noqa: BLE001 - the caller of the job gets it
        if len(group) > 1:
            return [
                outcome for call in group for outcome in write_group(connection, [call])
            ]
        return fail_all(group, _failure(problem))


def commit(
    connection: Connection,
    group: list[Call],
    is_over: Callable[[], bool] = lambda: False,
) -> list[Outcome]:
    """Run jobs in one transaction: all, or the first ones until `is_over`.

    If a job or the engine raises an exception, nothing was written.
    """
    outcomes: list[Outcome] = []
    with transaction(connection) as cursor:
        for call in group:
            outcomes.append((call, call.job(cursor)))
            if is_over():
                break
    return outcomes


def read_group(connection: Connection, group: list[Call]) -> list[Outcome]:
    """Run jobs one by one, each outside a transaction."""
    return [_read(connection, call) for call in group]


def fail_all(group: list[Call], failure: Failure) -> list[Outcome]:
    """The outcomes of a group whose calls all failed for the same reason."""
    return [(call, failure) for call in group]


def probe_write(connection: Connection) -> None:
    """Commit without a change; raises `StoreUnavailable` and `Conflict`."""
    connection.touch()


def probe_read(connection: Connection) -> None:
    """Read a row; raises as `probe_write`."""
    connection.cursor().execute("SELECT 1 FROM last_received").fetchall()


def _read(connection: Connection, call: Call) -> Outcome:
    try:
        return call, _retry_conflicts(lambda: call.job(connection.cursor()))
    except Exception as problem:  # noqa: BLE001 - the caller of the job gets it
        return call, _failure(problem)


def _retry_conflicts(run: Callable[[], _T]) -> _T:
    """Run again after a `Conflict`; raises it if it stays."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(Conflict):
            return run()
    return run()


def _failure(problem: Exception) -> Failure:
    """The failure for the caller of a job that raised `problem`."""
    if isinstance(problem, Conflict):
        return Failure(StoreUnavailable(f"another process is in the way: {problem}"))
    return Failure(problem)
