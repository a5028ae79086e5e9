"""A database thread: it runs one group of calls at a time, over its own connection.

Calls that arrive while the thread is busy wait, and are its next group. The thread
learns the state of the store from the groups that it runs:

| the store | connection | a new call | the thread |
|---|---|---|---|
| works | open | waits for the next group | waits for a group |
| fails | open | waits for the next group | also probes the store each second |
| is gone | none | fails immediately | connects again, after 0.1 to 2 seconds |
| hangs | aborted | fails immediately | is in a call; its next report ends this state |

A group of short jobs may have been committed already, in the reactor's thread and
without a sync. The thread then only syncs their commit.

Rules: the upper half of the methods runs in the reactor's thread, the lower half in the
database thread. The two meet in the queue of groups and in `callFromThread` alone.
"""

import contextlib
import queue
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

from msgspec import Struct
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.python.failure import Failure

from homeserver.storage.engine.connection import Connection
from homeserver.storage.engine.group_commit import Call, Outcome, fail_all
from homeserver.storage.engine.health import StoreHealth
from homeserver.storage.engine.interface import Job, Short, StoreUnavailable

_T = TypeVar("_T")

MAX_GROUP = 256  # jobs in one commit; bounds how long the first of them waits

# Longer than the wait for any lock; after it, the store counts as one that hangs.
CALL_SECONDS = 20.0

_PROBE_SECONDS = 1.0  # between probes of a store that fails
_FIRST_SECONDS, _LAST_SECONDS = 0.1, 2.0  # between attempts to connect again


class Role(Struct, frozen=True):
    """What a thread does with its groups."""

    name: str
    run: Callable[[Connection, list[Call]], list[Outcome]]
    probe: Callable[[Connection], None]
    """Does the least that shows whether the store works."""

    prepare: Callable[[Connection], None] = lambda _: None
    """Prepares each new connection; the store may have been replaced."""

    observe: Callable[[int, float], object] = lambda *_: None
    """Takes the number of jobs in each group, and its seconds."""

    run_short: Callable[[list[Call]], list[Outcome] | None] = lambda _: None
    """Commits the first of some short jobs in the reactor's thread, without a sync;
    None leaves all of them to the thread."""


class _Group(Struct):
    """Calls for the thread to run, or whose commit it has to sync."""

    calls: list[Call]
    outcomes: list[Outcome] | None
    """Of calls that are committed and not synced."""

    began: float
    """In seconds."""

    alarm: IDelayedCall
    """Fires if the thread does not finish in time."""


