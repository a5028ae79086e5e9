"""One durable queue for each destination: send, wait, try again.

Rules: only the sender retries. One transaction of a destination is in flight; the next
one waits for its result. Every result is stored before it has an effect, so that a
restarted process continues where the last one stopped. Only destinations that are being
sent to are in memory; the queue itself is in the store.

Specification: Server-server API, "Transactions".
"""

import contextlib
from collections.abc import Sequence
from functools import partial
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.net.cache import Cache
from homeserver.outbound.delivery.attempt import Courier
from homeserver.outbound.delivery.outcome import Attempts
from homeserver.outbound.delivery.slots import Slots
from homeserver.protocol.canonical_json import Json
from homeserver.protocol.events.edus import EPHEMERAL
from homeserver.protocol.identifiers import ServerName
from homeserver.protocol.transactions import check_fits
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.notifier import Changes
from homeserver.storage.outbox.batching import PendingTransaction
from homeserver.storage.outbox.drops import Dropped
from homeserver.storage.outbox.leases import RENEWAL_SECONDS, DestinationLeases
from homeserver.storage.outbox.progress import EntryState
from homeserver.storage.outbox.queue import OutboundQueue
from homeserver.storage.outbox.queue_id import QueueId

_MAX_LEASED = 20  # at once: their transactions are built in one commit

_STARTS_A_SECOND = 50.0  # after a start, when every destination is tried

_STORE_RETRY_SECONDS = 5.0  # after a failure of the store

_ALIVE_SECONDS = 1.0  # in which further requests of a server have no effect

_OPEN_STATES = frozenset({"queued", "sending"})


class Sender:
    """Delivers the queues, each in order."""

    _log = Logger()

    def __init__(
        self,
        queue: OutboundQueue,
        leases: DestinationLeases,
        courier: Courier,
        attempts: Attempts,
        clock: IReactorTime,
        random: Random,
    ) -> None:
        self._queue = queue
        self._leases = leases
        self._courier = courier
        self._attempts = attempts
        self._clock = clock
        self._random = random
        self._slots = Slots(clock, attempts.abort)
        self.bounds = self._slots.bounds
        self._changes = Changes(clock)
        self._alive: Cache[ServerName, bool] = Cache(clock)
        self._is_running = False
        self._serving: dict[QueueId, Deferred[None]] = {}
        self._scheduling: Deferred[None] | None = None
        self._sleeping: Deferred[None] | None = None
        self._is_woken = False
        self._renewing = LoopingCall(self._renew)
        self._renewing.clock = clock

    async def start(self) -> None:
        """Resume the stored queues; raises `StoreUnavailable`."""
        queues = await self._leases.pending()
        # In random order, so that many servers that start at once spread their load.
        self._random.shuffle(queues)
        await self._leases.begin(queues, _STARTS_A_SECOND)
        self._is_running = True
        self._renewing.start(RENEWAL_SECONDS, now=False)
        self._scheduling = Deferred.fromCoroutine(self._schedule())

    async def stop(self) -> None:
        """Begin no attempt, and wait for those in flight; ends waits for a state."""
        self._is_running = False
        self._changes.end_waits()
        self._wake()
        if self._scheduling is not None:
            await self._scheduling
        for turn in list(self._serving.values()):
            await turn
        if self._renewing.running:
            self._renewing.stop()

    async def enqueue(
        self, destination: ServerName, pdus: Sequence[Json], edus: Sequence[Json]
    ) -> int:
        """Queue what fits into one transaction; returns the ID of the entry.

        Raises `TooLarge` for more than that, and `StoreUnavailable`.
        """
        check_fits(pdus, edus)
        is_ephemeral = not pdus and {edu["edu_type"] for edu in edus} <= EPHEMERAL
        own_id = await self._queue.add(
            destination, pdus, edus, is_ephemeral=is_ephemeral
        )
        self._wake()
        return own_id

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

    def adjust(self, seconds: float) -> None:
        """Look again for due destinations, after the clock was set by `seconds`.

        Stored due times are wall-clock times.
        """
        direction = "back" if seconds < 0 else "forward"
        self._log.warn(
            "the clock was set {direction} by {seconds} s",
            direction=direction,
            seconds=round(abs(seconds), 1),
        )
        self._wake()

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

    def _wake(self) -> None:
        """Look for destinations that are due."""
        self._is_woken = True
        sleeping, self._sleeping = self._sleeping, None
        if sleeping is not None:
            sleeping.callback(None)

    async def _schedule(self) -> None:
        """Begin turns as destinations become due, until the sender is stopped."""
        while self._is_running:
            self._is_woken = False
            seconds = await self._begin_turns()
            if not self._is_woken:
                await self._sleep(seconds)

    async def _sleep(self, seconds: float | None) -> None:
        """Wait for `_wake`, or for so many seconds."""
        sleeping = self._sleeping = Deferred()
        alarm = None if seconds is None else self._clock.callLater(seconds, self._wake)
        await sleeping
        if alarm is not None and alarm.active():
            alarm.cancel()

    async def _begin_turns(self) -> float | None:
        """Serve due destinations; in how many seconds to look again, if it is known."""
        wait = self._slots.relieve()
        quota = self._slots.quota().at_most(_MAX_LEASED)
        if quota.total == 0:
            return wait  # the end of a turn calls `_wake`, too
        try:
            leased = await self._leases.lease(quota, self._serving)
            for pending in leased.transactions:
                queue = pending.queue
                self._slots.begin(queue, is_failing=queue in leased.failing)
                turn = Deferred.fromCoroutine(self._serve(pending))
                self._serving[queue] = turn
                turn.addBoth(self._end_turn, queue)
        except StoreUnavailable as problem:  # the store has logged it
            self._log.debug("nothing can be sent: {problem}", problem=problem)
            return _STORE_RETRY_SECONDS
        except Exception:  # noqa: BLE001 - a bug here must not stop the queues
            self._log.failure("internal error while looking for due destinations")
            return _STORE_RETRY_SECONDS
        waits = (leased.wait, self._slots.relieve())
        return min((each for each in waits if each is not None), default=None)

    async def _serve(self, pending: PendingTransaction | None) -> None:
        """Deliver one transaction after the other, until the end of the turn."""
        while pending is not None:
            if not self._is_running:  # leased at the moment of the stop
                with contextlib.suppress(StoreUnavailable):  # then the lease ends
                    await self._leases.release(pending)
                return
            queue = pending.queue
            pending = await self._courier.deliver(
                pending, partial(self._slots.reach, queue)
            )
            self._changes.announce()
            if pending is not None:
                self._slots.go_on(queue)

    def _end_turn(self, result: Failure | None, queue: QueueId) -> None:
        if result is not None:
            to = queue.destination
            self._log.failure("sending to {to} ended early", result, to=to)
        del self._serving[queue]
        self._slots.end(queue)
        self._wake()

    async def _renew(self) -> None:
        """Renew the leases of the destinations that are being sent to."""
        try:
            if self._serving:
                under_way = self._attempts.under_way()
                for lost in await self._leases.renew(self._serving):
                    txn_id = under_way.get(lost)
                    if txn_id is not None:
                        self._attempts.abort(lost, "its lease was lost", txn_id)
        except StoreUnavailable as problem:
            self._log.debug("no lease is renewed: {problem}", problem=problem)
        except Exception:  # noqa: BLE001 - a bug here must not stop the queues
            self._log.failure("internal error while renewing leases")
