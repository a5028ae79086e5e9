"""The outbound queue of one of our servers, as the rest of the process sees it.

Rules: every change is stored before it has an effect. Nothing is sent here: the sender
is woken, and finds what is due in the store.

Specification: Server-server API, "Transactions".
"""

import contextlib
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from homeserver.net.bounded_map import SharedLimit
from homeserver.net.cache import MAX_ENTRIES, Cache
from homeserver.outbound.delivery.attempts import Attempts
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.edus import EPHEMERAL
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.transactions import check_fits
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.notifier import Changes
from homeserver.storage.outbox.drops import Dropped
from homeserver.storage.outbox.progress import EntryState
from homeserver.storage.outbox.queue import OutboundQueue

_ALIVE_SECONDS = 1.0  # in which further requests of a server have no effect

_OPEN_STATES = frozenset({"queued", "sending"})


class Outgoing:
    """The outbound queues of one of our servers."""

    _log = Logger()

    def __init__(
        self,
        queue: OutboundQueue,
        attempts: Attempts,
        clock: IReactorTime,
        wake: Callable[[], object],
        alive: int | SharedLimit = MAX_ENTRIES,
        changes: Changes | None = None,
    ) -> None:
        """`wake` lets the sender look for destinations that are due.

        `alive` limits the servers that are remembered to have asked a moment ago.
        `changes` are those of the queues, also in other processes.
        """
        self._queue = queue
        self._attempts = attempts
        self._wake = wake
        self._changes = changes or Changes(clock)
        self._alive: Cache[ServerName, bool] = Cache(clock, alive)

    def end_waits(self) -> None:
        """End all waits for a state, now and later."""
        self._changes.end_waits()

    def announce(self) -> None:
        """Wake all that wait for a state: one may have changed."""
        self._changes.announce()

    async def enqueue(
        self,
        destination: ServerName,
        pdus: Sequence[Json],
        edus: Sequence[Json],
        txn_id: str | None = None,
    ) -> int:
        """Queue what fits into one transaction; returns the ID of the entry.

        With `txn_id`, that is the ID of its transaction. Raises `TooLarge` for more
        than fits, `CannotChoose` for the ID, and `StoreUnavailable`.
        """
        check_fits(pdus, edus)
        is_ephemeral = not pdus and {edu["edu_type"] for edu in edus} <= EPHEMERAL
        own_id = await self._queue.add(
            destination, pdus, edus, is_ephemeral=is_ephemeral, txn_id=txn_id
        )
        self._wake()
        return own_id

    async def repeat(self, destination: ServerName, entry_id: int) -> bool:
        """Send the transaction of an entry once more, with the same ID and bytes.

        Returns False if there is no entry of that ID. Raises `CannotChoose`, also for
        one whose bytes are not kept any more, and `StoreUnavailable`.
        """
        is_known = await self._queue.repeat(
            destination, entry_id, self._attempts.delivered_body
        )
        self._wake()
        return is_known

    async def state(
        self, destination: ServerName, entry_id: int, wait: float
    ) -> EntryState | None:
        """As `OutboundQueue.state`: once it is final, or after `wait` seconds."""
        return await self._changes.until(
            lambda: self._queue.state(destination, entry_id),
            lambda state: state is None or state.state not in _OPEN_STATES,
            wait,
        )

    async def retry(self, destination: ServerName) -> None:
        """Retry a destination immediately; raises `StoreUnavailable`."""
        await self._queue.retry_immediately(destination)
        self._wake()

    async def forget(self, destination: ServerName) -> int:
        """Forget how a destination failed, and retry it immediately.

        Returns the number of its queued entries, which stay. Raises `StoreUnavailable`.
        """
        queued = await self._queue.forget_failures(destination)
        self._wake()
        return queued

    async def drop(self, destination: ServerName, entry_id: int) -> int | None:
        """Drop an entry, with the transaction that it is part of.

        Returns the number of dropped entries; None if there is no entry of that ID. An
        attempt under way is aborted. Raises `AlreadyOver` and `StoreUnavailable`.
        """
        dropped = await self._queue.drop(destination, entry_id)
        if dropped is None:
            return None
        self._end_dropped(destination, dropped)
        return dropped.entries

    async def drop_all(self, destination: ServerName) -> int:
        """Drop the queue of a destination; returns the number of dropped entries.

        Raises `StoreUnavailable`.
        """
        dropped = await self._queue.drop_transaction(destination)
        self._end_dropped(destination, dropped)
        waiting = await self._queue.drop_waiting(destination)
        # The next transaction may have begun meanwhile; it is dropped as well.
        following = await self._queue.drop_transaction(destination)
        self._end_dropped(destination, following)
        return dropped.entries + waiting + following.entries

    def _end_dropped(self, destination: ServerName, dropped: Dropped) -> None:
        """Abort the dropped transaction, and go on with the rest of the queue."""
        if dropped.txn_id is not None:
            queue = self._queue.of(destination)
            self._attempts.abort(queue, "it was dropped", dropped.txn_id)
        if dropped.entries:
            self._log.warn(
                "{entries} entries for {destination} were dropped by an operator",
                entries=dropped.entries,
                destination=destination,
            )
        self._changes.announce()
        self._wake()

    def note_alive(self, server_name: ServerName) -> None:
        """Reset the back-off of a server after a request from it."""
        if self._alive.is_kept(server_name):
            return

        async def reset_back_off() -> tuple[bool, float]:
            has_failed = await self._queue.reset_back_off(server_name)
            if has_failed:
                self._wake()
            return has_failed, _ALIVE_SECONDS

        async def ask() -> None:
            with contextlib.suppress(StoreUnavailable):  # the next request repeats it
                await self._alive.fetch(server_name, reset_back_off)

        Deferred.fromCoroutine(ask()).addErrback(
            lambda failure: self._log.failure("internal error", failure)
        )