class DatabaseThread:
    """A thread, and the calls that wait for it."""

    def __init__(
        self,
        role: Role,
        connect: Callable[[], Connection],
        reactor: IReactorFromThreads,
        clock: IReactorTime,
        health: StoreHealth,
    ) -> None:
        self._role = role
        self._connect = connect
        self._reactor = reactor
        self._clock = clock
        self._health = health
        self._thread = Thread(target=self._work, name=f"store-{role.name}", daemon=True)
        self._groups: queue.SimpleQueue[_Group | None] = queue.SimpleQueue()

        # Used by the thread, once it has started. `_patience` is how long it waits for
        # a group before it probes the store.
        self.connection: Connection | None = None
        self._problem: str | None = None
        self._patience: float | None = None

        # Used by the reactor. `_refusal` is why new calls fail immediately.
        self._waiting: list[Call] = []
        self._is_scheduled = False
        self._group: _Group | None = None
        self._refusal: str | None = None
        self.has_unsynced = False
        """Whether short jobs may be committed that are not on the disk yet."""

        self._is_stopping = False
        self._ended: Deferred[None] = Deferred()

    def open(self) -> Connection:
        """The connection, or a new one if it is lost; raises `StoreUnavailable`.

        Called by the thread once it has started.
        """
        if self.connection is not None:
            with contextlib.suppress(StoreUnavailable):
                self.connection.check()
            if not self.connection.is_lost:
                return self.connection
            self.disconnect()
        self.connection = self._connect()
        try:
            self._role.prepare(self.connection)
        except BaseException:
            self.disconnect()
            raise
        return self.connection

    def disconnect(self) -> None:
        """Close the connection, if there is one; called as `open`."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def call(self, job: Job[_T]) -> _T:
        """What `job` returns; raises what it raises, and `StoreUnavailable`."""
        if self._refusal is not None:
            raise StoreUnavailable(self._refusal)
        call = Call(job, Deferred())
        self._waiting.append(call)
        self._schedule()
        result: _T = await call.result
        return result

    async def stop(self) -> None:
        """Finish what has begun, close the connection and end the thread."""
        self._is_stopping = True
        self._schedule()
        await self._ended
        self._thread.join()

    # In the reactor's thread.

    def _schedule(self) -> None:
        """Begin a group at the end of this turn of the reactor, with all its calls."""
        if self._group is None and not self._is_scheduled:
            self._is_scheduled = True
            self._clock.callLater(0, self._begin)

    def _begin(self) -> None:
        """Give the thread its next group, if there is one."""
        self._is_scheduled = False
        if not self._waiting:
            if self._is_stopping:
                self._groups.put(None)
            return
        began = self._clock.seconds()
        calls, outcomes = self._waiting[:MAX_GROUP], None
        if self._refusal is None and all(isinstance(c.job, Short) for c in calls):
            outcomes = self._role.run_short(calls)
        if outcomes is not None:
            calls = calls[: len(outcomes)]
            self.has_unsynced = True
        del self._waiting[: len(calls)]
        alarm = self._clock.callLater(CALL_SECONDS, self._time_out)
        self._group = _Group(calls, outcomes, began, alarm)
        self._groups.put(self._group)

    def _finish(self, group: _Group, outcomes: list[Outcome]) -> None:
        """Report the outcomes of a group to its callers."""
        self._group = None
        if outcomes is group.outcomes:
            self.has_unsynced = False
        if group.alarm.active():
            group.alarm.cancel()
        self._role.observe(len(outcomes), self._clock.seconds() - group.began)
        if self._waiting or self._is_stopping:
            self._schedule()
        _report(outcomes)

    def _time_out(self) -> None:
        """Fail all calls, until the thread reports again."""
        problem = f"the store has not answered for {CALL_SECONDS:g} seconds"
        self._refusal = self._problem = problem
        self._health.note(self._role.name, problem)
        connection = self.connection
        if connection is not None:
            connection.abort()
        calls = [] if self._group is None else self._group.calls
        waiting, self._waiting = self._waiting, []
        _report(fail_all([*calls, *waiting], Failure(StoreUnavailable(problem))))

    def _take_state(self, problem: str | None, *, is_gone: bool) -> None:
        self._refusal = problem if is_gone else None
        self._health.note(self._role.name, problem)

    # In the database thread.

    def _work(self) -> None:
        while True:
            try:
                group = self._groups.get(timeout=self._patience)
            except queue.Empty:
                self._note(self._probe())
                continue
            if group is None:
                break
            outcomes = self._run(group)
            problem = _problem(outcomes)
            if problem is None and self._problem is not None:
                problem = self._probe()  # a job that writes nothing meets no full disk
            self._note(problem)
            self._reactor.callFromThread(self._finish, group, outcomes)
        self.disconnect()
        self._reactor.callFromThread(self._ended.callback, None)

    def _run(self, group: _Group) -> list[Outcome]:
        if self.connection is None:
            # A caller does not wait for an attempt to connect; that is the probe's.
            return fail_all(group.calls, Failure(StoreUnavailable(self._problem)))
        try:
            connection = self.open()
            if group.outcomes is not None:
                connection.sync()
                return group.outcomes
        except Exception as problem:  # noqa: BLE001 - as in `_probe`
            return fail_all(group.calls, Failure(StoreUnavailable(str(problem))))
        return self._role.run(connection, group.calls)

    def _probe(self) -> str | None:
        """What is wrong with the store, tried without a caller."""
        try:
            self._role.probe(self.open())
        except Exception as problem:  # noqa: BLE001 - no error may end the thread
            return str(problem)
        return None

    def _note(self, problem: str | None) -> None:
        if problem is None and self._problem is None:
            return
        if problem is None:
            self._patience = None
        elif self.connection is not None:
            self._patience = _PROBE_SECONDS
        else:
            longer = 2 * (self._patience or 0.0)
            self._patience = min(max(longer, _FIRST_SECONDS), _LAST_SECONDS)
        self._problem = problem
        self._reactor.callFromThread(
            self._take_state, problem, is_gone=self.connection is None
        )


def _problem(outcomes: list[Outcome]) -> str | None:
    """Why the store was unavailable to one of the calls; None if it was available."""
    for _, outcome in outcomes:
        if isinstance(outcome, Failure) and outcome.check(StoreUnavailable):
            return str(outcome.value)
    return None


def _report(outcomes: list[Outcome]) -> None:
    for call, outcome in outcomes:
        # A call that timed out or was cancelled has fired already.
        if not call.result.called:
            call.result.callback(outcome)  # a Failure becomes an errback
