"""One durable queue for each destination of each of our servers: send, wait, try again.

Rules: only the sender retries. One transaction of a queue is in flight; the next one
waits for its result. Every result is stored before it has an effect, so that a
restarted process continues where the last one stopped. Only queues that are being sent
are in memory; the rest is in the store. All our servers share the slots, and each
attempt is made by the client of its own server.

Specification: Server-server API, "Transactions".
"""

import contextlib
from collections.abc import Callable
from functools import partial
from random import Random

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from homeserver.outbound.delivery.deliverer import Deliverer
from homeserver.outbound.delivery.slots import Slots
from homeserver.protocol.identifiers import ServerName
from homeserver.storage.engine.interface import StoreUnavailable
from homeserver.storage.outbox.batching import PendingTransaction
from homeserver.storage.outbox.leases import RENEWAL_SECONDS
from homeserver.storage.outbox.queue_id import QueueId

_MAX_LEASED = 20  # at once: their transactions are built in one commit

_STARTS_A_SECOND = 50.0  # after a start, when every destination is tried

_STORE_RETRY_SECONDS = 5.0  # after a failure of the store


class Sender:
    """Delivers the queues of all our servers, each in order."""

    _log = Logger()

    def __init__(
        self,
        deliverer: Deliverer,
        serves: Callable[[ServerName], bool],
        announce: Callable[[ServerName], object],
        clock: IReactorTime,
        random: Random,
    ) -> None:
        """`serves` says whether a name is one of our servers; the answer may change.

        `announce` is called with the one of our servers whose queue has changed.
        """
        self._leases = deliverer.leases
        self._deliverer = deliverer
        self._attempts = deliverer.attempts
        self._serves = serves
        self._announce = announce
        self._clock = clock
        self._random = random
        self._slots = Slots(clock, self._attempts.abort)
        self.bounds = self._slots.bounds
        self._is_running = False
        self._serving: dict[QueueId, Deferred[None]] = {}
        self._scheduling: Deferred[None] | None = None
        self._sleeping: Deferred[None] | None = None
        self._is_woken = False
        self._renewing = LoopingCall(self._renew)
        self._renewing.clock = clock

    async def start(self, *, tries_all: bool = True) -> None:
        """Resume the stored queues; raises `StoreUnavailable`.

        Back-offs go on unless it `tries_all`.
        """
        queues = await self._leases.pending() if tries_all else []
        # In random order, so that many servers that start at once spread their load.
        self._random.shuffle(queues)
        await self._leases.begin(queues, _STARTS_A_SECOND)
        self._is_running = True
        self._renewing.start(RENEWAL_SECONDS, now=False)
        self._scheduling = Deferred.fromCoroutine(self._schedule())

    async def stop(self) -> None:
        """Begin no attempt, and wait for those in flight."""
        self._is_running = False
        self.wake()
        if self._scheduling is not None:
            await self._scheduling
        for turn in list(self._serving.values()):
            await turn
        if self._renewing.running:
            self._renewing.stop()

    async def leave(self, name: ServerName) -> None:
        """Abort the attempts of a server that this process does not serve any more.

        What it owes stays in the store.
        """
        for queue, turn in list(self._serving.items()):
            if queue.server_name == name:
                self._attempts.abort(queue, "its server was removed")
                await turn

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
        self.wake()

    def wake(self) -> None:
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
        """Wait for `wake`, or for so many seconds."""
        sleeping = self._sleeping = Deferred()
        alarm = None if seconds is None else self._clock.callLater(seconds, self.wake)
        await sleeping
        if alarm is not None and alarm.active():
            alarm.cancel()

    async def _begin_turns(self) -> float | None:
        """Serve due destinations; in how many seconds to look again, if it is known."""
        wait = self._slots.relieve()
        quota = self._slots.quota().at_most(_MAX_LEASED)
        if quota.total == 0:
            return wait  # the end of a turn calls `wake`, too
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
            if not (self._is_running and self._serves(pending.queue.server_name)):
                # It was leased at the moment of the stop, or of the removal.
                with contextlib.suppress(StoreUnavailable):  # then the lease ends
                    await self._leases.release(pending)
                return
            queue = pending.queue
            pending = await self._deliverer.deliver(
                pending, partial(self._slots.reach, queue)
            )
            self._announce(queue.server_name)
            if pending is not None:
                self._slots.go_on(queue)

    def _end_turn(self, result: Failure | None, queue: QueueId) -> None:
        if result is not None:
            to = queue.destination
            self._log.failure("sending to {to} ended early", result, to=to)
        del self._serving[queue]
        self._slots.end(queue)
        self.wake()

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
